#pragma once

// What the calls between members have in common: deadlines, the callee's reactor, the caller's calls under way.

#include <grpcpp/client_context.h>
#include <grpcpp/support/server_callback.h>

#include <chrono>
#include <functional>
#include <memory>
#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace keel::server {

// gRPC's deadlines are wall time, ours the monotonic clock's; what travels is the time left, at most a day.
std::chrono::system_clock::time_point ToGrpcDeadline(absl::Time deadline);
absl::Time FromGrpcDeadline(std::chrono::system_clock::time_point deadline);

// One call from a peer. Whoever comes first ends it: the answer, or the call's cancellation, so that a stopping server
// need not wait for an answer. Deletes itself.
class ForwardedCall final : public grpc::ServerUnaryReactor {
 public:
  // What the answer holds on to; it may come when the call is long gone. Thread-safe.
  class Ending {
   public:
    explicit Ending(ForwardedCall* call) : call_(call) {}
    // `fill` is run only when the response is still there.
    void End(const absl::Status& status, const std::function<void()>& fill = nullptr);

   private:
    absl::Mutex mu_;
    ForwardedCall* call_ ABSL_GUARDED_BY(mu_);
  };

  // To be taken before anything can end the call, which may be gone then.
  const std::shared_ptr<Ending>& ending() const { return ending_; }

 private:
  void OnCancel() override { ending_->End(absl::CancelledError("cancelled")); }
  void OnDone() override { delete this; }

  const std::shared_ptr<Ending> ending_ = std::make_shared<Ending>(this);
};

// A client's calls under way, so that its stop can end them. Thread-safe.
class CallsUnderWay {
 public:
  // False: stopping, the call must not begin.
  bool Add(grpc::ClientContext* context);
  void Remove(grpc::ClientContext* context);
  // Cancels them all and blocks until each has been removed; none is added any more. Idempotent.
  void Stop();

 private:
  absl::Mutex mu_;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
