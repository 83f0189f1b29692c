#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "proto/etcdserver_watch.pb.h"
#include "server/watch/watcher.h"
#include "storage/event.h"

namespace keel::server {

// Events of one watcher that travel in one response: one revision when live, many when catching up. Shares the events,
// copies nothing.
struct EventBatch {
  struct Part {
    storage::RevisionEventsPtr revision;
    EventPositions positions;  // Not empty.
  };

  std::shared_ptr<const WatchSpec> spec;
  storage::Revision header;
  absl::InlinedVector<Part, 1> parts;  // Not empty; by revision, ascending.
  size_t bytes = 0;

  void Add(const storage::RevisionEventsPtr& revision, EventPositions positions);
};

// Responses without events are queued as they will be sent.
using QueuedMessage = std::variant<EventBatch, etcdserverpb::WatchResponse>;

// What one stream has yet to deliver, in order, so that nothing overtakes anything. Bounded in bytes of events: Push
// says no, and who was refused waits for room. Answers to the client's own requests are always taken; `answers()` lets
// the owner stop reading requests from a client that reads no answers.
//
// Thread-safe. `ready` is called with the queue's lock held.
class StreamQueue {
 public:
  StreamQueue(size_t bytes_max, std::function<void()> ready) : bytes_max_(bytes_max), ready_(std::move(ready)) {}

  // False: no room; `batch` is untouched, and the next Pop that makes room says so. A batch always fits an empty queue.
  bool Push(EventBatch&& batch);
  void Push(etcdserverpb::WatchResponse answer);

  // Nullopt: empty, and `ready` will be called. `room`: somebody was refused, and may try again.
  std::optional<QueuedMessage> Pop(bool* room);

  // Nothing comes out and nothing goes in any more, and `ready` is not called again.
  void Close();

  // Queued responses without events.
  size_t answers() const;
  bool closed() const;

 private:
  void Signal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t bytes_max_;
  const std::function<void()> ready_;

  mutable absl::Mutex mu_;
  std::deque<QueuedMessage> messages_ ABSL_GUARDED_BY(mu_);
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t answers_ ABSL_GUARDED_BY(mu_) = 0;
  bool armed_ ABSL_GUARDED_BY(mu_) = true;  // `ready` is owed.
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace keel::server
