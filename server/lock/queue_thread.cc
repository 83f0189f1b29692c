#include "server/lock/queue_thread.h"

#include <utility>

namespace keel::server {

void QueueThread::Start(Drive drive, Task poll, Task at_end) {
  poll_ = std::move(poll);
  at_end_ = std::move(at_end);
  if (drive == Drive::kOwner) return;
  thread_ = std::thread([this] {
    bool running = true;
    while (running) {
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(&wake_));
      }
      running = RunGroup();
    }
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

bool QueueThread::Poll() {
  {
    absl::MutexLock lock(&mutex_);
    if (!wake_) return false;
  }
  const bool running = RunGroup();
  absl::MutexLock lock(&mutex_);
  return running && wake_;
}

void QueueThread::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = wake_ = true;
  }
  if (thread_.joinable()) {
    thread_.join();
  } else if (at_end_) {
    RunGroup();
  }
}

bool QueueThread::RunGroup() {
  std::deque<Task> tasks;
  bool stopping = false;
  {
    absl::MutexLock lock(&mutex_);
    wake_ = false;
    tasks.swap(tasks_);
    stopping = stopping_;
  }
  for (Task& task : tasks) task();
  if (stopping) {
    if (Task at_end = std::exchange(at_end_, nullptr)) at_end();
    return false;
  }
  poll_();
  return true;
}

}  // namespace keel::server
