#include "raft/truncation_policy.h"

#include <algorithm>

namespace keel::raft {
namespace {

// In units of the entries kept anyway.
constexpr uint64_t kActiveFollowerFactor = 4;
constexpr uint64_t kSnapshotFactor = 64;

uint64_t Behind(Index index, uint64_t entries) { return index.value() > entries ? index.value() - entries : 0; }

}  // namespace

void TruncationPolicy::OnSnapshotSent(MemberId follower, const absl::Status& status, EntryId last) {
  if (!status.ok()) {
    pins_.erase(follower);
  } else if (const auto it = pins_.find(follower); it != pins_.end()) {
    it->second = last.index;
  }
}

void TruncationPolicy::UpdatePins(const CoreStatus& status, const std::vector<FollowerStatus>& followers) {
  for (auto it = pins_.begin(); it != pins_.end();) {
    const auto follower =
        std::find_if(followers.begin(), followers.end(), [&](const FollowerStatus& f) { return f.id == it->first; });
    const bool needed = follower != followers.end() && follower->recently_active &&
                        follower->match.value() < Behind(status.last.index, kept_) &&
                        it->second.value() >= Behind(status.last.index, kSnapshotFactor * kept_);
    if (needed) {
      it->second = std::max(it->second, follower->match);
      ++it;
    } else {
      it = pins_.erase(it);
    }
  }
}

std::optional<Index> TruncationPolicy::Choose(const CoreStatus& status, const std::vector<FollowerStatus>& followers,
                                              Index replicated_everywhere, Index durable,
                                              absl::FunctionRef<uint64_t(Index)> bytes_after) {
  UpdatePins(status, followers);
  durable = std::min(durable, status.applied);
  // An active follower that is slow holds the log back, but not for ever.
  uint64_t limit = std::max(replicated_everywhere.value(), Behind(durable, kActiveFollowerFactor * kept_));
  limit = std::min(limit, durable.value());
  limit = Behind(Index(limit), kept_);
  for (const auto& [follower, pin] : pins_) limit = std::min(limit, pin.value());
  // A snapshot can be sent again; a disk that is full stops everybody.
  limit = std::max(limit, FirstWithin(status.first, durable, bytes_after).value());
  // The log frees whole segments, so there is no point in small steps.
  if (limit == 0 || limit < status.first.value() + kept_ / 8) return std::nullopt;
  return Index(limit);
}

Index TruncationPolicy::FirstWithin(Index first, Index durable, absl::FunctionRef<uint64_t(Index)> bytes_after) const {
  uint64_t low = first.value() - 1;
  uint64_t high = std::max(low, durable.value());
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (bytes_after(Index(middle)) <= bytes_max_) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return Index(low);
}

}  // namespace keel::raft
