#pragma once

// A few threads for what must not run on the thread that finds it to do: reads that may touch the disk, and the
// sending to streams that is noticed under somebody's lock.

#include <deque>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace keel::server {

// Thread-safe. Tasks start in the order they came. The queue needs no bound of its own: every task belongs to an open
// call and a call has at most one, so the bound on calls is the bound here.
class WorkerPool {
 public:
  // 0: tasks run at once, on the thread that brings them.
  explicit WorkerPool(int threads);
  // Runs what is queued, then ends. Nothing may be added any more.
  ~WorkerPool();

  void Run(absl::AnyInvocable<void()> task);

 private:
  void Work();

  absl::Mutex mu_;
  absl::CondVar ready_;
  std::deque<absl::AnyInvocable<void()>> tasks_ ABSL_GUARDED_BY(mu_);
  int idle_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace keel::server
