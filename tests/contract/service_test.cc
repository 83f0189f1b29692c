// Cluster, Maintenance, Lock and Election, as far as one member shows it.

#include <openssl/sha.h>

#include "absl/strings/str_cat.h"
#include "proto/election.pb.h"
#include "proto/lock.pb.h"
#include "tests/contract/fixture.h"

namespace keel::contract {
namespace {

TEST_F(Contract, B084_MemberUrlsAreChecked) {
  EXPECT_EQ(Error("member_add"), "3 etcdserver: given member URLs are invalid");
  EXPECT_EQ(Error("member_add peerURLs: 'nonsense'"), "3 etcdserver: given member URLs are invalid");
  EXPECT_EQ(Error("member_add peerURLs: 'http://10.0.0.1:1/path'"), "3 etcdserver: given member URLs are invalid");
  const auto members = Ok<etcdserverpb::MemberListResponse>("members");
  ASSERT_EQ(members.members_size(), 1);
  EXPECT_EQ(members.header().revision(), 0);
  EXPECT_EQ(Error(absl::StrCat("member_add isLearner: true peerURLs: '", members.members(0).peerurls(0), "'")),
            "9 etcdserver: Peer URLs already exists");
}

TEST_F(Contract, B085_WhatCannotBePromoted) {
  const uint64_t self = Ok<etcdserverpb::StatusResponse>("status").header().member_id();
  EXPECT_EQ(Error("member_promote ID: 77"), "5 etcdserver: member not found");
  EXPECT_EQ(Error(absl::StrCat("member_promote ID: ", self)), "9 etcdserver: can only promote a learner member");
}

TEST_F(Contract, B088_RemovingAnUnknownMember) {
  EXPECT_EQ(Error("member_remove ID: 77"), "5 etcdserver: member not found");
  EXPECT_EQ(Error("member_update ID: 77 peerURLs: 'http://10.0.0.1:2380'"), "5 etcdserver: member not found");
}

TEST_F(Contract, B090_MoveLeaderToWhoCannotLead) {
  EXPECT_EQ(Error("move_leader targetID: 77"), "9 etcdserver: bad leader transferee");
  const uint64_t self = Ok<etcdserverpb::StatusResponse>("status").header().member_id();
  Ok<etcdserverpb::MoveLeaderResponse>(absl::StrCat("move_leader targetID: ", self));  // It leads already.
}

TEST_F(Contract, B091_ASnapshotEndsWithTheDigestOfWhatWasSent) {
  for (int i = 0; i < 50; ++i) Put(absl::StrCat("k", i), std::string(1000, 'x'));
  const auto method = *differential::FindMethod("snapshot");
  const auto stream = connection().Open(method);
  stream->Send("");
  stream->HalfClose();
  ASSERT_TRUE(stream->AwaitEnd(absl::Seconds(30)));
  ASSERT_TRUE(stream->status().ok()) << stream->status().error_message();
  std::string image;
  for (const auto& message : stream->messages()) {
    const auto& piece = static_cast<const etcdserverpb::SnapshotResponse&>(*message);
    EXPECT_FALSE(piece.has_header());
    EXPECT_LE(piece.blob().size(), 32u << 10);
    image += piece.blob();
  }
  ASSERT_EQ(image.size() % 512, 32u);
  const std::string digest = image.substr(image.size() - 32);
  image.resize(image.size() - 32);
  unsigned char expected[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(image.data()), image.size(), expected);
  EXPECT_EQ(digest, std::string(reinterpret_cast<const char*>(expected), sizeof expected));
  EXPECT_EQ(static_cast<const etcdserverpb::SnapshotResponse&>(*stream->messages().back()).remaining_bytes(), 0u);
}

TEST_F(Contract, B092_StatusIsComplete) {
  Put("a", "v");
  const auto status = Ok<etcdserverpb::StatusResponse>("status");
  EXPECT_EQ(status.leader(), status.header().member_id());
  EXPECT_EQ(status.header().revision(), 2);
  EXPECT_EQ(status.raftterm(), status.header().raft_term());
  EXPECT_GT(status.raftindex(), 0u);
  EXPECT_LE(status.raftappliedindex(), status.raftindex());
  EXPECT_GT(status.dbsize(), 0);
  EXPECT_GT(status.dbsizeinuse(), 0);
  EXPECT_FALSE(status.version().empty());
  EXPECT_FALSE(status.islearner());
  EXPECT_EQ(status.errors_size(), 0);
}

TEST_F(Contract, B093_NoSpaceStopsPutsUntilItIsTakenBack) {
  Put("a", "v");
  Ok<etcdserverpb::AlarmResponse>("alarm action: ACTIVATE alarm: NOSPACE memberID: 7");
  const std::string refusal = "8 etcdserver: mvcc: database space exceeded";
  EXPECT_EQ(Error("put key: 'a'"), refusal);
  EXPECT_EQ(Error("grant TTL: 100"), refusal);
  EXPECT_EQ(Error("txn success { request_put { key: 'a' } }"), refusal);
  Ok<etcdserverpb::DeleteRangeResponse>("delete key: 'a'");
  Restart();
  EXPECT_EQ(Error("put key: 'a'"), refusal);
  Ok<etcdserverpb::AlarmResponse>("alarm action: DEACTIVATE alarm: NOSPACE memberID: 7");
  Put("a");
}

TEST_F(Contract, B094_CorruptStopsEveryWrite) {
  Put("a", "v");
  Ok<etcdserverpb::AlarmResponse>("alarm action: ACTIVATE alarm: CORRUPT memberID: 7");
  const std::string refusal = "15 etcdserver: corrupt cluster";
  EXPECT_EQ(Error("put key: 'a'"), refusal);
  EXPECT_EQ(Error("delete key: 'a'"), refusal);
  EXPECT_EQ(Error("txn success { request_put { key: 'a' } }"), refusal);
  EXPECT_EQ(Error("compact revision: 2"), refusal);
  EXPECT_EQ(Error("grant TTL: 100"), refusal);
  EXPECT_EQ(Error("revoke ID: 1"), refusal);
  EXPECT_EQ(Keys("key: 'a'"), "a | | 1");
}

TEST_F(Contract, B095_DefragmentChangesNothing) {
  for (int i = 0; i < 20; ++i) Put(absl::StrCat("k", i), "v");
  const std::string before = Text("range key: 'k' range_end: 'l'");
  EXPECT_EQ(Text("defragment"), "{}");
  EXPECT_EQ(Text("range key: 'k' range_end: 'l'"), before);
}

TEST_F(Contract, B114_TheSecondLockWaitsForTheFirstLease) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 1 TTL: 100");
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 2 TTL: 100");
  EXPECT_EQ(Ok<v3lockpb::LockResponse>("lock name: 'n' lease: 1").key(), "n/1");
  v3lockpb::LockRequest request;
  request.set_name("n");
  request.set_lease(2);
  const auto second = connection().Start(*differential::FindMethod("lock"), request.SerializeAsString());
  // It stands in the line, and behind the first.
  WatchStream watch = Watch();
  watch.Create("key: 'n/' range_end: 'n0' start_revision: 2");
  int events = 0;
  while (events < 2 && !HasFailure()) events += watch.NextMessage().events_size();
  EXPECT_EQ(Keys("key: 'n/' range_end: 'n0'"), "n/1 n/2 | | 2");
  Ok<etcdserverpb::LeaseRevokeResponse>("revoke ID: 1");
  const differential::Answer answer = second->Wait();
  ASSERT_TRUE(answer.status.ok()) << answer.status.error_message();
  EXPECT_EQ(static_cast<const v3lockpb::LockResponse&>(*answer.messages[0]).key(), "n/2");
}

TEST_F(Contract, B115_AWaiterWhoseSessionEndsIsToldSoAndTheHolderHasItAgainAtOnce) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 1 TTL: 100");
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 2 TTL: 100");
  Ok<v3lockpb::LockResponse>("lock name: 'n' lease: 1");
  EXPECT_EQ(Ok<v3lockpb::LockResponse>("lock name: 'n' lease: 1").key(), "n/1");
  const auto second = Start("lock name: 'n' lease: 2");
  WatchStream watch = Watch();
  watch.Create("key: 'n/2' start_revision: 2");
  EXPECT_EQ(watch.NextMessage().events_size(), 1);
  Ok<etcdserverpb::LeaseRevokeResponse>("revoke ID: 2");
  Ok<v3lockpb::UnlockResponse>("unlock key: 'n/1'");
  // 3.4 gives the lock to the session that is gone.
  EXPECT_EQ(Shown(second->Wait().status), is_etcd() ? "ok" : "2 mutex: session is expired");
}

