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

void Mailbox::Announce() {
  if (on_arrival_) {
    on_arrival_();
  } else {
    Wake();
  }
}

Mailbox::PushResult Mailbox::PushProposal(PendingProposal proposal) {
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
    pending_ = true;
  }
  Announce();
  return PushResult::kOk;
}

Mailbox::PushResult Mailbox::PushRead(PendingRead&& read) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return PushResult::kClosed;
    if (inbox_.reads.size() >= limits_.items_max) return PushResult::kFull;
    inbox_.reads.push_back(std::move(read));
    pending_ = true;
  }
  Announce();
  return PushResult::kOk;
}

void Mailbox::PushMessages(std::vector<Message> messages) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_ || messages.empty()) return;
    for (Message& message : messages) {
      const size_t bytes = MessageBytes(message);
      const bool full = inbox_.messages.size() >= limits_.items_max ||
                        (!inbox_.messages.empty() && message_bytes_ + bytes > limits_.bytes_max);
      if (full) continue;
      message_bytes_ += bytes;
      inbox_.messages.push_back(std::move(message));
    }
    pending_ = true;
  }
  Announce();
}

bool Mailbox::PushEvent(Event&& event) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return false;
    inbox_.events.push_back(std::move(event));
    pending_ = true;
  }
  Announce();
  return true;
}

void Mailbox::PostAppended(std::optional<AppendTicket> ticket, size_t jobs) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (closed_) return;
    if (ticket) inbox_.appended = ticket;
    inbox_.appends_done += jobs;
    pending_ = true;
  }
  Announce();
}

void Mailbox::PostApplied(Index index) {
  std::lock_guard<std::mutex> lock(mu_);
  if (!closed_) inbox_.applied = std::max(inbox_.applied, index);
}

bool Mailbox::Wait(std::chrono::nanoseconds timeout) {
  std::unique_lock<std::mutex> lock(mu_);
  if (!pending_ && !closed_ && timeout.count() > 0) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    sleeping_ = true;
    // Woken by Wake() only: what arrives may be on its way to another consumer.
    while (sleeping_ && !closed_) {
      if (changed_.wait_until(lock, deadline) == std::cv_status::timeout) break;
    }
    sleeping_ = false;
  }
  return !closed_;
}

void Mailbox::Wake() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (!sleeping_ || !pending_) return;
    sleeping_ = false;
  }
  changed_.notify_one();
}

void Mailbox::Take(Inbox* inbox) {
  std::lock_guard<std::mutex> lock(mu_);
  std::swap(*inbox, inbox_);
  message_bytes_ = proposal_bytes_ = 0;
  pending_ = false;
}

bool Mailbox::pending() const {
  std::lock_guard<std::mutex> lock(mu_);
  return pending_;
}

void Mailbox::Close() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    closed_ = true;
  }
  changed_.notify_one();
}

}  // namespace keel::raft
