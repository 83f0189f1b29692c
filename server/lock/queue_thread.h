#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"

namespace keel::server {

// A thread that runs tasks in the order they were posted, and `poll` when it has been asked to. What is posted is
// bounded by its owner: a few tasks per call in progress. Thread-safe.
class QueueThread {
 public:
  using Task = absl::AnyInvocable<void()>;

  QueueThread() = default;
  ~QueueThread() { Stop(); }

  // `poll` runs after every group of tasks as well; `at_end` last of all. All on the thread.
  void Start(Task poll, Task at_end);

  // False, and the task is dropped unrun, once stopping.
  bool Post(Task task);
  void RequestPoll();

  // What has been posted still runs. Idempotent, blocks until the thread has ended.
  void Stop();

 private:
  void Run(Task poll, Task at_end);

  absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace keel::server