TEST_F(Contract, B116_AForeignKeyDoesNotBlockAnElection) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 10 TTL: 100");
  Put("testa", "v");
  const auto won = Ok<v3electionpb::CampaignResponse>("campaign name: 'test' lease: 10 value: 'me'");
  EXPECT_EQ(won.leader().key(), "test/a");
  EXPECT_EQ(Ok<v3electionpb::LeaderResponse>("leader name: 'test'").kv().value(), "me");
}

TEST_F(Contract, B117_CampaigningAgainKeepsTheLeadershipAndReplacesTheValue) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 1 TTL: 100");
  const auto first = Ok<v3electionpb::CampaignResponse>("campaign name: 'e' lease: 1 value: 'old'");
  const auto again = Ok<v3electionpb::CampaignResponse>("campaign name: 'e' lease: 1 value: 'new'");
  EXPECT_EQ(again.leader().rev(), first.leader().rev());
  const auto leader = Ok<v3electionpb::LeaderResponse>("leader name: 'e'").kv();
  EXPECT_EQ(leader.value(), "new");
  EXPECT_EQ(leader.create_revision(), first.leader().rev());
}

// Of a stream of observations.
std::string ValueAt(differential::Stream* stream, size_t n) {
  const bool came = stream->Await([n](const auto& messages) { return messages.size() > n; }, kPatience);
  return came ? static_cast<const v3electionpb::LeaderResponse&>(*stream->messages()[n]).kv().value() : "nothing";
}

