#pragma once

// A configuration as a value of the application's own type, checked before it is used, with the way back.
//
//   auto parse = [](const keel::PrefixView& keys) -> absl::StatusOr<std::string> {
//     const keel::KeyValue* level = keys.Find("logging/level");
//     if (level == nullptr) return "info";
//     if (level->value != "info" && level->value != "debug") return absl::InvalidArgumentError("no such level");
//     return level->value;
//   };
//   auto logging = keel::ConfigWatcher<std::string>::Open(client, "logging/", parse);
//   if (!logging.ok()) return logging.status();
//   std::cout << *(*logging)->value() << "\n";  // The last good one, whatever is in the store.
//   if (auto bad = (*logging)->rejected(); !bad.ok()) std::cerr << bad << "\n";

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/cached_prefix.h"
#include "keel/watch.h"

namespace keel {

class Client;

// A state of the configuration that was seen here.
struct ConfigVersion {
  int64_t revision = 0;  // That it was first seen at; what Rollback() takes.
  absl::Time seen_at;
  absl::Status status;  // OK: it was, or is, in force. Else why it was refused.
};

struct ConfigOptions {
  size_t history_max = 32;  // States remembered by history(); older ones can still be rolled back to.
};

namespace client {

// What a ConfigWatcher does whatever its type is. Thread-safe.
class ConfigCore {
 public:
  using Value = std::shared_ptr<const void>;
  using Parse = std::function<absl::StatusOr<Value>(const PrefixView&)>;
  using OnChange = std::function<void(const Value& before, const Value& after)>;

  static absl::StatusOr<std::unique_ptr<ConfigCore>> Open(Client& client, std::string_view prefix, Parse parse,
                                                          OnChange on_change, const ConfigOptions& options);
  ~ConfigCore();

  Value value() const;
  int64_t revision() const;
  absl::Status rejected() const;
  std::vector<ConfigVersion> history() const;
  absl::StatusOr<int64_t> Rollback(int64_t revision);
  absl::Status WaitUntil(int64_t revision, absl::Time deadline);
  Watcher::Connection connection() const;

 private:
  class State;
  explicit ConfigCore(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace client

// All keys below `prefix` as one T. A revision changes it as a whole, so a transaction over several keys is never seen
// in part. What `parse` refuses is not used: value() stays the last good one. Runs a thread, on which `parse` and the
// callback run. Thread-safe; the Client must outlive it.
template <typename T>
class ConfigWatcher {
 public:
  using Parse = std::function<absl::StatusOr<T>(const PrefixView&)>;
  using OnChange = std::function<void(const std::shared_ptr<const T>& before, const std::shared_ptr<const T>& after)>;

  // Errors as CachedPrefix::Open; and what `parse` says to the first state, since there is no good one yet.
  // `on_change`, if any, is told of every new value after that.
  static absl::StatusOr<std::unique_ptr<ConfigWatcher>> Open(Client& client, std::string_view prefix, Parse parse,
                                                             OnChange on_change = nullptr,
                                                             const ConfigOptions& options = {}) {
    client::ConfigCore::OnChange changed;
    if (on_change != nullptr) {
      changed = [on_change = std::move(on_change)](const auto& before, const auto& after) {
        on_change(std::static_pointer_cast<const T>(before), std::static_pointer_cast<const T>(after));
      };
    }
    auto core = client::ConfigCore::Open(
        client, prefix,
        [parse = std::move(parse)](const PrefixView& keys) -> absl::StatusOr<client::ConfigCore::Value> {
          absl::StatusOr<T> value = parse(keys);
          if (!value.ok()) return value.status();
          return client::ConfigCore::Value(std::make_shared<const T>(*std::move(value)));
        },
        std::move(changed), options);
    if (!core.ok()) return core.status();
    return std::unique_ptr<ConfigWatcher>(new ConfigWatcher(*std::move(core)));
  }

  // The last good one; never null.
  std::shared_ptr<const T> value() const { return std::static_pointer_cast<const T>(core_->value()); }
  // At which value() came into force.
  int64_t revision() const { return core_->revision(); }
  // Not OK: what is in the store now is refused, and why.
  absl::Status rejected() const { return core_->rejected(); }
  // The newest last.
  std::vector<ConfigVersion> history() const { return core_->history(); }

  // Makes the keys in the store what they were at `revision`, in one transaction, and returns its revision; the
  // revision of now if nothing differs. All watchers then follow.
  //   kInvalidArgument     `parse` refuses what was there then
  //   kAborted             somebody else has changed a key meanwhile; nothing was done
  //   kOutOfRange          that revision is compacted, or has not been reached
  //   kResourceExhausted   more keys than a transaction may have (128 each to compare and to change)
  //   others               as Kv::Commit
  absl::StatusOr<int64_t> Rollback(int64_t revision) { return core_->Rollback(revision); }

  // See CachedPrefix.
  absl::Status WaitUntil(int64_t revision, absl::Time deadline = absl::InfiniteFuture()) {
    return core_->WaitUntil(revision, deadline);
  }
  Watcher::Connection connection() const { return core_->connection(); }

 private:
  explicit ConfigWatcher(std::unique_ptr<client::ConfigCore> core) : core_(std::move(core)) {}

  std::unique_ptr<client::ConfigCore> core_;
};

}  // namespace keel
