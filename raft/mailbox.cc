#include "raft/mailbox.h"

#include <algorithm>
#include <utility>

namespace keel::raft {

void Inbox::Clear() {
  messages.clear();
  proposals.clear();
  reads.clear();
  events.clear();
  appends_done = 0;
  appended.reset();
  applied = Index(0);
}

bool Mailbox::Arrived() {
  pending_ = true;
  return std::exchange(sleeping_, false);
}

Mailbox::PushResult Mailbox::PushProposal(PendingProposal proposal) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return PushResult::kClosed;
    const size_t bytes = proposal.payload.size();
    // One that is larger than the limit alone still passes.
    const bool full = inbox_.proposals.size() >= limits_.items_max ||
                      (!inbox_.proposals.empty() && proposal_bytes_ + bytes > limits_.bytes_max);
    if (full) return PushResult::kFull;
    proposal_bytes_ += bytes;
    inbox_.proposals.push_back(std::move(proposal));
    wake = Arrived();
  }
  if (wake) changed_.notify_one();
  return PushResult::kOk;
}

Mailbox::PushResult Mailbox::PushRead(PendingRead&& read) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return PushResult::kClosed;
    if (inbox_.reads.size() >= limits_.items_max) return PushResult::kFull;
    inbox_.reads.push_back(std::move(read));
    wake = Arrived();
  }
  if (wake) changed_.notify_one();
  return PushResult::kOk;
}

Mailbox::PushResult Mailbox::PushMessage(Message message) {
  const size_t bytes = MessageBytes(message);
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return PushResult::kClosed;
    const bool full = inbox_.messages.size() >= limits_.items_max ||
                      (!inbox_.messages.empty() && message_bytes_ + bytes > limits_.bytes_max);
    if (full) return PushResult::kFull;
    message_bytes_ += bytes;
    inbox_.messages.push_back(std::move(message));
    wake = Arrived();
  }
  if (wake) changed_.notify_one();
  return PushResult::kOk;
}

bool Mailbox::PushEvent(Event&& event) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return false;
    inbox_.events.push_back(std::move(event));
    wake = Arrived();
  }
  if (wake) changed_.notify_one();
  return true;
}

void Mailbox::PostAppended(std::optional<AppendTicket> ticket, size_t jobs) {
  bool wake = false;
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return;
    if (ticket) inbox_.appended = ticket;
    inbox_.appends_done += jobs;
    wake = Arrived();
  }
  if (wake) changed_.notify_one();
}

void Mailbox::PostApplied(Index index) {
  std::lock_guard<std::mutex> lock(mu_);
  if (!closed_) inbox_.applied = std::max(inbox_.applied, index);
}

bool Mailbox::Take(std::chrono::nanoseconds timeout, Inbox* inbox) {
  std::unique_lock<std::mutex> lock(mu_);
  if (!pending_ && !closed_ && timeout.count() > 0) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    sleeping_ = true;
    while (!pending_ && !closed_) {
      if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) break;
    }
    sleeping_ = false;
  }
  std::swap(*inbox, inbox_);
  message_bytes_ = proposal_bytes_ = 0;
  pending_ = false;
  return !closed_;
}

void Mailbox::Close() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    closed_ = true;
    sleeping_ = false;
  }
  changed_.notify_one();
}

}  // namespace keel::raft