TEST_F(Contract, B118_ObserversSurviveTheCompactionOfWhatTheyStartedFrom) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 1 TTL: 100");
  const auto leader = Ok<v3electionpb::CampaignResponse>("campaign name: 'e' lease: 1 value: 'v0'").leader();
  const auto early = Open("observe name: 'e'");
  EXPECT_EQ(ValueAt(early.get(), 0), "v0");
  for (int i = 0; i < 3; ++i) Put("other");
  Ok<etcdserverpb::CompactionResponse>(absl::StrCat("compact physical: true revision: ", Revision()));
  const auto late = Open("observe name: 'e'");
  EXPECT_EQ(ValueAt(late.get(), 0), "v0");
  // Each fresh value is seen, now that nobody is behind.
  for (size_t i = 1; i <= 3; ++i) {
    Ok<v3electionpb::ProclaimResponse>(
        absl::StrCat("proclaim leader { name: 'e' key: 'e/1' rev: ", leader.rev(), " lease: 1 } value: 'v", i, "'"));
    Ok<etcdserverpb::CompactionResponse>(absl::StrCat("compact revision: ", Revision()));
    EXPECT_EQ(ValueAt(early.get(), i), absl::StrCat("v", i));
    EXPECT_EQ(ValueAt(late.get(), i), absl::StrCat("v", i));
  }
  Ok<v3electionpb::ResignResponse>(
      absl::StrCat("resign leader { name: 'e' key: 'e/1' rev: ", leader.rev(), " lease: 1 }"));
  Ok<etcdserverpb::CompactionResponse>(absl::StrCat("compact revision: ", Revision()));
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 2 TTL: 100");
  Ok<v3electionpb::CampaignResponse>("campaign name: 'e' lease: 2 value: 'next'");
  EXPECT_EQ(ValueAt(early.get(), 4), "next");
  EXPECT_EQ(ValueAt(late.get(), 4), "next");
}

TEST_F(Contract, B119_CampaignAndObserveInOrder) {
  Ok<etcdserverpb::LeaseGrantResponse>("grant ID: 1 TTL: 100");
  const auto stream = connection().Open(*differential::FindMethod("observe"));
  v3electionpb::LeaderRequest request;
  request.set_name("e");
  stream->Send(request.SerializeAsString());
  stream->HalfClose();
  const auto value = [&](size_t n) {
    EXPECT_TRUE(stream->Await([n](const auto& messages) { return messages.size() > n; }, absl::Seconds(20)));
    if (HasFailure()) return std::string();
    return static_cast<const v3electionpb::LeaderResponse&>(*stream->messages()[n]).kv().value();
  };
  const auto won = Ok<v3electionpb::CampaignResponse>("campaign name: 'e' lease: 1 value: 'v1'");
  EXPECT_EQ(value(0), "v1");
  Ok<v3electionpb::ProclaimResponse>(
      absl::StrCat("proclaim leader { name: 'e' key: 'e/1' rev: ", won.leader().rev(), " lease: 1 } value: 'v2'"));
  EXPECT_EQ(value(1), "v2");
}

TEST_F(Contract, B120_TheLeaderFieldAndAnEmptyElection) {
  EXPECT_EQ(Error("proclaim"), "2 \"leader\" field must be provided");
  EXPECT_EQ(Error("resign"), "2 \"leader\" field must be provided");
  EXPECT_EQ(Error("leader name: 'e'"), "2 election: no leader");
}

}  // namespace
}  // namespace keel::contract
