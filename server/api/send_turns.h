#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/api/worker_pool.h"

namespace keel::server {

// Keeps streams that have very much to send from shutting out everybody else's requests. gRPC's thread takes all that
// has completed before it looks at its sockets again, and a write that may wait for the next one completes at once: so
// one write follows the other, and a put that has come meanwhile is read when ten thousand events have been sent. With
// turns, all streams together send so many messages; who has more then steps back, and a sender starts them again a
// moment later, in which gRPC's thread has nothing to take.
//
// Thread-safe. Outlives its users by the shared_ptr that it is held by.
class SendTurns : public std::enable_shared_from_this<SendTurns> {
 public:
  // `senders` outlives all calls.
  explicit SendTurns(WorkerPool* senders) : senders_(senders) {}

  // Whether one more message belongs to this turn.
  bool Spend() { return left_.fetch_sub(1, std::memory_order_relaxed) > 0; }
  // Calls `go_on` from a sender, soon.
  void StepBack(absl::AnyInvocable<void()> go_on);

 private:
  // A turn is about a millisecond; the pause lets a handful of requests in.
  static constexpr int kMessagesPerTurn = 512;
  static constexpr absl::Duration kPause = absl::Microseconds(50);

  void NextTurn();

  WorkerPool* const senders_;
  std::atomic<int> left_{kMessagesPerTurn};
  absl::Mutex mu_;
  std::vector<absl::AnyInvocable<void()>> waiting_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
