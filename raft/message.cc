#include "raft/message.h"

namespace keel::raft {
namespace {

// What a message weighs beside its entries: ids, terms, framing.
constexpr size_t kMessageOverheadBytes = 64;

struct BodyBytes {
  size_t operator()(const AppendRequest& request) const {
    size_t bytes = 0;
    for (const Entry& entry : request.entries) bytes += entry.bytes();
    return bytes;
  }
  size_t operator()(const ForwardProposal& proposal) const {
    size_t bytes = 0;
    for (const Payload& payload : proposal.payloads) bytes += payload.size() + Entry::kOverheadBytes;
    return bytes;
  }
  template <typename Body>
  size_t operator()(const Body&) const {
    return 0;
  }
};

struct BodyName {
  const char* operator()(const VoteRequest& r) const { return r.pre_vote ? "PreVoteRequest" : "VoteRequest"; }
  const char* operator()(const VoteResponse& r) const { return r.pre_vote ? "PreVoteResponse" : "VoteResponse"; }
  const char* operator()(const AppendRequest&) const { return "AppendRequest"; }
  const char* operator()(const AppendResponse&) const { return "AppendResponse"; }
  const char* operator()(const Heartbeat&) const { return "Heartbeat"; }
  const char* operator()(const HeartbeatResponse&) const { return "HeartbeatResponse"; }
  const char* operator()(const ReadIndexRequest&) const { return "ReadIndexRequest"; }
  const char* operator()(const ReadIndexResponse&) const { return "ReadIndexResponse"; }
  const char* operator()(const ForwardProposal&) const { return "ForwardProposal"; }
  const char* operator()(const SnapshotInstalled&) const { return "SnapshotInstalled"; }
  const char* operator()(const TimeoutNow&) const { return "TimeoutNow"; }
};

}  // namespace

size_t MessageBytes(const Message& message) { return kMessageOverheadBytes + std::visit(BodyBytes{}, message.body); }

bool IsFromLeader(const Message& message) {
  return std::holds_alternative<AppendRequest>(message.body) || std::holds_alternative<Heartbeat>(message.body);
}

const char* MessageName(const Message& message) { return std::visit(BodyName{}, message.body); }

}  // namespace keel::raft
