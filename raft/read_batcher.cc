#include "raft/read_batcher.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace keel::raft {
namespace {

// More than one, so that a read need not wait for the round trip before it; few, so that they stay batches.
constexpr size_t kAttemptsMax = 4;
constexpr absl::Duration kAttemptTimeout = absl::Milliseconds(500);

void MoveAll(std::vector<PendingRead>* from, std::vector<PendingRead>* to) {
  to->insert(to->end(), std::make_move_iterator(from->begin()), std::make_move_iterator(from->end()));
  from->clear();
}

void Expire(absl::Time now, std::vector<PendingRead>* reads) {
  const auto expired = std::stable_partition(reads->begin(), reads->end(),
                                             [now](const PendingRead& read) { return read.deadline > now; });
  for (auto it = expired; it != reads->end(); ++it) {
    it->done(absl::DeadlineExceededError("no read point: no leader has answered in time"), Index(0));
  }
  reads->erase(expired, reads->end());
}

}  // namespace

void ReadBatcher::Add(std::vector<PendingRead>* reads) { MoveAll(reads, &waiting_); }

std::optional<ReadId> ReadBatcher::StartAttempt(absl::Time now) {
  if (waiting_.empty() || backing_off_ || attempts_.size() >= kAttemptsMax) return std::nullopt;
  const ReadId id = next_id_;
  ++next_id_;
  attempts_[id] = Attempt{.started = now, .reads = std::exchange(waiting_, {})};
  return id;
}

void ReadBatcher::OnResult(const ReadResult& result) {
  const auto it = attempts_.find(result.id);
  if (it == attempts_.end()) return;  // Given up; its reads are in another attempt.
  std::vector<PendingRead> reads = std::move(it->second.reads);
  attempts_.erase(it);
  if (result.status.ok()) {
    waiters_.Add(result.index, std::move(reads));
  } else {
    MoveAll(&reads, &waiting_);
    backing_off_ = true;
  }
}

void ReadBatcher::OnTick(absl::Time now) {
  backing_off_ = false;
  for (auto it = attempts_.begin(); it != attempts_.end();) {
    Expire(now, &it->second.reads);
    if (now - it->second.started < kAttemptTimeout) {
      ++it;
      continue;
    }
    MoveAll(&it->second.reads, &waiting_);
    it = attempts_.erase(it);
  }
  Expire(now, &waiting_);
}

void ReadBatcher::FailAll(const absl::Status& status) {
  for (auto& [id, attempt] : attempts_) MoveAll(&attempt.reads, &waiting_);
  attempts_.clear();
  for (PendingRead& read : std::exchange(waiting_, {})) read.done(status, Index(0));
}

}  // namespace keel::raft
