#include "raft/wire.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "raft/membership.h"

namespace keel::raft {
namespace {

void EncodeId(EntryId id, raftpb::EntryId* out) {
  out->set_term(id.term.value());
  out->set_index(id.index.value());
}

EntryId DecodeId(const raftpb::EntryId& in) { return {Term(in.term()), Index(in.index())}; }

struct BodyEncoder {
  raftpb::Message* out;

  void operator()(const VoteRequest& body) const {
    auto* pb = out->mutable_vote_request();
    EncodeId(body.last, pb->mutable_last());
    pb->set_pre_vote(body.pre_vote);
    pb->set_transfer(body.transfer);
  }
  void operator()(const VoteResponse& body) const {
    auto* pb = out->mutable_vote_response();
    pb->set_granted(body.granted);
    pb->set_pre_vote(body.pre_vote);
  }
  void operator()(const AppendRequest& body) const {
    auto* pb = out->mutable_append_request();
    EncodeId(body.prev, pb->mutable_prev());
    pb->mutable_entries()->Reserve(static_cast<int>(body.entries.size()));
    for (const Entry& entry : body.entries) EncodeEntry(entry, pb->add_entries());
    pb->set_commit(body.commit.value());
    pb->set_read_round(body.read_round);
  }
  void operator()(const AppendResponse& body) const {
    auto* pb = out->mutable_append_response();
    pb->set_rejected(body.rejected);
    pb->set_index(body.index.value());
    if (body.rejected) EncodeId(body.hint, pb->mutable_hint());
    pb->set_read_round(body.read_round);
  }
  void operator()(const Heartbeat& body) const {
    auto* pb = out->mutable_heartbeat();
    if (body.commit.index > Index(0)) EncodeId(body.commit, pb->mutable_commit());
    pb->set_read_round(body.read_round);
    pb->set_quiet(body.quiet);
  }
  void operator()(const HeartbeatResponse& body) const {
    out->mutable_heartbeat_response()->set_read_round(body.read_round);
  }
  void operator()(const ReadIndexRequest& body) const { out->mutable_read_index_request()->set_id(body.id.value()); }
  void operator()(const ReadIndexResponse& body) const {
    auto* pb = out->mutable_read_index_response();
    pb->set_id(body.id.value());
    pb->set_index(body.index.value());
  }
  void operator()(const ForwardProposal& body) const {
    auto* pb = out->mutable_forward_proposal();
    for (const Payload& payload : body.payloads) pb->add_payloads(payload.view().data(), payload.view().size());
  }
  void operator()(const SnapshotInstalled& body) const {
    EncodeId(body.last, out->mutable_snapshot_installed()->mutable_last());
  }
  void operator()(const TimeoutNow&) const { out->mutable_timeout_now(); }
};

absl::StatusOr<AppendRequest> DecodeAppend(raftpb::AppendRequest&& in) {
  AppendRequest body;
  body.prev = DecodeId(in.prev());
  body.commit = Index(in.commit());
  body.read_round = in.read_round();
  body.entries.reserve(in.entries_size());
  EntryId prev = body.prev;
  for (raftpb::Entry& pb : *in.mutable_entries()) {
    KEEL_ASSIGN_OR_RETURN(Entry entry, DecodeEntry(std::move(pb)));
    if (entry.id.index != prev.index + 1 || entry.id.term < prev.term) {
      return absl::InvalidArgumentError(absl::StrCat("entry ", entry.id.index.value(), " of term ",
                                                     entry.id.term.value(), " does not follow ", prev.index.value(),
                                                     " of term ", prev.term.value()));
    }
    prev = entry.id;
    body.entries.push_back(std::move(entry));
  }
  return body;
}

absl::StatusOr<MessageBody> DecodeBody(raftpb::Message&& in) {
  switch (in.body_case()) {
    case raftpb::Message::kVoteRequest: {
      const auto& pb = in.vote_request();
      return VoteRequest{.last = DecodeId(pb.last()), .pre_vote = pb.pre_vote(), .transfer = pb.transfer()};
    }
    case raftpb::Message::kVoteResponse:
      return VoteResponse{.granted = in.vote_response().granted(), .pre_vote = in.vote_response().pre_vote()};
    case raftpb::Message::kAppendRequest: {
      KEEL_ASSIGN_OR_RETURN(AppendRequest body, DecodeAppend(std::move(*in.mutable_append_request())));
      return body;
    }
    case raftpb::Message::kAppendResponse: {
      const auto& pb = in.append_response();
      return AppendResponse{.rejected = pb.rejected(),
                            .index = Index(pb.index()),
                            .hint = DecodeId(pb.hint()),
                            .read_round = pb.read_round()};
    }
    case raftpb::Message::kHeartbeat:
      return Heartbeat{.commit = DecodeId(in.heartbeat().commit()),
                       .read_round = in.heartbeat().read_round(),
                       .quiet = in.heartbeat().quiet()};
    case raftpb::Message::kHeartbeatResponse:
      return HeartbeatResponse{.read_round = in.heartbeat_response().read_round()};
    case raftpb::Message::kReadIndexRequest:
      return ReadIndexRequest{.id = ReadId(in.read_index_request().id())};
    case raftpb::Message::kReadIndexResponse:
      return ReadIndexResponse{.id = ReadId(in.read_index_response().id()),
                               .index = Index(in.read_index_response().index())};
    case raftpb::Message::kForwardProposal: {
      ForwardProposal body;
      body.payloads.reserve(in.forward_proposal().payloads_size());
      for (std::string& bytes : *in.mutable_forward_proposal()->mutable_payloads()) {
        body.payloads.emplace_back(std::move(bytes));
      }
      return body;
    }
    case raftpb::Message::kSnapshotInstalled:
      return SnapshotInstalled{.last = DecodeId(in.snapshot_installed().last())};
    case raftpb::Message::kTimeoutNow:
      return TimeoutNow{};
    case raftpb::Message::BODY_NOT_SET:
      break;
  }
  // Also what a newer member's unknown kind of message looks like.
  return absl::InvalidArgumentError("raft message without a known body");
}

void EncodeIds(const std::vector<MemberId>& ids, google::protobuf::RepeatedField<uint64_t>* out) {
  for (MemberId id : ids) out->Add(id.value());
}

std::vector<MemberId> DecodeIds(const google::protobuf::RepeatedField<uint64_t>& in) {
  std::vector<MemberId> ids;
  ids.reserve(in.size());
  for (uint64_t id : in) ids.push_back(MemberId(id));
  return ids;
}

}  // namespace

void EncodeMessage(const Message& message, raftpb::Message* out) {
  out->set_from(message.from.value());
  out->set_to(message.to.value());
  out->set_term(message.term.value());
  std::visit(BodyEncoder{out}, message.body);
}

absl::StatusOr<Message> DecodeMessage(raftpb::Message&& in) {
  Message message{.from = MemberId(in.from()), .to = MemberId(in.to()), .term = Term(in.term()), .body = {}};
  KEEL_ASSIGN_OR_RETURN(message.body, DecodeBody(std::move(in)));
  return message;
}

void EncodeEntry(const Entry& entry, raftpb::Entry* out) {
  out->set_term(entry.id.term.value());
  out->set_index(entry.id.index.value());
  out->set_type(static_cast<raftpb::Entry::Type>(entry.type));
  if (!entry.payload.empty()) out->set_payload(entry.payload.view().data(), entry.payload.size());
}

absl::StatusOr<Entry> DecodeEntry(raftpb::Entry&& in) {
  Entry entry;
  entry.id = {Term(in.term()), Index(in.index())};
  switch (in.type()) {
    case raftpb::Entry::NOOP:
      entry.type = EntryType::kNoop;
      break;
    case raftpb::Entry::COMMAND:
      entry.type = EntryType::kCommand;
      break;
    case raftpb::Entry::MEMBERSHIP:
      entry.type = EntryType::kMembership;
      break;
    default:
      return absl::InvalidArgumentError(absl::StrCat("entry ", in.index(), ": unknown type ", in.type()));
  }
  if (in.term() == 0 || in.index() == 0) return absl::InvalidArgumentError("entry without term or index");
  if (!in.payload().empty()) entry.payload = Payload(std::move(*in.mutable_payload()));
  return entry;
}

void EncodeMembership(const Membership& membership, raftpb::Membership* out) {
  EncodeIds(membership.voters, out->mutable_voters());
  EncodeIds(membership.outgoing_voters, out->mutable_outgoing_voters());
  EncodeIds(membership.learners, out->mutable_learners());
  EncodeIds(membership.learners_next, out->mutable_learners_next());
}

absl::StatusOr<Membership> DecodeMembership(const raftpb::Membership& in) {
  Membership membership{.voters = DecodeIds(in.voters()),
                        .outgoing_voters = DecodeIds(in.outgoing_voters()),
                        .learners = DecodeIds(in.learners()),
                        .learners_next = DecodeIds(in.learners_next())};
  KEEL_RETURN_IF_ERROR(CheckMembership(membership));
  return membership;
}

void EncodeSnapshotMeta(const SnapshotMeta& meta, raftpb::SnapshotMeta* out) {
  EncodeId(meta.last, out->mutable_last());
  EncodeMembership(meta.membership, out->mutable_membership());
}

absl::StatusOr<SnapshotMeta> DecodeSnapshotMeta(const raftpb::SnapshotMeta& in) {
  SnapshotMeta meta;
  meta.last = DecodeId(in.last());
  KEEL_ASSIGN_OR_RETURN(meta.membership, DecodeMembership(in.membership()));
  return meta;
}

}  // namespace keel::raft
