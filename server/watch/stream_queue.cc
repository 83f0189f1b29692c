#include "server/watch/stream_queue.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace keel::server {
namespace {

// So much of several revisions may travel together.
constexpr size_t kJoinedBytesMax = 64u << 10;

}  // namespace

void EventBatch::Add(const storage::RevisionEventsPtr& revision, EventSelection selection) {
  bytes += selection.bytes;
  events += selection.positions.size();
  parts.push_back({.revision = revision, .positions = std::move(selection.positions)});
}

void EventBatch::Append(EventBatch&& later) {
  header = std::max(header, later.header);
  bytes += later.bytes;
  events += later.events;
  parts.insert(parts.end(), std::make_move_iterator(later.parts.begin()), std::make_move_iterator(later.parts.end()));
}

bool StreamQueue::Push(EventBatch&& batch, Place* place) {
  absl::MutexLock lock(&mu_);
  if (closed_) return true;  // Nobody will miss it.
  if (bytes_ != 0 && bytes_ + batch.bytes > bytes_max_) {
    refused_ = true;
    return false;
  }
  const bool waits = *place >= first_ && *place > sealed_;
  if (waits && bytes_ > backlog_bytes_) {
    auto& last = std::get<EventBatch>(messages_[*place - first_]);
    if (last.bytes + batch.bytes <= kJoinedBytesMax) {
      bytes_ += batch.bytes;
      events_ += batch.events;
      last.Append(std::move(batch));
      return true;
    }
  }
  *place = first_ + messages_.size();
  bytes_ += batch.bytes;
  events_ += batch.events;
  messages_.emplace_back(std::move(batch));
  Signal();
  return true;
}

void StreamQueue::Push(etcdserverpb::WatchResponse answer) {
  absl::MutexLock lock(&mu_);
  if (closed_) return;
  ++answers_;
  sealed_ = first_ + messages_.size();
  messages_.emplace_back(std::move(answer));
  Signal();
}

bool StreamQueue::AwaitRoom() {
  absl::MutexLock lock(&mu_);
  if (closed_ || HasRoom()) return false;
  refused_ = true;
  return true;
}

// Not at every little gap: a watcher comes back for a good part of the buffer at once.
bool StreamQueue::HasRoom() const { return bytes_ <= bytes_max_ / 2; }

void StreamQueue::Signal() {
  if (std::exchange(armed_, false)) ready_();
}

std::optional<StreamQueue::Popped> StreamQueue::Pop() {
  absl::MutexLock lock(&mu_);
  if (messages_.empty()) {
    armed_ = !closed_;
    return std::nullopt;
  }
  Popped popped{.message = std::move(messages_.front())};
  messages_.pop_front();
  ++first_;
  popped.more_follows = !messages_.empty();
  if (const auto* batch = std::get_if<EventBatch>(&popped.message)) {
    bytes_ -= batch->bytes;
    events_ -= batch->events;
  } else {
    --answers_;
  }
  if (refused_ && HasRoom()) {
    refused_ = false;
    popped.room = true;
  }
  return popped;
}

void StreamQueue::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  armed_ = false;
  first_ += messages_.size();
  messages_.clear();
  bytes_ = 0;
  answers_ = 0;
  events_ = 0;
}

size_t StreamQueue::answers() const {
  absl::MutexLock lock(&mu_);
  return answers_;
}

size_t StreamQueue::events() const {
  absl::MutexLock lock(&mu_);
  return events_;
}

bool StreamQueue::closed() const {
  absl::MutexLock lock(&mu_);
  return closed_;
}

}  // namespace keel::server
