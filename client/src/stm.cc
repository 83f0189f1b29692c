#include "keel/stm.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/src/core.h"
#include "client/src/patience.h"

namespace keel {
namespace client {
namespace {

constexpr absl::Duration kFirstPause = absl::Milliseconds(1);
constexpr absl::Duration kLongestPause = absl::Milliseconds(100);

bool HasSnapshot(StmIsolation isolation) {
  return isolation == StmIsolation::kSerializableSnapshot || isolation == StmIsolation::kSerializable;
}

}  // namespace

// All runs of one transaction. Owned by one thread.
class StmRun {
 public:
  StmRun(Client& client, const StmOptions& options) : patience_(client, nullptr, "stm"), options_(options) {}

  absl::StatusOr<StmResponse> Run(const std::function<absl::Status(Stm&)>& function) {
    absl::Duration pause = kFirstPause;
    for (int attempt = 1; attempt <= options_.attempts_max; ++attempt) {
      Stm stm(*this);
      absl::Status returned = function(stm);
      if (absl::IsOutOfRange(stm.status())) {
        // The snapshot was compacted while we were at it.
      } else {
        KEEL_RETURN_IF_ERROR(stm.status());
        KEEL_RETURN_IF_ERROR(returned);
        KEEL_ASSIGN_OR_RETURN(const std::optional<ResponseHeader> header, Commit(stm));
        if (header.has_value()) return StmResponse{.header = *header, .attempts = attempt};
      }
      const absl::Duration left = options_.deadline - absl::Now();
      if (left <= absl::ZeroDuration()) return patience_.TooLate();
      absl::SleepFor(std::min(left, pause * (0.5 + patience_.client().core().Jitter())));
      pause = std::min(2 * pause, kLongestPause);
    }
    return absl::AbortedError(absl::StrCat("stm: conflicts in all of ", options_.attempts_max, " attempts"));
  }

  absl::StatusOr<RangeResponse> Read(std::string_view key, int64_t snapshot) {
    return patience_.TryGet(key, {.revision = HasSnapshot(options_.isolation) ? snapshot : 0}, options_.deadline);
  }

 private:
  // nullopt: a conflict.
  absl::StatusOr<std::optional<ResponseHeader>> Commit(const Stm& stm) {
    // Reads of one snapshot agree without asking again.
    if (stm.writes_.empty() && (HasSnapshot(options_.isolation) || stm.reads_.size() < 2)) return stm.read_header_;
    Txn txn;
    if (options_.isolation != StmIsolation::kReadCommitted) {
      for (const auto& [key, kv] : stm.reads_) txn.If(ModRevisionOf(key) == (kv.has_value() ? kv->mod_revision : 0));
    }
    if (options_.isolation == StmIsolation::kSerializableSnapshot && stm.snapshot_ != 0) {
      for (const auto& [key, write] : stm.writes_) {
        if (stm.reads_.count(key) == 0) txn.If(ModRevisionOf(key) < stm.snapshot_ + 1);
      }
    }
    for (const auto& [key, write] : stm.writes_) {
      if (write.value.has_value()) {
        txn.Then(Put(key, *write.value, {.lease = write.lease}));
      } else {
        txn.Then(Delete(key));
      }
    }
    if (stm.writes_.empty()) {
      KEEL_ASSIGN_OR_RETURN(const TxnResponse answer, patience_.TryCommit(txn, options_.deadline));
      return answer.succeeded ? std::optional<ResponseHeader>(answer.header) : std::nullopt;
    }
    const absl::Duration left = options_.deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return patience_.TooLate();
    absl::StatusOr<TxnResponse> answer =
        patience_.client().kv().Commit(txn, {.timeout = std::min(left, patience_.client().core().options().timeout)});
    if (absl::IsDeadlineExceeded(answer.status()) || absl::IsUnknown(answer.status()) ||
        absl::IsCancelled(answer.status())) {
      return absl::UnknownError(absl::StrCat("stm: outcome unknown: ", answer.status().message()));
    }
    if (!answer.ok()) return answer.status();
    return answer->succeeded ? std::optional<ResponseHeader>(answer->header) : std::nullopt;
  }

  Patience patience_;
  const StmOptions options_;
};

absl::StatusOr<StmResponse> RunStm(Client& client, const std::function<absl::Status(Stm&)>& function,
                                   const StmOptions& options) {
  return StmRun(client, options).Run(function);
}

}  // namespace client

const KeyValue* Stm::Fetch(std::string_view key) {
  auto known = reads_.find(key);
  if (known == reads_.end()) {
    if (!status_.ok()) return nullptr;
    absl::StatusOr<RangeResponse> got = run_.Read(key, snapshot_);
    if (!got.ok()) {
      status_ = got.status();
      return nullptr;
    }
    if (snapshot_ == 0) snapshot_ = got->header.revision;
    read_header_ = got->header;
    std::optional<KeyValue> found;
    if (!got->kvs.empty()) found = std::move(got->kvs[0]);
    known = reads_.emplace(std::string(key), std::move(found)).first;
  }
  return known->second.has_value() ? &*known->second : nullptr;
}

std::optional<std::string> Stm::Get(std::string_view key) {
  if (const auto write = writes_.find(key); write != writes_.end()) return write->second.value;
  const KeyValue* found = Fetch(key);
  return found == nullptr ? std::nullopt : std::optional<std::string>(found->value);
}

int64_t Stm::ModRevision(std::string_view key) {
  const KeyValue* found = Fetch(key);
  return found == nullptr ? 0 : found->mod_revision;
}

void Stm::Put(std::string_view key, std::string_view value, LeaseId lease) {
  writes_.insert_or_assign(std::string(key), Write{.value = std::string(value), .lease = lease});
}

void Stm::Delete(std::string_view key) { writes_.insert_or_assign(std::string(key), Write{.value = std::nullopt}); }

}  // namespace keel
