#include "server/peer/peer_identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace keel::server {
namespace {

using raftpb::PeerAck;
using ::testing::HasSubstr;

const raft::MemberId kMe{1}, kPeer{2};

// What member `from` says on its start `starts`, by process `process`.
raftpb::PeerHello Hello(uint64_t from, uint64_t directory, uint64_t starts, uint64_t process, uint64_t term = 0,
                        uint64_t index = 0) {
  return PeerIdentity({.cluster_id = 7,
                       .id = raft::MemberId(from),
                       .directory = {.id = directory, .starts = starts},
                       .process = process,
                       .recovered = {raft::Term(term), raft::Index(index)},
                       .peer_urls = {"http://127.0.0.1:9"}})
      .HelloTo(kMe);
}

class PeerIdentityTest : public ::testing::Test {
 protected:
  PeerIdentityTest() { SetDirectory({}); }

  void SetDirectory(const storage::DirectoryRecord& directory) {
    storage::MemberRecord me{.id = 1, .name = "", .peer_urls = {}};
    storage::MemberRecord peer{.id = 2, .name = "", .peer_urls = {}};
    peer.directory = directory;
    me_.SetBook({.applied = 10, .membership_index = 4, .members = {me, peer}, .removed = {8}});
  }
  PeerAck::Refusal Greet(const raftpb::PeerHello& hello) { return me_.Greet(hello).refusal; }
  void Hear(uint64_t process, raft::Term term, raft::MessageBody body) {
    me_.NotePromise(process, {.from = kPeer, .to = kMe, .term = term, .body = std::move(body)});
  }

