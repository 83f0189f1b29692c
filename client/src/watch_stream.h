#pragma once

// The engine of a Watcher: one watch over any number of streams, one after the other.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "client/src/core.h"
#include "client/src/tour.h"
#include "keel/watch.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::client {

// Thread-safe. Invariants: at most one stream is open; what is received reaches the buffer in order; every event below
// received_next_ has reached the buffer, none at or above has. From Start() until it has ended, it is registered with
// its Core and keeps itself alive, and exactly one of these may go on with it: a stream, a pending timer, or the thread
// in Connect(); so it ends exactly once. Lock order: see Core; mu_ is taken after the Core's registry.
class WatchStream final : public Activity, public std::enable_shared_from_this<WatchStream> {
 public:
  static std::shared_ptr<WatchStream> Start(std::shared_ptr<Core> core, std::string_view key,
                                            const WatchOptions& options, WatchCallback callback);

  absl::StatusOr<WatchResponse> Next(absl::Time deadline);
  absl::Status RequestProgress();
  void Cancel();
  // After Cancel(): waits for a callback that runs, unless this is the thread that runs it.
  void AwaitCallback();
  Watcher::Connection connection() const;
  int64_t compact_revision() const;
  int64_t next_revision() const;

  // Use Start().
  WatchStream(std::shared_ptr<Core> core, const WatchOptions& options, WatchCallback callback);

 private:
  class Attempt;  // One stream.

  struct Item {
    WatchResponse response;
    size_t bytes = 0;
    int64_t next_revision = 0;  // See Watcher::next_revision(), once this is taken.
  };

  void CancelFromCore() override;
  void Connect();
  void ConnectAfter(absl::Duration delay);
  // Forgets the last hold on this object; nothing happens any more.
  void Settle();
  // `refused`: no connection was made.
  void Disconnected(const Route& route, const grpc::Status& status, bool refused);
  void Drain();

  void EndWith(absl::Status status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Receive(etcdserverpb::WatchResponse& in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReceiveEvents(etcdserverpb::WatchResponse& in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ReceiveCancel(const etcdserverpb::WatchResponse& in) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Push(WatchResponse response, size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void PostDrain() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  std::optional<WatchResponse> Take() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  bool has_room() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return buffered_bytes_ < options_.buffer_bytes_max; }
  bool HasNext() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !buffer_.empty() || ended_; }
  bool CallbackIsAway() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return running_callback_ == std::thread::id() || running_callback_ == std::this_thread::get_id();
  }

  const std::shared_ptr<Core> core_;
  const WatchOptions options_;
  const WatchCallback callback_;
  etcdserverpb::WatchRequest create_;  // All but the start revision; constant once started.

  mutable absl::Mutex mu_;
  std::shared_ptr<WatchStream> self_ ABSL_GUARDED_BY(mu_);  // Ourselves, until Settle().
  Attempt* attempt_ ABSL_GUARDED_BY(mu_) = nullptr;         // Owned by itself.
  std::deque<Item> buffer_ ABSL_GUARDED_BY(mu_);
  size_t buffered_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  std::optional<WatchResponse> fragments_ ABSL_GUARDED_BY(mu_);  // Of a response that is still to be completed.
  size_t fragment_bytes_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t received_next_ ABSL_GUARDED_BY(mu_) = 0;  // Where the next stream begins; 0: nowhere in particular.
  int64_t taken_next_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t compact_revision_ ABSL_GUARDED_BY(mu_) = 0;
  bool created_told_ ABSL_GUARDED_BY(mu_) = false;
  int progress_requests_ ABSL_GUARDED_BY(mu_) = 0;  // Not answered yet.
  Tour tour_ ABSL_GUARDED_BY(mu_);                  // Since a stream was last created.
  uint64_t connects_ ABSL_GUARDED_BY(mu_) = 0;      // Streams opened so far.
  int failures_ ABSL_GUARDED_BY(mu_) = 0;           // Streams in a row that ended before they were created.
  absl::Status last_error_ ABSL_GUARDED_BY(mu_);    // Why there is no stream now.
  absl::Time down_since_ ABSL_GUARDED_BY(mu_);      // Since when there is none.
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status end_status_ ABSL_GUARDED_BY(mu_);
  bool muted_ ABSL_GUARDED_BY(mu_) = false;  // Cancelled by the application: no more callbacks.
  bool drain_posted_ ABSL_GUARDED_BY(mu_) = false;
  bool end_told_ ABSL_GUARDED_BY(mu_) = false;
  std::thread::id running_callback_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::client
