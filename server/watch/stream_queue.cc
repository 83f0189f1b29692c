#include "server/watch/stream_queue.h"

#include <utility>

namespace keel::server {
namespace {

// What a queued event costs beside its bytes.
constexpr size_t kEventOverhead = 64;

}  // namespace

void EventBatch::Add(const storage::RevisionEventsPtr& revision, EventPositions positions) {
  for (uint32_t position : positions) {
    const storage::Event& event = revision->events[position];
    bytes += event.key.size() + event.kv->size() + kEventOverhead;
  }
  parts.push_back({.revision = revision, .positions = std::move(positions)});
}

bool StreamQueue::Push(EventBatch&& batch) {
  absl::MutexLock lock(&mu_);
  if (closed_) return true;  // Nobody will miss it.
  if (bytes_ != 0 && bytes_ + batch.bytes > bytes_max_) {
    refused_ = true;
    return false;
  }
  bytes_ += batch.bytes;
  messages_.emplace_back(std::move(batch));
  Signal();
  return true;
}

void StreamQueue::Push(etcdserverpb::WatchResponse answer) {
  absl::MutexLock lock(&mu_);
  if (closed_) return;
  ++answers_;
  messages_.emplace_back(std::move(answer));
  Signal();
}

void StreamQueue::Signal() {
  if (std::exchange(armed_, false)) ready_();
}

std::optional<QueuedMessage> StreamQueue::Pop(bool* room) {
  absl::MutexLock lock(&mu_);
  *room = false;
  if (messages_.empty()) {
    armed_ = !closed_;
    return std::nullopt;
  }
  QueuedMessage message = std::move(messages_.front());
  messages_.pop_front();
  if (const auto* batch = std::get_if<EventBatch>(&message)) {
    bytes_ -= batch->bytes;
  } else {
    --answers_;
  }
  // Not at every little gap: a watcher comes back for a good part of the buffer at once.
  if (refused_ && bytes_ <= bytes_max_ / 2) {
    refused_ = false;
    *room = true;
  }
  return message;
}

void StreamQueue::Close() {
  absl::MutexLock lock(&mu_);
  closed_ = true;
  armed_ = false;
  messages_.clear();
  bytes_ = 0;
  answers_ = 0;
}

size_t StreamQueue::answers() const {
  absl::MutexLock lock(&mu_);
  return answers_;
}

bool StreamQueue::closed() const {
  absl::MutexLock lock(&mu_);
  return closed_;
}

}  // namespace keel::server
