#pragma once

// Knows every open stream, so that the server can end them: when it stops, and, for callers that require a leader, when
// there has been none for three election timeouts (rpc.md section 4.3). Its thread also watches over waits that have no
// event of their own.

#include <cstdint>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/api/call.h"
#include "server/member.h"

namespace keel::server {

// A stream as the monitor sees it.
class OpenStream {
 public:
  virtual ~OpenStream() = default;
  // Ends with `status` as soon as the message on its way is out. Thread-safe, idempotent, does not block.
  virtual void End(absl::Status status) = 0;
  // Ends now, even if the client does not take what is on its way.
  virtual void Abort() = 0;
};

// Thread-safe.
class StreamMonitor {
 public:
  // `member` outlives it. `on_tick` runs on the monitor's thread at each check.
  StreamMonitor(const Member* member, absl::Duration election_timeout, std::function<void()> on_tick);
  ~StreamMonitor();

  void Start();
  // Ends every stream with "etcdserver: server stopped", and aborts those that are still open after half a second;
  // streams added later are ended at once. Waits in Poll() end the same way. Idempotent, blocks.
  void Stop();

  // An entry in the list of streams; leaving it is telling that the stream has ended.
  using Id = uint64_t;
  Id Add(std::weak_ptr<OpenStream> stream, bool requires_leader);
  void Remove(Id id);

  // `done` gets OK when `reached` has become true, kDeadlineExceeded "context deadline exceeded" at
  // call.client_deadline, kCancelled "context canceled" when the caller has gone, or kUnavailable "etcdserver: server
  // stopped". Both run on the monitor's thread, `reached` every few milliseconds.
  void Poll(Call call, absl::AnyInvocable<bool()> reached, Done done);

 private:
  struct Entry {
    std::weak_ptr<OpenStream> stream;
    bool requires_leader = false;
  };
  struct Wait {
    Call call;
    absl::AnyInvocable<bool()> reached;
    Done done;
  };

  void Run();
  void CheckLeader();
  void CheckWaits();
  bool WaitForNone();  // False: some streams are still there after the grace time.
  std::vector<std::shared_ptr<OpenStream>> Streams(bool only_requiring_leader);
  bool HasWork() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !waits_.empty(); }

  const Member* const member_;
  const absl::Duration leaderless_max_;
  const absl::Duration interval_;
  const std::function<void()> on_tick_;

  absl::Mutex mu_;
  absl::flat_hash_map<Id, Entry> streams_ ABSL_GUARDED_BY(mu_);
  std::vector<Wait> waits_ ABSL_GUARDED_BY(mu_);
  Id next_id_ ABSL_GUARDED_BY(mu_) = 1;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;

  absl::Time leader_seen_;  // Owned by the thread.
  std::thread thread_;
};

}  // namespace keel::server
