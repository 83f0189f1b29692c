// The members in the state: what an entry changes, what a restart finds, what never comes back.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/check.h"
#include "tests/state/store_fixture.h"

namespace keel::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kNotFound[] = "etcdserver: member not found";

class MemberTest : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    KEEL_CHECK_OK(store_->Bootstrap({.cluster_id = 77,
                                     .members = {{.id = 2, .name = {}, .peer_urls = {"http://b:1"}},
                                                 {.id = 1, .name = {}, .peer_urls = {"http://a:1"}}}}));
  }

  std::optional<MemberRecord> Find(uint64_t id) {
    for (const MemberRecord& member : store_->members()) {
      if (member.id == id) return member;
    }
    return std::nullopt;
  }
  absl::Status Say(uint64_t id, const DirectoryRecord& directory) {
    absl::Status status;
    Apply([&](ApplyBatch& batch) { status = batch.SetMemberAttributes(id, "n", {"http://c:1"}, directory); });
    return status;
  }
};

TEST_F(MemberTest, ABootstrappedClusterStandsAtOneSoThatAnEmptyMemberNeedsASnapshot) {
  EXPECT_EQ(store_->applied(), (AppliedPosition{.index = 1, .term = 1}));
  EXPECT_EQ(store_->durable_applied(), store_->applied());
  EXPECT_EQ(store_->membership(), (StoredMembership{.index = 1, .voters = {1, 2}}));
  Reopen();
  EXPECT_EQ(store_->membership(), (StoredMembership{.index = 1, .voters = {1, 2}}));
  EXPECT_EQ(store_->applied(), (AppliedPosition{.index = 1, .term = 1}));
}

TEST_F(MemberTest, AMembershipAddsReaddressesAndRemovesInOneStep) {
  ASSERT_TRUE(Say(2, {.id = 9, .starts = 1}).ok());
  const StoredMembership joint{.index = 0, .voters = {1, 3}, .outgoing_voters = {1, 2}, .learners = {4}};
  Apply([&](ApplyBatch& batch) {
    batch.SetMembership(joint, {{.id = 3, .name = {}, .peer_urls = {"http://z:1", "http://d:1"}},
                                {.id = 4, .name = {}, .peer_urls = {"http://e:1"}, .client_urls = {}, .learner = true},
                                {.id = 1, .name = "ignored", .peer_urls = {"http://a:2"}},
                                {.id = 8, .name = {}, .peer_urls = {"http://stranger:1"}}});
    EXPECT_TRUE(batch.Member(4)->learner);
  });
  EXPECT_EQ(store_->membership().index, 3u);  // The entry's.
  EXPECT_EQ(store_->members().size(), 4u);    // The outgoing voter is one still.
  EXPECT_THAT(store_->removed_members(), IsEmpty());
  EXPECT_THAT(Find(3)->peer_urls, ElementsAre("http://d:1", "http://z:1"));
  EXPECT_THAT(Find(1)->peer_urls, ElementsAre("http://a:2"));
  EXPECT_EQ(Find(1)->name, "");
  EXPECT_TRUE(Find(4)->learner);

  Apply([&](ApplyBatch& batch) {
    batch.SetMembership({.index = 0, .voters = {1, 3}, .learners = {4}}, {});
    EXPECT_EQ(batch.Member(2), std::nullopt);
  });
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(Find(2), std::nullopt);
    EXPECT_THAT(store_->removed_members(), ElementsAre(2));
    EXPECT_THAT(Find(3)->peer_urls, ElementsAre("http://d:1", "http://z:1"));
    EXPECT_TRUE(Find(4)->learner);
    EXPECT_EQ(store_->membership(), (StoredMembership{.index = 4, .voters = {1, 3}, .learners = {4}}));
    Reopen();
  }
}

