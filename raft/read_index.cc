#include "raft/read_index.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace keel::raft {

bool ReadRounds::Add(Read read) {
  if (waiting_.size() >= kWaitingMax) return false;
  waiting_.push_back(read);
  return true;
}

uint64_t ReadRounds::Start(Index commit) {
  KEEL_CHECK(can_start());
  current_ = Batch{.index = commit, .reads = std::exchange(waiting_, {})};
  return ++round_;
}

std::optional<ReadRounds::Batch> ReadRounds::Confirm(uint64_t round) {
  if (!current_.has_value() || round < round_) return std::nullopt;
  return std::exchange(current_, std::nullopt);
}

std::vector<ReadRounds::Read> ReadRounds::TakeAll() {
  std::vector<Read> reads;
  if (current_.has_value()) reads = std::move(current_->reads);
  reads.insert(reads.end(), waiting_.begin(), waiting_.end());
  current_.reset();
  waiting_.clear();
  return reads;
}

ReadId ForwardedReads::Add(ReadId id, uint64_t now) {
  const ReadId number(next_++);
  asked_.push_back({number, id, now});
  return number;
}

std::optional<ReadId> ForwardedReads::Take(ReadId number) {
  const auto it =
      std::find_if(asked_.begin(), asked_.end(), [&](const Asked& asked) { return asked.number == number; });
  if (it == asked_.end()) return std::nullopt;
  const ReadId id = it->id;
  asked_.erase(it);
  return id;
}

std::vector<ReadId> ForwardedReads::TakeOlder(uint64_t deadline) {
  std::vector<ReadId> ids;
  while (!asked_.empty() && asked_.front().at <= deadline) {
    ids.push_back(asked_.front().id);
    asked_.pop_front();
  }
  return ids;
}

std::vector<ReadId> ForwardedReads::TakeAll() {
  std::vector<ReadId> ids;
  for (const Asked& asked : asked_) ids.push_back(asked.id);
  asked_.clear();
  return ids;
}

}  // namespace keel::raft
