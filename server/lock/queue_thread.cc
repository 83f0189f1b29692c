#include "server/lock/queue_thread.h"

#include <utility>

namespace keel::server {

void QueueThread::Start(Task poll, Task at_end) {
  thread_ = std::thread([this, poll = std::move(poll), at_end = std::move(at_end)]() mutable {
    Run(std::move(poll), std::move(at_end));
  });
}

bool QueueThread::Post(Task task) {
  absl::MutexLock lock(&mutex_);
  if (stopping_) return false;
  tasks_.push_back(std::move(task));
  wake_ = true;
  return true;
}

void QueueThread::RequestPoll() {
  absl::MutexLock lock(&mutex_);
  wake_ = true;
}

void QueueThread::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = wake_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

void QueueThread::Run(Task poll, Task at_end) {
  while (true) {
    std::deque<Task> tasks;
    bool stopping = false;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.Await(absl::Condition(&wake_));
      wake_ = false;
      tasks.swap(tasks_);
      stopping = stopping_;
    }
    for (Task& task : tasks) task();
    if (stopping) break;
    poll();
  }
  at_end();
}

}  // namespace keel::server
