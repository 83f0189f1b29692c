#include "raft/applied_waiters.h"

#include <utility>

namespace keel::raft {

void AppliedWaiters::Add(Index index, std::vector<PendingRead> reads) {
  absl::Status status = absl::OkStatus();
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) {
      status = *closed_;
    } else if (applied_ < index) {
      for (PendingRead& read : reads) waiting_.emplace(index, std::move(read));
      return;
    }
  }
  for (PendingRead& read : reads) read.done(status, status.ok() ? index : Index(0));
}

void AppliedWaiters::Advance(Index index) {
  std::vector<std::pair<Index, PendingRead>> ready;
  {
    std::lock_guard<std::mutex> lock(mu_);
    applied_ = index;
    const auto end = waiting_.upper_bound(index);
    for (auto it = waiting_.begin(); it != end; ++it) ready.emplace_back(it->first, std::move(it->second));
    waiting_.erase(waiting_.begin(), end);
  }
  for (auto& [at, read] : ready) read.done(absl::OkStatus(), at);
}

void AppliedWaiters::Expire(absl::Time now) {
  std::vector<PendingRead> expired;
  {
    std::lock_guard<std::mutex> lock(mu_);
    for (auto it = waiting_.begin(); it != waiting_.end();) {
      if (it->second.deadline > now) {
        ++it;
        continue;
      }
      expired.push_back(std::move(it->second));
      it = waiting_.erase(it);
    }
  }
  for (PendingRead& read : expired) {
    read.done(absl::DeadlineExceededError("this member has not applied what the read needs in time"), Index(0));
  }
}

void AppliedWaiters::Close(absl::Status status) {
  std::multimap<Index, PendingRead> waiting;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return;
    closed_ = status;
    waiting.swap(waiting_);
  }
  for (auto& [index, read] : waiting) read.done(status, Index(0));
}

}  // namespace keel::raft
