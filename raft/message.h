#pragma once

// What members say to each other, as values. wire.h turns them into bytes and back.

#include <optional>
#include <variant>
#include <vector>

#include "raft/entry.h"
#include "raft/types.h"

namespace keel::raft {

struct VoteRequest {
  EntryId last;           // The candidate's last entry (Raft §5.4.1).
  bool pre_vote = false;  // Only asks; nobody changes state (Thesis §9.6).
  bool transfer = false;  // The leader wants it: stickiness does not apply (Thesis §3.10).
};
struct VoteResponse {
  bool granted = false;
  bool pre_vote = false;
};
struct AppendRequest {
  EntryId prev;
  std::vector<Entry> entries;
  Index commit;
  uint64_t read_round = 0;  // The leader's newest ReadIndex round; echoed in the answer.
};
struct AppendResponse {
  bool rejected = false;
  Index index;   // Accepted: last index known to match the leader, and durable. Rejected: the `prev` that was refused.
  EntryId hint;  // Rejected: at or below here the logs may agree (Raft §5.3, the optimisation).
  uint64_t read_round = 0;
};
struct Heartbeat {
  EntryId commit;  // Of an entry that the follower has acknowledged in this term; none: zero.
  uint64_t read_round = 0;
  bool quiet = false;  // Only tells of the commit; wants no answer.
};
struct HeartbeatResponse {
  uint64_t read_round = 0;
};
struct ReadIndexRequest {
  ReadId id;  // Of the asking member.
};
struct ReadIndexResponse {
  ReadId id;
  Index index;
};
struct ForwardProposal {
  std::vector<Payload> payloads;
};
// Sent by a member that has installed a snapshot, to its leader.
struct SnapshotInstalled {
  EntryId last;
};
// Stand for election at once: your leader wants you to take over (Thesis §3.10).
struct TimeoutNow {};

using MessageBody = std::variant<VoteRequest, VoteResponse, AppendRequest, AppendResponse, Heartbeat, HeartbeatResponse,
                                 ReadIndexRequest, ReadIndexResponse, ForwardProposal, SnapshotInstalled, TimeoutNow>;

struct Message {
  MemberId from;
  MemberId to;
  Term term;  // The sender's; in a pre-vote request and its grant, the term the candidate would stand in.
  MessageBody body;
};

// What it weighs in flow control and in queue limits, in bytes.
size_t MessageBytes(const Message& message);
const char* MessageName(const Message& message);  // "AppendRequest", ...
// Only the leader of its term sends it, and says so by it.
bool IsFromLeader(const Message& message);

}  // namespace keel::raft
