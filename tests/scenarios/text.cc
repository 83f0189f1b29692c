#include "tests/scenarios/text.h"

#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/string_view.h"
#include "raft/membership.h"

namespace keel::raft::scenario {
namespace {

std::string List(const std::vector<MemberId>& ids) {
  return absl::StrCat(
      "(", absl::StrJoin(ids, ",", [](std::string* out, MemberId id) { absl::StrAppend(out, id.value()); }), ")");
}

struct BodyText {
  std::string operator()(const VoteRequest& m) const {
    return absl::StrCat(m.pre_vote ? "PreVote" : "Vote", " last=", Text(m.last), m.transfer ? " transfer" : "");
  }
  std::string operator()(const VoteResponse& m) const {
    return absl::StrCat(m.pre_vote ? "PreVoteAnswer" : "VoteAnswer", m.granted ? " granted" : " refused");
  }
  std::string operator()(const AppendRequest& m) const {
    std::string text = absl::StrCat("Append prev=", Text(m.prev), " commit=", Text(m.commit));
    for (const Entry& entry : m.entries) absl::StrAppend(&text, " [", Text(entry), "]");
    if (m.read_round > 0) absl::StrAppend(&text, " round=", m.read_round);
    return text;
  }
  std::string operator()(const AppendResponse& m) const {
    std::string text = m.rejected ? absl::StrCat("AppendAnswer rejected=", Text(m.index), " hint=", Text(m.hint))
                                  : absl::StrCat("AppendAnswer index=", Text(m.index));
    if (m.read_round > 0) absl::StrAppend(&text, " round=", m.read_round);
    return text;
  }
  std::string operator()(const Heartbeat& m) const {
    std::string text = absl::StrCat("Heartbeat commit=", Text(m.commit.index), m.quiet ? " quiet" : "");
    if (m.read_round > 0) absl::StrAppend(&text, " round=", m.read_round);
    return text;
  }
  std::string operator()(const HeartbeatResponse& m) const {
    return m.read_round > 0 ? absl::StrCat("HeartbeatAnswer round=", m.read_round) : "HeartbeatAnswer";
  }
  std::string operator()(const ReadIndexRequest&) const { return "ReadIndex"; }
  std::string operator()(const ReadIndexResponse& m) const {
    return absl::StrCat("ReadIndexAnswer index=", Text(m.index));
  }
  std::string operator()(const ForwardProposal& m) const {
    std::string text = "Forward";
    for (const Payload& payload : m.payloads) absl::StrAppend(&text, " ", ToAbsl(payload.view()));
    return text;
  }
  std::string operator()(const SnapshotInstalled& m) const {
    return absl::StrCat("SnapshotInstalled last=", Text(m.last));
  }
  std::string operator()(const TimeoutNow&) const { return "TimeoutNow"; }
};

}  // namespace

std::string Text(Term term) { return absl::StrCat(term.value()); }
std::string Text(Index index) { return absl::StrCat(index.value()); }
std::string Text(MemberId id) { return id == kNobody ? "-" : absl::StrCat(id.value()); }
std::string Text(EntryId id) { return absl::StrCat(id.index.value(), "@", id.term.value()); }

std::string Text(const Entry& entry) {
  switch (entry.type) {
    case EntryType::kNoop:
      return absl::StrCat(Text(entry.id), " noop");
    case EntryType::kCommand:
      return absl::StrCat(Text(entry.id), " ", ToAbsl(entry.payload.view()));
    case EntryType::kMembership:
      return absl::StrCat(Text(entry.id), " members=",
                          Text(DecodeMembershipEntry(entry.payload.view()).value_or(MembershipEntry()).membership));
  }
  return "?";
}

std::string Text(const Membership& members) {
  std::string text = List(members.voters);
  if (members.is_joint()) absl::StrAppend(&text, "&", List(members.outgoing_voters));
  if (!members.learners.empty()) absl::StrAppend(&text, "+learners", List(members.learners));
  if (!members.learners_next.empty()) absl::StrAppend(&text, "+later", List(members.learners_next));
  return text;
}

std::string Text(const CoreStatus& status) {
  return absl::StrCat(RoleName(status.role), " term=", Text(status.term), " leader=", Text(status.leader),
                      " last=", Text(status.last), " commit=", Text(status.commit), " applied=", Text(status.applied));
}

std::string Text(const Message& message) {
  return absl::StrCat(Text(message.from), "->", Text(message.to), " term=", Text(message.term), " ",
                      std::visit(BodyText(), message.body));
}

std::string Text(const Parcel& parcel) {
  if (const auto* message = std::get_if<Message>(&parcel.what)) return Text(*message);
  const Snapshot& snapshot = std::get<Snapshot>(parcel.what);
  return absl::StrCat(Text(parcel.from), "->", Text(parcel.to), " term=", Text(snapshot.term),
                      " Snapshot last=", Text(snapshot.state.last), " members=", Text(snapshot.state.membership));
}

std::string Text(const LogImage& log) {
  std::string text;
  if (log.base().index > Index(0)) text = absl::StrCat("after ", Text(log.base()), ":");
  for (const Entry& entry : log.entries()) absl::StrAppend(&text, text.empty() ? "" : " ", "[", Text(entry), "]");
  return text.empty() ? "empty" : text;
}

}  // namespace keel::raft::scenario
