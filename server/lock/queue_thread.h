#pragma once

#include <deque>
#include <functional>
#include <thread>

#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "base/drive.h"

namespace keel::server {

// A thread that runs tasks in the order they were posted, and `poll` when it has been asked to. What is posted is
// bounded by its owner: a few tasks per call in progress. Thread-safe.
class QueueThread {
 public:
  using Task = absl::AnyInvocable<void()>;

  QueueThread() = default;
  ~QueueThread() { Stop(); }

  // `poll` runs after every group of tasks as well; `at_end` last of all. All on the thread; with Drive::kOwner there
  // is none, and they run in Poll() and Stop().
  void Start(Drive drive, Task poll, Task at_end);

  // Runs what has been posted, if anything has happened. True: something has happened again meanwhile.
  bool Poll();

  // False, and the task is dropped unrun, once stopping.
  bool Post(Task task);
  void RequestPoll();

  // What has been posted still runs. Idempotent, blocks until the thread has ended.
  void Stop();

 private:
  // False: stopping, and nothing is left.
  bool RunGroup();

  Task poll_;    // The thread's.
  Task at_end_;  // Likewise; empty when it has run.

  absl::Mutex mutex_;
  std::deque<Task> tasks_ ABSL_GUARDED_BY(mutex_);
  bool wake_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;
};

}  // namespace keel::server
