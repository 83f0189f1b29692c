#include "raft/wire.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/random.h"

namespace keel::raft {
namespace {

std::string Bytes(const Message& message) {
  raftpb::Message pb;
  EncodeMessage(message, &pb);
  return pb.SerializeAsString();
}

Message With(MessageBody body) {
  return {.from = MemberId(0xfedcba9876543210), .to = MemberId(2), .term = Term(7), .body = std::move(body)};
}

std::vector<Message> EveryKind() {
  AppendRequest append{.prev = {Term(6), Index(41)}, .entries = {}, .commit = Index(40), .read_round = 3};
  append.entries.push_back({.id = {Term(6), Index(42)}, .type = EntryType::kNoop, .payload = Payload()});
  append.entries.push_back(
      {.id = {Term(7), Index(43)}, .type = EntryType::kCommand, .payload = Payload(std::string("a\0b", 3))});
  append.entries.push_back({.id = {Term(7), Index(44)}, .type = EntryType::kMembership, .payload = Payload("m")});
  return {
      With(VoteRequest{.last = {Term(6), Index(9)}, .pre_vote = true, .transfer = false}),
      With(VoteRequest{.last = {Term(6), Index(9)}, .pre_vote = false, .transfer = true}),
      With(VoteResponse{.granted = true, .pre_vote = false}),
      With(VoteResponse{.granted = false, .pre_vote = true}),
      With(append),
      With(AppendRequest{}),
      With(AppendResponse{.rejected = false, .index = Index(44), .hint = {}, .read_round = 3}),
      With(AppendResponse{.rejected = true, .index = Index(44), .hint = {Term(5), Index(30)}, .read_round = 0}),
      With(Heartbeat{.commit = {Term(3), Index(44)}, .read_round = 9}),
      With(HeartbeatResponse{.read_round = 9}),
      With(ReadIndexRequest{.id = ReadId(~0ull)}),
      With(ReadIndexResponse{.id = ReadId(~0ull), .index = Index(44)}),
      With(ForwardProposal{.payloads = {Payload("x"), Payload(), Payload(std::string(1000, '\xff'))}}),
      With(SnapshotInstalled{.last = {Term(5), Index(30)}}),
      With(TimeoutNow{}),
  };
}

TEST(RaftWireTest, EveryMessageComesBackAsItWas) {
  for (const Message& message : EveryKind()) {
    SCOPED_TRACE(MessageName(message));
    const std::string bytes = Bytes(message);
    raftpb::Message pb;
    ASSERT_TRUE(pb.ParseFromString(bytes));
    absl::StatusOr<Message> decoded = DecodeMessage(std::move(pb));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->body.index(), message.body.index());
    EXPECT_EQ(decoded->from, message.from);
    EXPECT_EQ(Bytes(*decoded), bytes);
    EXPECT_EQ(MessageBytes(*decoded), MessageBytes(message));
  }
}

// Golden bytes: members of different releases talk to each other.
TEST(RaftWireTest, BytesOfAnAppendRequestNeverChange) {
  AppendRequest append{.prev = {Term(2), Index(4)}, .entries = {}, .commit = Index(3), .read_round = 1};
  append.entries.push_back({.id = {Term(3), Index(5)}, .type = EntryType::kCommand, .payload = Payload("v")});
  const Message message{.from = MemberId(1), .to = MemberId(2), .term = Term(3), .body = append};
  const std::string expected(
      "\x08\x01\x10\x02\x18\x03\x32\x15"
      "\x0a\x04\x08\x02\x10\x04"
      "\x12\x09\x08\x03\x10\x05\x18\x02\x22\x01v"
      "\x18\x03\x20\x01",
      29);
  EXPECT_EQ(Bytes(message), expected);
}

TEST(RaftWireTest, MessageWithoutABodyIsRefused) {
  raftpb::Message pb;
  pb.set_from(1);
  pb.set_to(2);
  EXPECT_EQ(DecodeMessage(std::move(pb)).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(RaftWireTest, MalformedEntriesAreRefused) {
  struct Case {
    const char* name;
    void (*spoil)(raftpb::AppendRequest*);
  };
  const Case cases[] = {
      {"gap", [](raftpb::AppendRequest* r) { r->mutable_entries(1)->set_index(9); }},
      {"does not follow prev", [](raftpb::AppendRequest* r) { r->mutable_prev()->set_index(1); }},
      {"term goes back", [](raftpb::AppendRequest* r) { r->mutable_entries(1)->set_term(1); }},
      {"term before prev", [](raftpb::AppendRequest* r) { r->mutable_prev()->set_term(9); }},
      {"no type", [](raftpb::AppendRequest* r) { r->mutable_entries(0)->clear_type(); }},
      {"unknown type",
       [](raftpb::AppendRequest* r) { r->mutable_entries(0)->set_type(static_cast<raftpb::Entry::Type>(77)); }},
      {"no term",
       [](raftpb::AppendRequest* r) {
         r->mutable_prev()->set_term(0);
         r->mutable_entries(0)->set_term(0);
       }},
      {"index wraps",
       [](raftpb::AppendRequest* r) {
         r->mutable_prev()->set_index(~0ull);
         r->mutable_entries(0)->set_index(0);
         r->mutable_entries(1)->set_index(1);
       }},
  };
  AppendRequest append{.prev = {Term(6), Index(41)}, .entries = {}, .commit = Index(40), .read_round = 3};
  append.entries.push_back({.id = {Term(6), Index(42)}, .type = EntryType::kNoop, .payload = Payload()});
  append.entries.push_back({.id = {Term(7), Index(43)}, .type = EntryType::kCommand, .payload = Payload("c")});
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    raftpb::Message pb;
    EncodeMessage(With(append), &pb);
    c.spoil(pb.mutable_append_request());
    EXPECT_EQ(DecodeMessage(std::move(pb)).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

TEST(RaftWireTest, DecodingTakesThePayloadsInsteadOfCopyingThem) {
  AppendRequest append{.prev = {Term(6), Index(41)}, .entries = {}, .commit = Index(40), .read_round = 3};
  append.entries.push_back(
      {.id = {Term(6), Index(42)}, .type = EntryType::kCommand, .payload = Payload(std::string(5000, 'p'))});
  raftpb::Message pb;
  EncodeMessage(With(append), &pb);
  const char* before = pb.append_request().entries(0).payload().data();
  const absl::StatusOr<Message> decoded = DecodeMessage(std::move(pb));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(std::get<AppendRequest>(decoded->body).entries[0].payload.view().data(), before);
}

TEST(RaftWireTest, SnapshotMetaComesBackAndBadMembershipIsRefused) {
  const SnapshotMeta meta{.last = {Term(3), Index(9)},
                          .membership = {.voters = {MemberId(1), MemberId(2)},
                                         .outgoing_voters = {MemberId(2), MemberId(3)},
                                         .learners = {MemberId(4)}}};
  raftpb::SnapshotMeta pb;
  EncodeSnapshotMeta(meta, &pb);
  EXPECT_EQ(DecodeSnapshotMeta(pb).value(), meta);
  raftpb::SnapshotMeta twice = pb;
  twice.mutable_membership()->add_voters(2);
  EXPECT_FALSE(DecodeSnapshotMeta(twice).ok());
  raftpb::SnapshotMeta nobody = pb;
  nobody.mutable_membership()->clear_voters();
  EXPECT_FALSE(DecodeSnapshotMeta(nobody).ok());
}

// Whatever bytes a peer sends, decoding ends with a value or a status.
TEST(RaftWireTest, DamagedBytesNeverCrash) {
  Random random(4711);
  int decoded = 0, refused = 0;
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    for (const Message& message : EveryKind()) {
      std::string bytes = Bytes(message);
      for (uint64_t n = random.Below(4); n > 0 && !bytes.empty(); --n) {
        bytes[random.Below(bytes.size())] = static_cast<char>(random.Next());
      }
      if (random.Chance(0.2)) bytes.resize(random.Below(bytes.size() + 1));
      raftpb::Message pb;
      if (!pb.ParseFromString(bytes)) continue;
      ++(DecodeMessage(std::move(pb)).ok() ? decoded : refused);
    }
  }
  EXPECT_GT(decoded, 0);
  EXPECT_GT(refused, 0);
}

}  // namespace
}  // namespace keel::raft
