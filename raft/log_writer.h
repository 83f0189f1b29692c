#pragma once

#include <optional>
#include <thread>
#include <variant>
#include <vector>

#include "raft/failure.h"
#include "raft/mailbox.h"
#include "raft/pace.h"
#include "raft/ready.h"
#include "raft/stable_store.h"
#include "raft/transport.h"
#include "raft/work_queue.h"

namespace keel::raft {

// The thread that writes the log. It takes every append that has queued since its last sync as one write and one sync,
// then sends the messages that waited for them, then tells the raft thread.
//
// The queue is bounded by what the core lets be under way: its uncommitted bytes as a leader, the leader's flow control
// as a follower.
class LogWriter {
 public:
  struct Append {
    std::optional<AppendTicket> ticket;  // Unset: only messages that must not overtake the appends before them.
    StableBatch batch;
    std::vector<Message> after;
  };

  // All outlive this.
  LogWriter(StableStore* store, Transport* transport, Mailbox* mailbox, Failure* failure, const Pace* pace);
  ~LogWriter();

  // All are carried out in the order of the calls, and end with an input to the mailbox: PostAppended, LogTruncated,
  // Installed.
  void Write(Append append);
  void Truncate(Index through);
  void Reset(SnapshotMeta meta);

  // Finishes what is being written, drops the rest. Idempotent.
  void Stop();

 private:
  struct TruncateJob {
    Index through;
  };
  struct ResetJob {
    SnapshotMeta meta;
  };
  using Job = std::variant<Append, TruncateJob, ResetJob>;

  void Run();
  // Carries out the appends at the front of [job, end); returns the first job it has not done.
  Job* WriteAppends(Job* job, Job* end);

  StableStore& store_;
  Transport& transport_;
  Mailbox& mailbox_;
  Failure& failure_;
  const Pace& pace_;
  WorkQueue<Job> queue_;
  std::thread thread_;
};

// `later` appended behind `batch`: what it replaces of it is never written at all.
void MergeInto(StableBatch* batch, StableBatch later);

// Removes acknowledgements that a later one in `messages`, to the same member in the same term, covers.
void KeepNewestAcks(std::vector<Message>* messages);

}  // namespace keel::raft
