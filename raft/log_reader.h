#pragma once

#include <thread>
#include <vector>

#include "raft/failure.h"
#include "raft/mailbox.h"
#include "raft/ready.h"
#include "raft/stable_store.h"
#include "raft/work_queue.h"

namespace keel::raft {

// The thread that reads entries for followers that are so far behind that what they need has left memory. The core
// keeps one request per follower outstanding, which bounds the queue.
class LogReader {
 public:
  // All outlive this.
  LogReader(StableStore* store, Mailbox* mailbox, Failure* failure);
  ~LogReader();

  // Ends with a Fetched in the mailbox.
  void Fetch(FetchWork work);

  // Idempotent.
  void Stop();

 private:
  void Run();

  StableStore& store_;
  Mailbox& mailbox_;
  Failure& failure_;
  WorkQueue<FetchWork> queue_;
  std::thread thread_;
};

}  // namespace keel::raft
