#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/watch/stream_queue.h"
#include "server/watch/watch_hub.h"
#include "server/watch/watch_response.h"
#include "server/watch/watcher.h"

namespace keel::server {

class WatchHubImpl;

// One stream: the watchers of one client connection, and the queue that all their messages leave through.
class WatchStreamImpl final : public WatchStream {
 public:
  // What the hub keeps about a stream, under the hub's lock.
  struct State {
    uint64_t serial = 0;
    absl::btree_map<int64_t, std::shared_ptr<Watcher>> watchers;  // By watch id.
    absl::btree_set<int64_t> compacted_ids;  // Of watchers cancelled by a compaction; taken until the client cancels.
    std::vector<std::shared_ptr<Watcher>> blocked;  // Those in State::kBlocked.
    int64_t next_automatic_id = 0;
    // A progress request waits until everything up to here is published; 0: none.
    storage::Revision progress_target;
    int progress_watchers = 0;  // Asked for progress_notify.
    absl::Time next_tick = absl::InfiniteFuture();

    bool IdInUse(int64_t id) const { return watchers.contains(id) || compacted_ids.contains(id); }
  };

  WatchStreamImpl(WatchHubImpl* hub, std::function<void()> ready);
  ~WatchStreamImpl() override;

  void Create(const etcdserverpb::WatchCreateRequest& request) override;
  void Cancel(int64_t watch_id) override;
  void RequestProgress() override;
  Taken NextWire(const etcdserverpb::ResponseHeader& header, absl::FunctionRef<uint8_t*(size_t)> room) override;
  bool congested() const override;

  State& state() { return state_; }
  StreamQueue& queue() { return queue_; }

 private:
  WatchHubImpl& hub_;
  State state_;  // The hub's.
  StreamQueue queue_;

  // Taken before the hub's lock. Makes concurrent calls of NextWire() give whole messages in order.
  absl::Mutex next_mu_;
  std::deque<etcdserverpb::WatchResponse> pieces_ ABSL_GUARDED_BY(next_mu_);  // Of a split response.
  bool more_follow_pieces_ ABSL_GUARDED_BY(next_mu_) = false;                 // The queue was not empty behind it.
  EventsOnWire events_ ABSL_GUARDED_BY(next_mu_);                             // Of the message being written.
};

}  // namespace keel::server
