#include "server/api/worker_pool.h"
#include "base/thread_name.h"

#include <utility>

namespace keel::server {

WorkerPool::WorkerPool(int threads) {
  threads_.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

WorkerPool::~WorkerPool() {
  {
    absl::MutexLock lock(&mu_);
    closed_ = true;
    ready_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Run(absl::AnyInvocable<void()> task) {
  if (threads_.empty()) return task();
  absl::MutexLock lock(&mu_);
  tasks_.push_back(std::move(task));
  // A busy worker looks at the queue again before it waits, so a wake-up is only worth its price for an idle one.
  if (idle_ > 0) ready_.Signal();
}

void WorkerPool::Work() {
  NameThread("reader");
  while (true) {
    absl::AnyInvocable<void()> task;
    {
      absl::MutexLock lock(&mu_);
      while (tasks_.empty() && !closed_) {
        ++idle_;
        ready_.Wait(&mu_);
        --idle_;
      }
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    task();
  }
}

}  // namespace keel::server
