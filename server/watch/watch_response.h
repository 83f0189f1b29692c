#pragma once

// Responses with events, as they go over the wire. The pairs are wire bytes since they were applied, so they are copied
// into the response and never parsed.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "proto/etcdserver_watch.pb.h"
#include "server/watch/stream_queue.h"
#include "storage/state/state_store.h"

namespace keel::server {

// The response that delivers a batch, in pieces that need only be put after each other. Thread-compatible; meant to be
// used again for the next one.
class EventsOnWire {
 public:
  // Previous pairs are read from the store now, if the watcher wants them; one whose revision has been compacted is
  // left out. Holds on to the events until Write() or Clear().
  void Take(const EventBatch& batch, const storage::StateStore& store);

  // The response, into what `room` gives for its size; its header is `header` with the batch's revision.
  void Write(const etcdserverpb::ResponseHeader& header, absl::FunctionRef<uint8_t*(size_t bytes)> room);

  void Clear();

  size_t events() const { return events_.size(); }
  // Of the response without its header.
  size_t bytes() const { return bytes_; }

 private:
  friend std::deque<etcdserverpb::WatchResponse> Fragment(const EventsOnWire& events, size_t bytes);

  struct Event {
    storage::Event::Type type = storage::Event::Type::kPut;
    std::shared_ptr<const std::string> kv;
    std::shared_ptr<const std::string> prev_kv;  // Null: none.
    size_t bytes = 0;                            // As a message.
  };

  int64_t watch_id_ = 0;
  storage::Revision revision_;
  std::vector<Event> events_;
  size_t bytes_ = 0;
};

// Whether a watcher that wants fragments gets this response as several.
bool NeedsFragments(const EventsOnWire& events, size_t bytes);
// Several, each below `bytes` unless a single event is not. Of their headers only the revision is set.
std::deque<etcdserverpb::WatchResponse> Fragment(const EventsOnWire& events, size_t bytes);

}  // namespace keel::server
