#include "server/lock/key_watches.h"

#include <utility>

namespace keel::server {

int64_t KeyWatches::Add(const Request& request, Listener listener) {
  const int64_t id = next_id_++;
  listeners_.emplace(id, std::move(listener));
  etcdserverpb::WatchCreateRequest create;
  create.set_watch_id(id);
  create.set_key(request.key);
  create.set_range_end(request.range_end);
  create.set_start_revision(request.from.value());
  if (request.events == Request::Events::kPuts) create.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  if (request.events == Request::Events::kDeletes) create.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  stream_->Create(create);
  return id;
}

void KeyWatches::Remove(int64_t id) {
  if (listeners_.erase(id) > 0) stream_->Cancel(id);
}

void KeyWatches::Poll() {
  etcdserverpb::WatchResponse response;
  while (stream_->Next(&response)) {
    auto it = listeners_.find(response.watch_id());
    if (it != listeners_.end() && (response.canceled() || response.events_size() > 0)) {
      // A copy, because the listener may remove itself.
      const Listener listener = it->second;
      if (response.canceled()) listeners_.erase(it);
      listener(response);
    }
    response.Clear();
  }
}

}  // namespace keel::server
