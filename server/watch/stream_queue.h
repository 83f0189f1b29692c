#pragma once

#include <cstddef>
#include <cstdint>
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

// Events of one watcher that travel in one response: one revision when live, many when it has fallen behind. Shares the
// events, copies nothing.
struct EventBatch {
  struct Part {
    storage::RevisionEventsPtr revision;
    absl::InlinedVector<uint32_t, 2> positions;  // Not empty.
  };

  std::shared_ptr<const WatchSpec> spec;
  storage::Revision header;
  absl::InlinedVector<Part, 1> parts;  // Not empty; by revision, ascending.
  size_t bytes = 0;
  size_t events = 0;

  void Add(const storage::RevisionEventsPtr& revision, EventSelection selection);
  // What follows `this`, of the same watcher.
  void Append(EventBatch&& later);
};

// Responses without events are queued as they will be sent.
using QueuedMessage = std::variant<EventBatch, etcdserverpb::WatchResponse>;

// What one stream has yet to deliver, in order, so that nothing overtakes anything. Bounded in bytes of events: Push
// says no, and who was refused waits for room. Answers to the client's own requests are always taken; `answers()` lets
// the owner stop reading requests from a client that reads no answers.
//
// A stream that has much waiting has fallen behind. A watcher's events then join those of it that wait already, as they
// would if it caught up from history: every message costs the same however much it carries. Nothing joins what stands
// before an answer, so that none is overtaken; watchers have no order among each other.
//
// Thread-safe. `ready` is called with the queue's lock held.
class StreamQueue {
 public:
  // Where a watcher's last events stand in the queue.
  using Place = uint64_t;
  static constexpr Place kNoPlace = 0;

  // With more than `backlog_bytes` waiting, the stream has fallen behind.
  StreamQueue(size_t bytes_max, size_t backlog_bytes, std::function<void()> ready)
      : bytes_max_(bytes_max), backlog_bytes_(backlog_bytes), ready_(std::move(ready)) {}

  // False: no room; `batch` is untouched, and the next Pop that makes room says so. A batch always fits an empty queue.
  // `place` is the watcher's.
  bool Push(EventBatch&& batch, Place* place);
  void Push(etcdserverpb::WatchResponse answer);
  // As if a batch had been refused, unless there is room again: then false.
  bool AwaitRoom();

  struct Popped {
    QueuedMessage message;
    bool room = false;          // Somebody was refused, and may try again.
    bool more_follows = false;  // The queue is not empty.
  };
  // Nullopt: empty, and `ready` will be called.
  std::optional<Popped> Pop();

  // Nothing comes out and nothing goes in any more, and `ready` is not called again.
  void Close();

  // Queued responses without events.
  size_t answers() const;
  size_t events() const;
  bool closed() const;

 private:
  bool HasRoom() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Signal() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const size_t bytes_max_;
  const size_t backlog_bytes_;
  const std::function<void()> ready_;

  mutable absl::Mutex mu_;
  std::deque<QueuedMessage> messages_ ABSL_GUARDED_BY(mu_);
  Place first_ ABSL_GUARDED_BY(mu_) = kNoPlace + 1;  // Of messages_.front(); the others follow.
  Place sealed_ ABSL_GUARDED_BY(mu_) = kNoPlace;     // Up to here nothing joins any more.
  size_t bytes_ ABSL_GUARDED_BY(mu_) = 0;
  size_t answers_ ABSL_GUARDED_BY(mu_) = 0;
  size_t events_ ABSL_GUARDED_BY(mu_) = 0;
  bool armed_ ABSL_GUARDED_BY(mu_) = true;  // `ready` is owed.
  bool refused_ ABSL_GUARDED_BY(mu_) = false;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace keel::server
