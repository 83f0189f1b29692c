#include "keel/config_watcher.h"

#include <deque>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "keel/client.h"

namespace keel::client {
namespace {

// What servers allow in each list of a transaction.
constexpr size_t kTxnOpsMax = 128;

}  // namespace

// Thread-safe.
class ConfigCore::State {
 public:
  State(Client& client, std::string_view prefix, Parse parse, OnChange on_change, const ConfigOptions& options)
      : client_(client),
        prefix_(prefix),
        parse_(std::move(parse)),
        on_change_(std::move(on_change)),
        options_(options) {}

  absl::Status Start() {
    KEEL_ASSIGN_OR_RETURN(
        cache_,
        CachedPrefix::Open(client_, prefix_, {.on_update = [this](const auto& update) { Take(update.after); }}));
    absl::MutexLock lock(&mu_);
    return value_ == nullptr ? rejected_ : absl::OkStatus();
  }

  Value value() const {
    absl::MutexLock lock(&mu_);
    return value_;
  }
  int64_t revision() const {
    absl::MutexLock lock(&mu_);
    return revision_;
  }
  absl::Status rejected() const {
    absl::MutexLock lock(&mu_);
    return rejected_;
  }
  std::vector<ConfigVersion> history() const {
    absl::MutexLock lock(&mu_);
    return {history_.begin(), history_.end()};
  }
  CachedPrefix& cache() { return *cache_; }

  absl::StatusOr<int64_t> Rollback(int64_t revision) {
    Kv& kv = client_.kv();
    KEEL_ASSIGN_OR_RETURN(RangeResponse then, kv.Get(prefix_, {.prefix = true, .revision = revision}));
    KEEL_ASSIGN_OR_RETURN(const RangeResponse now, kv.Get(prefix_, {.prefix = true}));
    const PrefixView target(std::move(then.kvs), revision);
    if (const absl::StatusOr<Value> good = parse_(target); !good.ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("what was there at revision ", revision, " is refused: ", good.status().message()));
    }
    Txn txn;
    // Nothing has come or changed since it was read, and nothing has gone.
    txn.If((ModRevisionOf(prefix_) < now.header.revision + 1).ForPrefix());
    size_t changes = 0;
    for (const KeyValue& kv_now : now.kvs) {
      txn.If(ModRevisionOf(kv_now.key) == kv_now.mod_revision);
      if (target.Find(kv_now.key) == nullptr) {
        txn.Then(Delete(kv_now.key));
        ++changes;
      }
    }
    const PrefixView present(std::vector<KeyValue>(now.kvs), now.header.revision);
    for (const KeyValue& kv_then : target) {
      const KeyValue* is = present.Find(kv_then.key);
      if (is != nullptr && is->value == kv_then.value) continue;
      txn.Then(Put(kv_then.key, kv_then.value));
      ++changes;
    }
    if (changes == 0) return now.header.revision;
    if (now.kvs.size() + 1 > kTxnOpsMax || changes > kTxnOpsMax) {
      return absl::ResourceExhaustedError(absl::StrCat("going back to revision ", revision, " of '", prefix_,
                                                       "' compares ", now.kvs.size() + 1, " and changes ", changes,
                                                       " keys; a transaction may have ", kTxnOpsMax, " of each"));
    }
    KEEL_ASSIGN_OR_RETURN(const TxnResponse done, kv.Commit(txn));
    if (done.succeeded) return done.header.revision;
    return absl::AbortedError(absl::StrCat("keys below '", prefix_, "' have been changed meanwhile; nothing was done"));
  }

 private:
  void Take(const PrefixView& keys) {
    absl::StatusOr<Value> parsed = parse_(keys);
    Value before;
    {
      absl::MutexLock lock(&mu_);
      history_.push_back({.revision = keys.revision(), .seen_at = absl::Now(), .status = parsed.status()});
      while (history_.size() > options_.history_max) history_.pop_front();
      rejected_ = parsed.status();
      if (!parsed.ok()) return;
      before = std::exchange(value_, *parsed);
      revision_ = keys.revision();
    }
    if (on_change_ != nullptr && before != nullptr) on_change_(before, *parsed);
  }

  Client& client_;
  const std::string prefix_;
  const Parse parse_;
  const OnChange on_change_;
  const ConfigOptions options_;

  mutable absl::Mutex mu_;
  Value value_ ABSL_GUARDED_BY(mu_);
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status rejected_ ABSL_GUARDED_BY(mu_);
  std::deque<ConfigVersion> history_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<CachedPrefix> cache_;  // Last: its thread uses the others.
};

ConfigCore::ConfigCore(std::unique_ptr<State> state) : state_(std::move(state)) {}
ConfigCore::~ConfigCore() = default;

absl::StatusOr<std::unique_ptr<ConfigCore>> ConfigCore::Open(Client& client, std::string_view prefix, Parse parse,
                                                             OnChange on_change, const ConfigOptions& options) {
  if (prefix.empty()) return absl::InvalidArgumentError("a configuration needs a prefix of its own");
  auto state = std::make_unique<State>(client, prefix, std::move(parse), std::move(on_change), options);
  KEEL_RETURN_IF_ERROR(state->Start());
  return std::unique_ptr<ConfigCore>(new ConfigCore(std::move(state)));
}

ConfigCore::Value ConfigCore::value() const { return state_->value(); }
int64_t ConfigCore::revision() const { return state_->revision(); }
absl::Status ConfigCore::rejected() const { return state_->rejected(); }
std::vector<ConfigVersion> ConfigCore::history() const { return state_->history(); }
absl::StatusOr<int64_t> ConfigCore::Rollback(int64_t revision) { return state_->Rollback(revision); }
absl::Status ConfigCore::WaitUntil(int64_t revision, absl::Time deadline) {
  return state_->cache().WaitUntil(revision, deadline);
}
Watcher::Connection ConfigCore::connection() const { return state_->cache().connection(); }

}  // namespace keel::client