  PeerIdentity me_{{.cluster_id = 7, .id = kMe}};
};

TEST_F(PeerIdentityTest, MembersAreWelcomeAndNobodyElse) {
  EXPECT_EQ(Greet(Hello(2, 0, 0, 0)), PeerAck::NONE);
  EXPECT_EQ(Greet(Hello(3, 0, 0, 0)), PeerAck::STRANGER);
  EXPECT_EQ(Greet(Hello(1, 0, 0, 0)), PeerAck::STRANGER) << "this member itself";
  EXPECT_EQ(Greet(Hello(8, 0, 0, 0)), PeerAck::REMOVED);
  raftpb::PeerHello hello = Hello(2, 0, 0, 0);
  hello.set_cluster_id(6);
  EXPECT_EQ(Greet(hello), PeerAck::OTHER_CLUSTER);
  hello = Hello(2, 0, 0, 0);
  hello.set_to(3);
  EXPECT_EQ(Greet(hello), PeerAck::OTHER_MEMBER);
  hello = Hello(2, 0, 0, 0);
  hello.set_format(1);
  EXPECT_EQ(Greet(hello), PeerAck::OTHER_FORMAT);
  EXPECT_EQ(me_.Greet(hello).status().code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(PeerIdentityTest, OneWhoKnowsOfLaterChangesMayBeOneOfThem) {
  raftpb::PeerHello hello = Hello(3, 0, 0, 0);
  hello.set_membership_index(4);
  EXPECT_EQ(Greet(hello), PeerAck::STRANGER);
  hello.set_membership_index(12);
  const PeerIdentity::Verdict verdict = me_.Greet(hello);
  ASSERT_TRUE(verdict.accepted());
  ASSERT_TRUE(verdict.newcomer.has_value());
  EXPECT_EQ(verdict.newcomer->id, raft::MemberId(3));
  EXPECT_EQ(verdict.newcomer->urls.size(), 1u);
  EXPECT_TRUE(me_.Knows(raft::MemberId(3)));
  // A book from there on decides.
  me_.SetBook({.applied = 11, .membership_index = 4, .members = {}, .removed = {}});
  EXPECT_TRUE(me_.Knows(raft::MemberId(3)));
  me_.SetBook({.applied = 12, .membership_index = 12, .members = {}, .removed = {}});
  EXPECT_FALSE(me_.Knows(raft::MemberId(3)));
  // A removed one stays out whatever it knows.
  hello = Hello(8, 0, 0, 0);
  hello.set_membership_index(99);
  SetDirectory({});
  EXPECT_EQ(Greet(hello), PeerAck::REMOVED);
}

TEST_F(PeerIdentityTest, WhoeverWaitsToJoinWelcomesItsCluster) {
  PeerIdentity joining({.cluster_id = 7, .id = kMe});
  EXPECT_EQ(joining.Greet(Hello(5, 0, 0, 0)).refusal, PeerAck::STRANGER);
  joining.SetJoining();
  EXPECT_TRUE(joining.Greet(Hello(5, 0, 0, 0)).newcomer.has_value());
  raftpb::PeerHello other = Hello(5, 0, 0, 0);
  other.set_cluster_id(6);
  EXPECT_EQ(joining.Greet(other).refusal, PeerAck::OTHER_CLUSTER);
  joining.SetBook({.applied = 3, .membership_index = 2, .members = {}, .removed = {}});
  EXPECT_EQ(joining.Greet(Hello(5, 0, 0, 0)).refusal, PeerAck::STRANGER);
}

TEST_F(PeerIdentityTest, AnotherDirectoryHasForgottenWhateverTheStateSays) {
  EXPECT_EQ(Greet(Hello(2, 0xd1, 1, 100)), PeerAck::NONE);
  EXPECT_EQ(Greet(Hello(2, 0xd1, 1, 100)), PeerAck::NONE) << "the same process again";
  EXPECT_EQ(Greet(Hello(2, 0xd2, 5, 101)), PeerAck::FORGETFUL);
  EXPECT_EQ(Greet(Hello(2, 0xd1, 2, 102)), PeerAck::NONE);
}

TEST_F(PeerIdentityTest, TheStateRemembersWhenThisProcessDoesNot) {
  SetDirectory({.id = 0xd1, .starts = 4});
  const PeerIdentity::Verdict other = me_.Judge(Hello(2, 0xd2, 9, 100));
  EXPECT_EQ(other.refusal, PeerAck::FORGETFUL);
  EXPECT_THAT(other.reason, HasSubstr("remove the member and add it again"));
  EXPECT_EQ(Greet(Hello(2, 0xd1, 3, 100)), PeerAck::FORGETFUL);
  EXPECT_EQ(Greet(Hello(2, 0xd1, 5, 100)), PeerAck::NONE);
}

TEST_F(PeerIdentityTest, ACopyThatIsStartedASecondTimeIsKnownByItsCount) {
  EXPECT_EQ(Greet(Hello(2, 0xd1, 3, 100)), PeerAck::NONE);
  EXPECT_EQ(Greet(Hello(2, 0xd1, 3, 101)), PeerAck::FORGETFUL);
  EXPECT_EQ(Greet(Hello(2, 0xd1, 2, 102)), PeerAck::FORGETFUL);
  EXPECT_EQ(Greet(Hello(2, 0xd1, 4, 103)), PeerAck::NONE);
}

TEST_F(PeerIdentityTest, ADiskThatLacksWhatWasAcknowledgedIsOlderThanItsPromises) {
  ASSERT_EQ(Greet(Hello(2, 0xd1, 1, 100, 5, 40)), PeerAck::NONE);
  Hear(100, raft::Term(6), raft::AppendResponse{.rejected = false, .index = raft::Index(50)});
  Hear(100, raft::Term(6), raft::AppendResponse{.rejected = false, .index = raft::Index(45)});  // Late.
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 5, 60)).refusal, PeerAck::FORGETFUL) << "an older term";
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 6, 49)).refusal, PeerAck::FORGETFUL) << "a shorter log";
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 6, 50)).refusal, PeerAck::NONE);
  // A later leader may have cut it.
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 7, 10)).refusal, PeerAck::NONE);
}

TEST_F(PeerIdentityTest, OnlyDurableWordsOfThatProcessArePromises) {
  ASSERT_EQ(Greet(Hello(2, 0xd1, 1, 100, 5, 40)), PeerAck::NONE);
  Hear(100, raft::Term(9), raft::VoteRequest{.last = {}, .pre_vote = true});
  Hear(100, raft::Term(9), raft::VoteResponse{.granted = true, .pre_vote = true});
  Hear(99, raft::Term(9), raft::VoteResponse{.granted = true});
  Hear(100, raft::Term(5), raft::AppendResponse{.rejected = true, .index = raft::Index(90)});
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 5, 40)).refusal, PeerAck::NONE);
  Hear(100, raft::Term(8), raft::VoteResponse{.granted = true});
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 7, 40)).refusal, PeerAck::FORGETFUL) << "it has voted in term 8";
  EXPECT_EQ(me_.Judge(Hello(2, 0xd1, 2, 101, 8, 40)).refusal, PeerAck::NONE);
}

}  // namespace
}  // namespace keel::server