TEST_F(MemberTest, PromotionIsAMatterOfTheMembershipAlone) {
  Apply([](ApplyBatch& batch) {
    batch.SetMembership({.index = 0, .voters = {1, 2}, .learners = {3}},
                        {{.id = 3, .name = {}, .peer_urls = {"http://d:1"}, .client_urls = {}, .learner = true}});
  });
  ASSERT_TRUE(Say(3, {.id = 5, .starts = 1}).ok());
  EXPECT_TRUE(Find(3)->learner);
  Apply([](ApplyBatch& batch) {
    batch.SetMembership({.index = 0, .voters = {1, 2}, .learners = {3}},
                        {{.id = 3, .name = {}, .peer_urls = {"http://d:2"}, .client_urls = {}, .learner = true}});
  });
  EXPECT_TRUE(Find(3)->learner) << "an update promoted";
  Apply([](ApplyBatch& batch) { batch.SetMembership({.index = 0, .voters = {1, 2, 3}}, {}); });
  Reopen();
  EXPECT_FALSE(Find(3)->learner);
  EXPECT_EQ(Find(3)->name, "n");
  EXPECT_EQ(Find(3)->directory, (DirectoryRecord{.id = 5, .starts = 1}));
  EXPECT_THAT(Find(3)->peer_urls, ElementsAre("http://d:2"));
}

TEST_F(MemberTest, ANewVoterAwaitsItsVoteAndShowsAsAVoter) {
  Apply([](ApplyBatch& batch) {
    batch.SetMembership({.index = 0, .voters = {1, 2}, .learners = {3}},
                        {{.id = 3, .name = {}, .peer_urls = {"http://d:1"}}});
  });
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(Find(3)->awaits_vote);
    EXPECT_FALSE(Find(3)->learner);
    Reopen();
  }
  Apply([](ApplyBatch& batch) { batch.SetMembership({.index = 0, .voters = {1, 2, 3}}, {}); });
  EXPECT_FALSE(Find(3)->awaits_vote);
  // A later demotion is one.
  Apply([](ApplyBatch& batch) { batch.SetMembership({.index = 0, .voters = {1, 2}, .learners = {3}}, {}); });
  Reopen();
  EXPECT_FALSE(Find(3)->awaits_vote);
  EXPECT_TRUE(Find(3)->learner);
}

TEST_F(MemberTest, AnotherOrAnOlderDirectoryIsNotTheMember) {
  EXPECT_TRUE(Say(1, {.id = 9, .starts = 2}).ok());
  EXPECT_TRUE(Say(1, {.id = 9, .starts = 2}).ok());  // The same start says it again.
  EXPECT_TRUE(Say(1, {.id = 9, .starts = 4}).ok());
  EXPECT_THAT(std::string(Say(1, {.id = 9, .starts = 3}).message()), HasSubstr("is older than"));
  EXPECT_THAT(std::string(Say(1, {.id = 8, .starts = 5}).message()), HasSubstr("another data directory"));
  EXPECT_EQ(Say(6, {.id = 8, .starts = 5}), absl::NotFoundError(kNotFound));
  Reopen();
  EXPECT_EQ(Find(1)->directory, (DirectoryRecord{.id = 9, .starts = 4}));
  EXPECT_EQ(Find(6), std::nullopt);
}

TEST_F(MemberTest, ARefoundedStateKeepsItsKeysAndForgetsItsMembers) {
  Put("k", "v");
  ASSERT_TRUE(Say(1, {.id = 9, .starts = 2}).ok());
  Apply([](ApplyBatch& batch) {
    batch.SetMembership({.index = 0, .voters = {1}}, {});
    batch.RaiseAlarm(2, etcdserverpb::NOSPACE);
  });
  const AppliedPosition position = store_->applied();
  ASSERT_TRUE(
      store_->Refound({.cluster_id = 78, .members = {{.id = 2, .name = {}, .peer_urls = {"http://n:1"}}}}).ok());
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(store_->cluster_id(), 78u);
    EXPECT_EQ(store_->members().size(), 1u);
    EXPECT_THAT(Find(2)->peer_urls, ElementsAre("http://n:1"));
    EXPECT_EQ(Find(2)->directory, DirectoryRecord());
    EXPECT_EQ(store_->membership(), (StoredMembership{.index = position.index, .voters = {2}}));
    EXPECT_THAT(store_->removed_members(), IsEmpty());
    EXPECT_TRUE(store_->alarms().empty());
    EXPECT_EQ(store_->applied(), position);
    EXPECT_EQ(store_->current_revision(), Revision(2));
    Reopen();
  }
}

}  // namespace
}  // namespace keel::storage
