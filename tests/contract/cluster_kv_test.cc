// What several members have to keep together about keys.

#include <map>
#include <set>
#include <thread>

#include "absl/strings/str_cat.h"
#include "tests/contract/cluster_fixture.h"
#include "tests/contract/tcp_proxy.h"

namespace keel::contract {
namespace {

using etcdserverpb::CompactionResponse;
using etcdserverpb::DeleteRangeResponse;
using etcdserverpb::HashKVResponse;
using etcdserverpb::PutResponse;
using etcdserverpb::RangeResponse;
using etcdserverpb::TxnResponse;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class Hashes {
 public:
  explicit Hashes(Members* members) : members_(*members) {}
  // What each member says of its history up to `revision`: one element if they agree.
  std::set<std::string> At(int64_t revision) {
    std::set<std::string> all;
    for (int i = 0; i < members_.size(); ++i) {
      members_.at(i).Revision();  // It has applied everything up to now.
      const auto hash = members_.at(i).Ok<HashKVResponse>(absl::StrCat("hashkv revision: ", revision));
      all.insert(absl::StrCat(hash.hash(), " compacted at ", hash.compact_revision()));
    }
    return all;
  }

 private:
  Members& members_;
};

TEST_F(ClusterContract, B002_ACompactionAtTheCurrentRevisionLeavesItReadableOnEveryMember) {
  const int64_t revision = at(0).Put(Key("a"), "v");
  at(0).Ok<CompactionResponse>(absl::StrCat("compact revision: ", revision));
  for (int i = 0; i < kMembers; ++i) {
    EXPECT_EQ(at(i).Keys(absl::StrCat("key: '", Key("a"), "' revision: ", revision)), Key("a") + " | | 1");
    EXPECT_EQ(at(i).Error(absl::StrCat("range key: 'a' revision: ", revision - 1)),
              "11 etcdserver: mvcc: required revision has been compacted");
  }
}

TEST_F(ClusterContract, B020_ARangeOutsideOfHistoryAbortsTheTxnOnEveryMemberAlike) {
  KEEL_SKIP_ON_OLD_ETCD("3.5: before, members may even differ in what they kept of it");
  const int64_t revision = at(0).Put(Key("a"));
  for (int i = 0; i < kMembers; ++i) {
    EXPECT_EQ(at(i).Error(absl::StrCat("txn success { request_put { key: '", Key("b"),
                                       "' } } success { request_range { key: 'a' revision: ", revision + 100, " } }")),
              "11 etcdserver: mvcc: required revision is a future revision");
  }
  for (int i = 0; i < kMembers; ++i) {
    EXPECT_EQ(at(i).Keys(absl::StrCat("key: '", Key("b"), "'")), " | | 0");
    EXPECT_EQ(at(i).Revision(), revision);
  }
  EXPECT_EQ(Hashes(&members()).At(revision).size(), 1u);
}

TEST_F(ClusterContract, B022_TheHeaderOfAReadOnlyTxnIsOfTheSnapshotItsComparesSaw) {
  int unseen = 0;
  for (int i = 0; i < 60; ++i) {
    const std::string key = Key(absl::StrCat(i));
    const auto put = at(i % kMembers).Start(absl::StrCat("put key: '", key, "'"));
    const auto txn = at(i / kMembers % kMembers)
                         .Ok<TxnResponse>(absl::StrCat("txn compare { target: CREATE create_revision: 0 key: '", key,
                                                       "' } success { request_range { key: '", key, "' } }"));
    const differential::Answer written = put->Wait();
    ASSERT_TRUE(written.status.ok()) << Shown(written.status);
    const int64_t revision = static_cast<const PutResponse&>(*written.messages[0]).header().revision();
    unseen += txn.succeeded();
    if (txn.succeeded()) {
      EXPECT_LT(txn.header().revision(), revision);
    } else {
      EXPECT_GE(txn.header().revision(), revision);
    }
  }
  RecordProperty("txns_before_their_put", unseen);
}

TEST_F(ClusterContract, B027_AReadThroughAMemberThatComesBackShowsWhatWasAcknowledged) {
  const int back = AnyFollower();
  members().processes().Kill(back);
  for (int i = 0; i < 20; ++i) at((back + 1) % kMembers).Put(Key(absl::StrCat(i)));
  ASSERT_TRUE(members().processes().Start(back).ok());
  differential::Answer answer;
  const std::string line = absl::StrCat("range key: '", Key(), "' range_end: '", Key("z"), "'");
  Await(
      [&] {
        answer = at(back).Call(line, absl::Seconds(5));
        return answer.status.ok();
      },
      "the member does not come back");
  ASSERT_TRUE(answer.status.ok());
  EXPECT_EQ(static_cast<const RangeResponse&>(*answer.messages[0]).count(), 20);
}

TEST_F(ClusterContract, B028_RevisionsDoNotGoBackAcrossDeathsAndPausesOfLeaders) {
  int64_t last = at(0).Put(Key());
  const auto see = [&](int64_t revision) {
    EXPECT_GE(revision, last);
    last = revision;
  };
  for (const bool kill : {true, false}) {
    const int leader = Leader();
    if (kill) {
      members().processes().Kill(leader);
    } else {
      members().Pause(leader);
    }
    for (const int other : {(leader + 1) % kMembers, (leader + 2) % kMembers}) {
      // Until there is a leader; what failed may have been written all the same.
      Await(
          [&] {
            const differential::Answer put = at(other).Call(absl::StrCat("put key: '", Key(), "'"), absl::Seconds(2));
            if (put.status.ok()) see(static_cast<const PutResponse&>(*put.messages[0]).header().revision());
            return put.status.ok();
          },
          "the others do not go on");
      see(at(other).Revision());
    }
    members().Heal();
    for (int i = 0; i < kMembers; ++i) see(at(i).Revision());
  }
}

TEST_F(ClusterContract, B029_APutIsAppliedAtMostOnceThoughItsConnectionDies) {
  TcpProxy proxy(members().processes().endpoint(0));
  auto client = Client::Create({.endpoints = {proxy.address()}});
  ASSERT_TRUE(client.ok()) << client.status();
  std::atomic<bool> stop = false;
  std::thread breaker([&] {
    // At no particular moment of a call.
    for (int i = 0; !stop; ++i) {
      absl::SleepFor(absl::Milliseconds(3 + i % 7));
      proxy.Drop();
    }
  });
  constexpr int kPuts = 60;
  int acknowledged = 0;
  for (int i = 0; i < kPuts; ++i) acknowledged += (*client)->kv().Put(Key(), "v").ok();
  stop = true;
  breaker.join();
  const auto stored = at(0).Ok<RangeResponse>(absl::StrCat("range key: '", Key(), "'"));
  const int64_t version = stored.kvs_size() == 0 ? 0 : stored.kvs(0).version();
  EXPECT_GE(version, acknowledged);
  EXPECT_LE(version, kPuts);
  EXPECT_GT(acknowledged, 0);
  RecordProperty("acknowledged", acknowledged);
}

TEST_F(ClusterContract, B030_WithoutAQuorumOnlySerializableReadsAreAnswered) {
  at(0).Put(Key(), "v");
  const int alone = AnyFollower();
  at(alone).Revision();
  PauseOthers(alone);
  EXPECT_EQ(at(alone).Keys(absl::StrCat("serializable: true key: '", Key(), "'")), Key() + " | | 1");
  EXPECT_THAT(at(alone).Error(absl::StrCat("range key: '", Key(), "'"), absl::Seconds(1)), StartsWith("4 "));
  EXPECT_EQ(at(alone).Keys(absl::StrCat("serializable: true key: '", Key(), "'")), Key() + " | | 1");
}

TEST_F(ClusterContract, B036_HashesAreEqualOnAllMembersBeforeAndAfterCompactions) {
  int64_t revision = 0;
  for (int i = 0; i < 30; ++i) revision = at(i % kMembers).Put(Key(absl::StrCat(i % 7)), absl::StrCat(i));
  Hashes hashes(&members());
  EXPECT_EQ(hashes.At(revision).size(), 1u);
  at(0).Ok<CompactionResponse>(absl::StrCat("compact physical: true revision: ", revision - 10));
  std::set<std::string> compacted = hashes.At(revision);
  EXPECT_EQ(compacted.size(), 1u);
  EXPECT_THAT(*compacted.begin(), HasSubstr(absl::StrCat(" compacted at ", revision - 10)));
  // On a tombstone, twice.
  for (int i = 0; i < 2; ++i) {
    const std::string line = absl::StrCat("delete key: '", Key(absl::StrCat(i)), "'");
    revision = at(1).Ok<DeleteRangeResponse>(line).header().revision();
    at(1).Ok<CompactionResponse>(absl::StrCat("compact physical: true revision: ", revision));
    revision = at(1).Put(Key());
    EXPECT_EQ(hashes.At(revision).size(), 1u);
  }
  compacted = hashes.At(revision);
  at(2).Call("defragment");
  EXPECT_EQ(hashes.At(revision), compacted);
  at(0).Put(Key());
  EXPECT_EQ(hashes.At(revision + 1).size(), 1u);
}

}  // namespace
}  // namespace keel::contract
