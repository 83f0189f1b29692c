#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "proto/etcdserver_watch.pb.h"
#include "server/watch/watch_hub.h"
#include "storage/revision.h"

namespace keel::server {

// Many watches of a few keys each, over one stream of the hub. Owned by one thread.
class KeyWatches {
 public:
  // Events of one response, in order; or `canceled`, then nothing more comes for this watch.
  using Listener = std::function<void(const etcdserverpb::WatchResponse& response)>;

  // `ready` as in WatchHub::OpenStream.
  KeyWatches(WatchHub* hub, std::function<void()> ready) : stream_(hub->OpenStream(std::move(ready))) {}

  struct Request {
    std::string key;
    std::string range_end;
    storage::Revision from;  // First revision of interest.
    enum class Events { kAll, kPuts, kDeletes } events = Events::kAll;
  };
  // Returns an id, never 0. The listener is called by Poll() only and may add and remove watches.
  int64_t Add(const Request& request, Listener listener);
  // No effect when it has ended.
  void Remove(int64_t id);

  // Hands out what has come. To be called again when `ready` was.
  void Poll();

 private:
  std::unique_ptr<WatchStream> stream_;
  absl::flat_hash_map<int64_t, Listener> listeners_;
  int64_t next_id_ = 1;
};

}  // namespace keel::server
