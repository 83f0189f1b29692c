#pragma once

// The network, as the shell needs it. server/peer implements it; simulation has its own.

#include <vector>

#include "raft/message.h"

namespace keel::raft {

class Transport {
 public:
  virtual ~Transport() = default;

  // Sends messages to their `to`. Never blocks: what does not fit a peer's bounded queue is dropped, which Raft
  // tolerates, and reported through Node::ReportUnreachable. Order per peer is kept. Called by the raft thread and the
  // log writer thread, possibly at once.
  virtual void Send(std::vector<Message> messages) = 0;

  // Whether what is sent to `peer` now is likely to get there. What is proposed here for a leader that is not reached
  // waits instead of being sent and lost; Node::ReportReachable ends the wait. A transport that cannot tell says yes.
  // Called by the raft thread; must not block.
  virtual bool Reaches(MemberId /*peer*/) const { return true; }

  // Starts sending a snapshot to `follower` in the background; ends with one Node::ReportSnapshotSent. Never blocks.
  virtual void SendSnapshot(MemberId follower, Term term) = 0;
};

}  // namespace keel::raft
