#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/random.h"
#include "server/watch/event_ring.h"
#include "server/watch/watch_hub.h"
#include "server/watch/watch_stream.h"
#include "server/watch/watcher.h"
#include "server/watch/watcher_index.h"

namespace keel::server {

// The one sequencer: every event, every progress message and every change of a watcher's state happens under its lock,
// so that none can overtake another. The lock is held for work in memory only; reading history and building responses
// happen outside. Lock order: WatchStreamImpl::next_mu_, this, StreamQueue.
//
// A watcher is synced (found by the index when a revision is published) or lagging (fed by the catch-up thread, which
// reads the ring or the disk once for all who stand close together). It changes sides under the lock, at exactly the
// published revision.
//
// Divided by role: watch_hub.cc has watchers and publishing, catch_up.cc the thread.
class WatchHubImpl final : public WatchHub {
 public:
  WatchHubImpl(const Options& options, storage::StateStore* store, const Clock* clock);
  ~WatchHubImpl() override;

  void Start() override;
  bool Poll() override;
  void Stop() override;
  std::unique_ptr<WatchStream> OpenStream(std::function<void()> ready) override;
  void Publish(const std::vector<storage::RevisionEventsPtr>& revisions) override;
  void OnStateReplaced() override;
  Stats stats() const override;

  // --- From streams.
  void CreateWatcher(WatchStreamImpl* stream, const etcdserverpb::WatchCreateRequest& request);
  void CancelWatcher(WatchStreamImpl* stream, int64_t watch_id);
  void RequestProgress(WatchStreamImpl* stream);
  // The stream's queue has room again.
  void Unblock(WatchStreamImpl* stream);
  void CloseStream(WatchStreamImpl* stream);

  const Options& options() const { return options_; }
  const storage::StateStore& store() const { return store_; }

 private:
  // One watcher's share of a catch-up pass.
  struct CatchUpTask {
    std::shared_ptr<Watcher> watcher;
    const WatchStreamImpl* stream = nullptr;  // Only to tell it from others.
    storage::Revision from;
    EventBatch batch;
    EventSelection selection;  // In the revision being matched.
  };
  struct CatchUpPass {
    std::vector<CatchUpTask> tasks;
    storage::Revision first;
    storage::Revision last;  // Inclusive.
    bool in_memory = false;
    absl::flat_hash_set<const WatchStreamImpl*> full;  // Have refused events.
    std::vector<storage::RevisionEventsPtr> revisions;
  };

  // --- Watchers (watch_hub.cc).
  void Refuse(WatchStreamImpl* stream, const char* reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void SetState(Watcher* watcher, Watcher::State state) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void MakeLagging(const std::shared_ptr<Watcher>& watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Remove(const std::shared_ptr<Watcher>& watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Its stream has no room.
  void Block(Watcher* watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Queues the events, or blocks the watcher where it stands.
  bool Deliver(Watcher* watcher, EventBatch&& batch) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool CaughtUp(const Watcher& watcher) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool AllCaughtUp(WatchStreamImpl* stream) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void AnswerProgressRequests() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ScheduleTick(WatchStreamImpl* stream) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // --- The thread (catch_up.cc).
  void Run();
  void TickProgress() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void CatchUpOnce();
  // Empty tasks: nothing to do.
  CatchUpPass TakePass();
  absl::Status ReadPass(CatchUpPass* pass) const;
  // Of the tasks [begin, end).
  static void Match(CatchUpPass* pass, size_t begin, size_t end);
  void Deliver(CatchUpPass* pass, size_t begin, size_t end);
  void FailPass(const CatchUpPass& pass, const absl::Status& status);
  void CancelCompacted(const std::shared_ptr<Watcher>& watcher, storage::Revision compact)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // After a delivery: joins, or goes on lagging.
  void Advance(const std::shared_ptr<Watcher>& watcher) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Options options_;
  storage::StateStore& store_;
  const Clock& clock_;
  std::thread thread_;

  mutable absl::Mutex mu_;
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  bool poked_ ABSL_GUARDED_BY(mu_) = false;  // The thread's waiting time has changed.
  storage::Revision published_ ABSL_GUARDED_BY(mu_);
  EventRing ring_ ABSL_GUARDED_BY(mu_);
  WatcherIndex index_ ABSL_GUARDED_BY(mu_);                            // The synced.
  std::deque<std::shared_ptr<Watcher>> lagging_ ABSL_GUARDED_BY(mu_);  // In State::kLagging, or gone by now.
  absl::btree_map<uint64_t, WatchStreamImpl*> streams_ ABSL_GUARDED_BY(mu_);
  absl::btree_map<uint64_t, WatchStreamImpl*> ticking_ ABSL_GUARDED_BY(mu_);  // With watchers that want progress.
  std::vector<WatchStreamImpl*> progress_requests_ ABSL_GUARDED_BY(mu_);
  std::vector<Watcher*> touched_ ABSL_GUARDED_BY(mu_);  // Scratch of Publish.
  uint64_t next_serial_ ABSL_GUARDED_BY(mu_) = 0;
  Random jitter_ ABSL_GUARDED_BY(mu_);
  Stats stats_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
