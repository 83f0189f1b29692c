#pragma once

#include <cstddef>
#include <deque>

#include "proto/etcdserver_watch.pb.h"
#include "server/watch/stream_queue.h"
#include "storage/state/state_store.h"

namespace keel::server {

// The response that delivers `batch`. Previous pairs are read from the store now, if the watcher wants them; one whose
// revision has been compacted is left out.
void BuildEvents(const EventBatch& batch, const storage::StateStore& store, etcdserverpb::WatchResponse* response);

// Splits a response of at least `bytes` and two events into several, each below `bytes` unless a single event is not;
// otherwise gives it back whole.
std::deque<etcdserverpb::WatchResponse> Fragment(etcdserverpb::WatchResponse whole, size_t bytes);

}  // namespace keel::server
