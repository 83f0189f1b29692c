#pragma once

// Changes as they happen, without gap or duplicate, over any number of reconnects.
//
//   auto watcher = client.Watch("config/", {.prefix = true});
//   while (HasWork()) {
//     auto next = watcher->Next();
//     if (!next.ok()) break;  // kOutOfRange: fell behind a compaction; read anew, then watch from there.
//     for (const keel::Event& event : next->events) Apply(event);
//   }
//
// Or: auto watcher = client.Watch("config/", {.prefix = true}, [](const auto& next) { ... });

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/types.h"

namespace keel {

namespace client {
class Core;
class WatchStream;
}  // namespace client

// Keys as in RangeOptions.
struct WatchOptions {
  std::string range_end = {};
  bool prefix = false;
  bool from_key = false;
  int64_t start_revision = 0;  // Inclusive, may lie in the past or the future; 0: what happens from now on.
  bool prev_kv = false;        // Events carry the pair before the change.
  bool without_puts = false;   // Leave these events out.
  bool without_deletes = false;
  bool progress_notify = false;  // Also deliver responses without events that say how far the watch has come.
  bool created_notify = false;   // Also deliver the first response, which says where it began.
  bool require_leader = true;    // Move to another member when this one has lost the leader.
  size_t buffer_bytes_max = 8 * 1024 * 1024;  // Received and not yet taken; beyond it the stream is not read.
  std::string endpoint = {};                  // Stay with this endpoint; empty: any.
  // Wait for the servers even if the client has never been connected; see CallOptions::wait_for_ready.
  bool wait_for_ready = false;
};

// All events of a revision come in one response.
struct WatchResponse {
  ResponseHeader header = {};
  int64_t watch_id = 0;
  bool created = false;
  bool canceled = false;         // The last response. compact_revision or cancel_reason says why.
  int64_t compact_revision = 0;  // History below it is gone, and the watch had not got so far.
  std::string cancel_reason = {};
  std::vector<Event> events = {};

  // Every event up to and including header.revision has been delivered.
  bool is_progress() const { return events.empty() && !created && !canceled; }
};

using WatchCallback = std::function<void(const absl::StatusOr<WatchResponse>&)>;

// One watch, on a stream of its own, so that a slow one holds back nobody else. After a break it goes on, perhaps at
// another endpoint, from the revision after the last event or progress it was told. Made by Client::Watch. Thread-safe.
// The destructor cancels and does not wait for the network; a callback that is running is waited for (except when it
// is the callback that destroys the watcher). May outlive its Client: it then reports kCancelled.
class Watcher {
 public:
  explicit Watcher(std::shared_ptr<client::WatchStream> stream);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Blocks for the next response. REQUIRES: not made with a callback. After a response with `canceled`, and for ever:
  //   kOutOfRange          compacted; compact_revision() says up to where
  //   kPermissionDenied, kUnauthenticated, kInvalidArgument, kFailedPrecondition   refused, with the server's reason
  //   kUnavailable         no endpoint can be connected to, and the client never has been
  //   kCancelled           Cancel() was called, or the Client is gone
  // kDeadlineExceeded: nothing came until `deadline`; the watch goes on. The text says if the stream is down, and why.
  absl::StatusOr<WatchResponse> Next(absl::Time deadline = absl::InfiniteFuture());

  // Asks the member how far the watch has come; the answer comes as a response with is_progress(). A member may
  // ignore the request while the watch is not caught up. kUnavailable: not connected just now.
  absl::Status RequestProgress();

  // Ends the watch; a blocked Next returns kCancelled. May be called from any thread, any number of times.
  void Cancel();

  // Whether a member is sending now. While it is not, changes are late; none is lost.
  struct Connection {
    absl::Status status;  // OK: it is. Else why not.
    absl::Time since;     // Since when it is not; the infinite future when it is.
  };
  Connection connection() const;

  // 0 unless the watch ended by compaction.
  int64_t compact_revision() const;
  // Where a watch would have to begin to see what this one has not delivered: the revision after the last response
  // taken. 0: nothing is known yet.
  int64_t next_revision() const;

 private:
  std::shared_ptr<client::WatchStream> stream_;
};

}  // namespace keel
