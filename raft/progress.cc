#include "raft/progress.h"

#include <algorithm>

#include "base/check.h"
#include "raft/mutant.h"

namespace keel::raft {

bool Progress::can_send() const {
  switch (state_) {
    case State::kProbe:
      return !awaiting_ && pause_ticks_ == 0;
    case State::kReplicate:
      return flights_.size() < window_ && flight_bytes_ < options_->inflight_bytes_max;
    case State::kSnapshot:
      return false;
  }
  return false;
}

void Progress::OnSent(Index last, size_t bytes) {
  if (state_ == State::kProbe) {
    awaiting_ = true;
    return;
  }
  KEEL_CHECK(state_ == State::kReplicate);
  if (last < next_) return;
  next_ = last + 1;
  flights_.push_back({last, bytes});
  flight_bytes_ += bytes;
}

bool Progress::OnAccepted(Index index, Index log_base) {
  const bool advanced = index > match_ || KEEL_MUTANT(kMatchGoesBack);
  if (advanced) {
    match_ = index;
    next_ = std::max(next_, match_ + 1);
    moved_ = true;
  }
  while (!flights_.empty() && flights_.front().last <= index) {
    flight_bytes_ -= flights_.front().bytes;
    flights_.pop_front();
    window_ = std::min(window_ + 1, options_->inflight_messages_max);
  }
  // Any answer that covers the probed prev settles the question, also one that is no news (the follower had it all).
  if (state_ == State::kProbe && (pause_ticks_ == 0 || advanced) && index + 1 >= next_) BecomeReplicate();
  // It got there without the snapshot, or the snapshot's own receipt is still to come.
  if (state_ == State::kSnapshot && match_ >= log_base) BecomeReplicate();
  return advanced;
}

bool Progress::OnRejected(Index rejected, Index agree_at) {
  // An answer that was overtaken: what it refuses is known to match by now.
  if (rejected <= match_) return false;
  if (state_ == State::kSnapshot) return false;
  if (state_ == State::kProbe && rejected + 1 != next_) return false;
  if (state_ == State::kReplicate) window_ = 1;
  BecomeProbe(std::max(match_ + 1, std::min(rejected, agree_at + 1)));
  return true;
}

bool Progress::OnHeartbeatResponse() {
  if (pause_ticks_ > 0) return false;
  if (state_ == State::kProbe) {
    awaiting_ = false;
    return true;
  }
  if (state_ != State::kReplicate) return false;
  // Nothing came back for a whole heartbeat although something is on its way: ask.
  const bool stalled = !moved_ && match_ + 1 < next_;
  moved_ = false;
  want_empty |= stalled;
  return stalled;
}

void Progress::OnUnreachable() {
  if (state_ == State::kReplicate) BecomeProbe(match_ + 1);
  if (state_ == State::kProbe) awaiting_ = true;
}

void Progress::Tick() {
  if (pause_ticks_ > 0) --pause_ticks_;
}

void Progress::BecomeSnapshot() {
  ClearFlights();
  state_ = State::kSnapshot;
  awaiting_ = false;
  want_empty = false;
}

void Progress::OnSnapshotSent(Index last) {
  if (state_ == State::kSnapshot) BecomeProbe(std::max(match_, last) + 1);
}

void Progress::OnSnapshotFailed(int pause_ticks) {
  if (state_ != State::kSnapshot) return;
  BecomeProbe(match_ + 1);
  pause_ticks_ = pause_ticks;
}

void Progress::BecomeProbe(Index next) {
  ClearFlights();
  state_ = State::kProbe;
  next_ = next;
  awaiting_ = false;
  want_empty = false;
  pause_ticks_ = 0;
}

void Progress::BecomeReplicate() {
  ClearFlights();
  state_ = State::kReplicate;
  next_ = match_ + 1;
  awaiting_ = false;
  pause_ticks_ = 0;
  moved_ = true;
}

void Progress::ClearFlights() {
  flights_.clear();
  flight_bytes_ = 0;
}

}  // namespace keel::raft
