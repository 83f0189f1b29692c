#pragma once

// Delivers the changes of the keyspace to whoever watches, in order, without gap or duplicate, and without ever holding
// the apply thread. Semantics: rpc.md section 2.8. A slow stream lags behind in a bounded buffer and catches up from
// history; it is never given a gap.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/drive.h"
#include "proto/etcdserver_watch.pb.h"
#include "storage/event.h"
#include "storage/state/state_store.h"

namespace keel::server {

// One client's stream of watchers. Pull model: the hub says when there is something, the owner takes one message when
// its connection can take it; so a slow connection costs a bounded buffer and nothing else.
// Thread-safe. Destroying it cancels its watchers; it must be destroyed before the hub.
class WatchStream {
 public:
  virtual ~WatchStream() = default;

  // Requests as the client sent them; answers come out of Next(). Never block.
  virtual void Create(const etcdserverpb::WatchCreateRequest& request) = 0;
  virtual void Cancel(int64_t watch_id) = 0;
  virtual void RequestProgress() = 0;

  struct Taken {
    bool any = false;           // False: nothing now; `ready` is called once when that changes.
    bool more_follows = false;  // There is another message to take already.
    bool answer = false;        // To a request of the client: a watcher is created, or cancelled.
    size_t events = 0;
  };
  // The next message as it goes over the wire, written into what `room` gives for its size. Its header is `header` with
  // the revision that the contract says.
  virtual Taken NextWire(const etcdserverpb::ResponseHeader& header,
                         absl::FunctionRef<uint8_t*(size_t bytes)> room) = 0;
  // The same as a message, with the header's other fields left to the caller. False: nothing now, as above.
  bool Next(etcdserverpb::WatchResponse* response);

  // The client asks much and reads nothing: the owner should not read further requests until Next() has been called
  // often enough. Nothing breaks if it does; only memory is at stake.
  virtual bool congested() const { return false; }
};

class WatchHub {
 public:
  struct Options {
    size_t ring_bytes_max = 4u << 20;           // Recent revisions kept in memory for all watchers together.
    size_t stream_buffer_bytes_max = 4u << 20;  // Undelivered events of one stream before its watchers lag.
    size_t stream_backlog_bytes = 64u << 10;    // With more undelivered, a watcher's revisions travel together.
    size_t fragment_bytes = 2u << 20;           // Responses at least this large are split when the watcher allows it.
    absl::Duration progress_interval = absl::Minutes(10);  // --watch-progress-notify-interval
    Drive drive = Drive::kThread;
    std::optional<uint64_t> seed;  // Spreads periodic progress; nullopt: by chance.
  };

  static std::unique_ptr<WatchHub> Create(const Options& options, storage::StateStore* store, const Clock* clock);
  virtual ~WatchHub() = default;

  // Starts the catch-up and progress thread. Stop() ends it and closes every stream (Next gives nothing more);
  // idempotent, blocks.
  virtual void Start() = 0;
  // One round of catching up, and progress that is due. With Drive::kOwner, after every call of others and now and
  // then. True: watchers still lag, call again.
  virtual bool Poll() = 0;
  virtual void Stop() = 0;

  // `ready` is called on any thread, possibly while hub locks are held: it must only schedule. Not called any more when
  // the stream's destructor has returned.
  virtual std::unique_ptr<WatchStream> OpenStream(std::function<void()> ready) = 0;

  // --- From the apply thread, after the commit, in revision order. Never blocks on a stream.
  virtual void Publish(const std::vector<storage::RevisionEventsPtr>& revisions) = 0;
  // A snapshot replaced the state: watchers go on from history.
  virtual void OnStateReplaced() = 0;

  struct Stats {
    int64_t streams = 0;
    int64_t watchers = 0;
    int64_t lagging_watchers = 0;
    int64_t events_total = 0;    // Queued to be sent, ever.
    int64_t pending_events = 0;  // Of these, not taken by their streams yet.
  };
  virtual Stats stats() const = 0;
};

}  // namespace keel::server
