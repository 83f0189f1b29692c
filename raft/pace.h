#pragma once

#include <atomic>

namespace keel::raft {

// How eager the threads of a member are. When little is going on, each does at once what it is woken for. When much is,
// and the processors are taken, a thread that pushes the running one aside to do one small thing costs more than it
// brings: it had better come when that one is done, and do all that has gathered. To the kernel such a thread is one of
// batch work (SCHED_BATCH); where a processor is free, it runs as soon as any other.
//
// Thread-safe.
class Pace {
 public:
  void Set(bool busy) { busy_.store(busy, std::memory_order_relaxed); }
  bool busy() const { return busy_.load(std::memory_order_relaxed); }

  // Has the calling thread keep this pace from now on; to be repeated now and then. A system call when it has changed.
  // A thread of several members keeps that of the last one.
  void Follow() const {
    if (busy() != followed_) Adopt(busy());
  }

 private:
  static void Adopt(bool busy);

  static thread_local bool followed_;
  static thread_local bool is_ours_;  // Made one of batch work here, and not by whoever started the process.
  std::atomic<bool> busy_ = false;
};

}  // namespace keel::raft
