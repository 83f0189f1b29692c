#pragma once

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/synchronization/mutex.h"

namespace keel::server {

// Keeps gRPC's callback threads of this process down to what the machine has use for. gRPC starts at least two, and all
// of them wait at one poller: each event wakes one thread to handle it and another one to wait in its place. On a
// machine of few cores that second wake-up costs more than the second thread brings, since no handler blocks. The only
// way to have fewer is to keep some busy: each surplus thread is parked in a callback of a call that went nowhere.
//
// It also keeps the others awake: a callback thread that has had nothing to do for a second sleeps for 100 ms whatever
// comes, which a request to an idle member would have to wait out. Something small comes more often than that.
//
// Lives as long as the process serves; its end releases the threads. Not thread-safe.
class GrpcPollers {
 public:
  // Parks the surplus threads. Returns at once; they are parked as soon as they come by.
  GrpcPollers();
  ~GrpcPollers();
  GrpcPollers(const GrpcPollers&) = delete;
  GrpcPollers& operator=(const GrpcPollers&) = delete;

 private:
  class Nowhere;

  void Park();
  void KeepAwake();

  absl::Mutex mu_;
  bool released_ ABSL_GUARDED_BY(mu_) = false;
  int calls_ ABSL_GUARDED_BY(mu_) = 0;  // Not ended yet.
  bool awake_call_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::unique_ptr<Nowhere>> parked_;
  std::thread waker_;
};

}  // namespace keel::server
