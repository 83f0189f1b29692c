// Changes of at most one voter, and the rules that hold for all changes (Raft §6; Thesis §4.1, §4.2).

#include "raft/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

using ::testing::HasSubstr;

Entry MembershipEntryAt(uint64_t term, uint64_t index, const Membership& membership, const std::string& context = "") {
  return {.id = {Term(term), Index(index)},
          .type = EntryType::kMembership,
          .payload = EncodeMembershipEntry(membership, context)};
}

TEST(ChangedMembershipTest, TheFewestSteps) {
  const Membership base{.voters = Ids({1, 2, 3}), .learners = Ids({4})};
  const struct {
    const char* name;
    MembershipChange change;
    Membership expected;
  } kCases[] = {
      {"add a voter", {.add_voters = Ids({5})}, {.voters = Ids({1, 2, 3, 5}), .learners = Ids({4})}},
      {"add a learner", {.add_learners = Ids({5})}, {.voters = Ids({1, 2, 3}), .learners = Ids({4, 5})}},
      {"promote", {.add_voters = Ids({4})}, Voters({1, 2, 3, 4})},
      {"demote", {.add_learners = Ids({1})}, {.voters = Ids({2, 3}), .learners = Ids({1, 4})}},
      {"remove a voter", {.remove = Ids({2})}, {.voters = Ids({1, 3}), .learners = Ids({4})}},
      {"remove a learner", {.remove = Ids({4})}, Voters({1, 2, 3})},
      {"only the context", {}, base},
      {"replace",
       {.add_voters = Ids({5}), .remove = Ids({2})},
       {.voters = Ids({1, 3, 5}), .outgoing_voters = Ids({1, 2, 3}), .learners = Ids({4})}},
      {"replace by a learner",
       {.add_voters = Ids({4}), .remove = Ids({2})},
       {.voters = Ids({1, 3, 4}), .outgoing_voters = Ids({1, 2, 3})}},
      {"swap roles",
       {.add_voters = Ids({4}), .add_learners = Ids({2})},
       {.voters = Ids({1, 3, 4}), .outgoing_voters = Ids({1, 2, 3}), .learners_next = Ids({2})}},
      {"add two",
       {.add_voters = Ids({5, 6})},
       {.voters = Ids({1, 2, 3, 5, 6}), .outgoing_voters = Ids({1, 2, 3}), .learners = Ids({4})}},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    const absl::StatusOr<Membership> changed = ChangedMembership(base, c.change);
    ASSERT_TRUE(changed.ok()) << changed.status();
    EXPECT_EQ(*changed, c.expected);
    EXPECT_TRUE(CheckMembership(*changed).ok());
  }
}

TEST(ChangedMembershipTest, WhatCannotBe) {
  const Membership base{.voters = Ids({1}), .learners = Ids({4})};
  const struct {
    const char* name;
    MembershipChange change;
    const char* text;
  } kCases[] = {
      {"nobody", {.add_voters = Ids({0})}, "member id 0"},
      {"twice", {.add_voters = Ids({5}), .remove = Ids({5})}, "named twice"},
      {"is a voter", {.add_voters = Ids({1})}, kNothingWouldChange},
      {"is a learner", {.add_learners = Ids({4})}, kNothingWouldChange},
      {"is nobody", {.remove = Ids({9})}, kNothingWouldChange},
      {"the last voter", {.remove = Ids({1})}, kNoVoterLeft},
      {"the last voter's vote", {.add_learners = Ids({1})}, kNoVoterLeft},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    EXPECT_THAT(std::string(ChangedMembership(base, c.change).status().message()), HasSubstr(c.text));
  }
  EXPECT_EQ(
      ChangedMembership({.voters = Ids({1}), .outgoing_voters = Ids({2})}, {.add_voters = Ids({3})}).status().message(),
      kChangeInFlight);
}

TEST(MembershipEntryTest, RoundTripsAndRefusesNonsense) {
  const Membership joint{
      .voters = Ids({1, 3, 4}), .outgoing_voters = Ids({1, 2, 3}), .learners = Ids({7}), .learners_next = Ids({2})};
  const absl::StatusOr<MembershipEntry> decoded = DecodeMembershipEntry(EncodeMembershipEntry(joint, "ctx").view());
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, (MembershipEntry{.membership = joint, .context = "ctx"}));
  EXPECT_FALSE(DecodeMembershipEntry("").ok());
  EXPECT_FALSE(DecodeMembershipEntry("\xff\xff").ok());
  const Membership bad[] = {
      Voters({}),
      Voters({2, 1}),
      Voters({1, 1}),
      Voters({0}),
      {.voters = Ids({1}), .learners = Ids({1})},
      {.voters = Ids({1}), .outgoing_voters = Ids({2}), .learners = Ids({2})},
      {.voters = Ids({1}), .learners_next = Ids({2})},
      {.voters = Ids({1, 2}), .outgoing_voters = Ids({2}), .learners_next = Ids({2})},
  };
  for (const Membership& membership : bad) {
    EXPECT_FALSE(DecodeMembershipEntry(EncodeMembershipEntry(membership, "").view()).ok());
  }
}

// Thesis §4.1: a server uses the newest configuration in its log, committed or not.
TEST(RaftMembershipTest, AddedVoterCountsFromTheEntryOn) {
  Rig rig(1);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({2})}, "who").ok());
  rig.Sync();
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2}));
  EXPECT_EQ(rig.core.status().membership_index, Index(2));
  // Alone, member 1 is no majority any more.
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  const absl::StatusOr<MembershipEntry> entry = DecodeMembershipEntry(rig.applies.back().entries.back().payload.view());
  ASSERT_TRUE(entry.ok());
  EXPECT_EQ(*entry, (MembershipEntry{.membership = Voters({1, 2}), .context = "who"}));
}

TEST(RaftMembershipTest, RemovedVoterIsNotWaitedFor) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.remove = Ids({3})}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Ack(2, 3);
  EXPECT_EQ(rig.core.status().commit, Index(3));
  // Both are needed now: two of two.
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2}));
}

TEST(RaftMembershipTest, FollowerUsesWhatItsLogSaysAndGoesBackWithIt) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1,
                          AppendRequest{.prev = {},
                                        .entries = {MembershipEntryAt(1, 1, Voters({1, 2, 3, 4})),
                                                    MembershipEntryAt(1, 2, Voters({1, 2, 3, 4, 5}))}})
                  .ok());
  rig.Sync();
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3, 4, 5}));
  // A new leader, which one may not know yet (Thesis §4.1), has another entry there.
  ASSERT_TRUE(rig.Receive(9, 2, AppendRequest{.prev = {Term(1), Index(1)}, .entries = Entries(2, {2})}).ok());
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3, 4}));
  ASSERT_TRUE(rig.Receive(9, 2, AppendRequest{.prev = {}, .entries = Entries(1, {2})}).ok());
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3}));
}

// Bug 34, over a restart: what the log holds beyond the state's membership counts, and can still be cut.
TEST(RaftMembershipTest, RestartFindsTheMembershipInTheLog) {
  InitialState initial = RigState(3, {1, 1, 1});
  initial.applied = Index(1);
  initial.memberships = {{.index = Index(1), .membership = Voters({1, 2, 3})},
                         {.index = Index(3), .membership = Voters({1, 2, 3, 4})}};
  Rig rig(RigOptions(), initial);
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3, 4}));
  ASSERT_TRUE(rig.Receive(2, 2, AppendRequest{.prev = {Term(1), Index(2)}, .entries = Entries(3, {2})}).ok());
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3}));
}

// Bug 31: with a change before the first commit of a term, two leaders' majorities might not overlap.
TEST(RaftMembershipTest, NoChangeBeforeTheTermsFirstCommit) {
  Rig rig(3);
  rig.Lead();
  EXPECT_EQ(rig.Change({.add_voters = Ids({4})}).message(), kTermNotReady);
  rig.Ack(2, 1);
  rig.Apply();
  EXPECT_TRUE(rig.Change({.add_voters = Ids({4})}).ok());
}

// Bug 32: committed is not enough, applied it must be.
TEST(RaftMembershipTest, OneChangeAtATime) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({4})}).ok());
  rig.Sync();
  EXPECT_EQ(rig.Change({.add_voters = Ids({5})}).message(), kChangeInFlight);
  rig.Ack(2, 2);
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_EQ(rig.Change({.add_voters = Ids({5})}).message(), kChangeInFlight);
  rig.Apply();
  EXPECT_TRUE(rig.Change({.add_voters = Ids({5})}).ok());
}

TEST(RaftMembershipTest, OnlyALeaderChangesIt) {
  Rig rig(3);
  EXPECT_EQ(rig.Change({.add_voters = Ids({4})}).message(), kNotLeader);
  EXPECT_TRUE(rig.appends.empty());
}

// Bug 35: an uncommitted configuration that the log held ends with the log.
TEST(RaftMembershipTest, SnapshotBringsExactlyItsMembership) {
  Rig rig(3);
  ASSERT_TRUE(
      rig.Receive(2, 1, AppendRequest{.prev = {}, .entries = {MembershipEntryAt(1, 1, Voters({1, 2, 3, 4}))}}).ok());
  rig.Sync();
  const SnapshotMeta meta{.last = {Term(2), Index(9)}, .membership = {.voters = Ids({1, 2}), .learners = Ids({3})}};
  ASSERT_TRUE(rig.core.OfferSnapshot(MemberId(2), Term(2), meta));
  rig.Sync();
  rig.core.OnSnapshotInstalled(meta);
  EXPECT_EQ(rig.core.status().membership, meta.membership);
  EXPECT_EQ(rig.core.status().membership_index, Index(9));
}

// A member that joins knows nobody: whoever leads tells it (Thesis §4.1).
TEST(RaftMembershipTest, AnEmptyMemberWaitsToBeServed) {
  Rig rig(RigOptions(), InitialState{});
  rig.Tick(20 * kElectionTicks);
  EXPECT_TRUE(rig.sent.empty());
  ASSERT_TRUE(rig.Receive(7, 3, AppendRequest{.prev = {Term(2), Index(50)}}).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<AppendResponse>(7).size(), 1u);
  EXPECT_TRUE(rig.Sent<AppendResponse>(7)[0].rejected);
  const SnapshotMeta meta{.last = {Term(2), Index(50)}, .membership = Voters({1, 7})};
  ASSERT_TRUE(rig.core.OfferSnapshot(MemberId(7), Term(3), meta));
  rig.Sync();
  rig.core.OnSnapshotInstalled(meta);
  EXPECT_EQ(rig.core.status().membership, Voters({1, 7}));
}

// Bug 37; Thesis §4.2.2.
TEST(RaftMembershipTest, LeaderThatRemovesItselfLeadsUntilTheCommitWithoutCountingItself) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.remove = Ids({1})}).ok());
  rig.Sync();
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  rig.Ack(2, 2);
  // Itself and member 2 would be two of three; of the new two voters it is one.
  EXPECT_EQ(rig.core.status().commit, Index(1));
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  rig.Clear();
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
  // Told of the commit, one of them takes over at once.
  EXPECT_EQ(rig.Sent<Heartbeat>(2).back().commit.index, Index(2));
  EXPECT_EQ(rig.Sent<Heartbeat>(3).back().commit.index, Index(2));
  EXPECT_EQ(rig.Sent<TimeoutNow>(2).size() + rig.Sent<TimeoutNow>(3).size(), 1u);
  // And it does not come back.
  rig.Clear();
  rig.Tick(10 * kElectionTicks);
  EXPECT_TRUE(rig.sent.empty());
}

// Thesis §4.2.2, figure 4.6: of {1, 2}, member 1 has the entry that removes it, member 2 has not. Member 2 is behind
// and cannot win; member 1 must, though its newest configuration does not name it.
TEST(RaftMembershipTest, MemberWithoutAVoteStandsWhileTheEntryIsNotCommitted) {
  InitialState initial = RigState(2, {1, 1});
  initial.applied = Index(1);
  initial.memberships = {{.index = Index(2), .membership = Voters({2})}};
  Rig rig(RigOptions(), initial);
  rig.core.Campaign();
  rig.Drain();
  ASSERT_EQ(rig.core.status().role, Role::kPreCandidate) << "its own vote does not count";
  ASSERT_TRUE(rig.Receive(2, 2, VoteResponse{.granted = true, .pre_vote = true}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.Receive(2, 2, VoteResponse{.granted = true}).ok());
  rig.Sync();
  EXPECT_EQ(rig.core.status().role, Role::kLeader);
  rig.Ack(2, 3);
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
}

// It would stand for election for ever otherwise, not knowing why nobody answers.
TEST(RaftMembershipTest, RemovedMemberIsToldOfItsRemoval) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.remove = Ids({3})}).ok());
  rig.Sync();
  ASSERT_FALSE(rig.Sent<AppendRequest>(3).empty());
  EXPECT_EQ(rig.Sent<AppendRequest>(3).back().entries.back().type, EntryType::kMembership);
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1)) << "its word does not count";
  EXPECT_EQ(rig.core.followers().size(), 1u);
  rig.Clear();
  rig.Ack(2, 2);
  ASSERT_FALSE(rig.Sent<Heartbeat>(3).empty());
  EXPECT_EQ(rig.Sent<Heartbeat>(3).back().commit.index, Index(2));
  // Not for ever.
  const uint64_t term = rig.core.status().term.value();
  for (int tick = 0; tick < 2 * kElectionTicks; ++tick) {
    ASSERT_TRUE(rig.Receive(2, term, HeartbeatResponse{}).ok());
    rig.Tick();
  }
  rig.Clear();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Tick();
  EXPECT_FALSE(rig.Sent<AppendRequest>(2).empty());
  EXPECT_TRUE(rig.Sent<AppendRequest>(3).empty());
  EXPECT_TRUE(rig.Sent<Heartbeat>(3).empty());
  EXPECT_TRUE(absl::IsFailedPrecondition(rig.Receive(3, term, AppendResponse{.index = Index(2)})));
}

TEST(RaftMembershipTest, MemberThatComesBackInTimeStays) {
  Rig rig(3);
  rig.LeadAndCommit();
  ASSERT_TRUE(rig.Change({.remove = Ids({3})}).ok());
  rig.Sync();
  rig.Ack(2, 2);
  rig.Apply();
  ASSERT_TRUE(rig.Change({.add_voters = Ids({3})}).ok());
  rig.Sync();
  const uint64_t term = rig.core.status().term.value();
  for (int tick = 0; tick < 3 * kElectionTicks; ++tick) {
    ASSERT_TRUE(rig.Receive(2, term, HeartbeatResponse{}).ok());
    rig.Tick();
  }
  EXPECT_EQ(rig.core.followers().size(), 2u);
}

// A candidate may know of a change that its voter has not heard of (Thesis §4.1).
TEST(RaftMembershipTest, VotesAreGivenToCandidatesTheLogDoesNotName) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(8, 4, VoteRequest{.last = {Term(3), Index(7)}, .pre_vote = true}).ok());
  ASSERT_EQ(rig.Sent<VoteResponse>(8).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(8)[0].granted);
  rig.Clear();
  ASSERT_TRUE(rig.Receive(8, 4, VoteRequest{.last = {Term(3), Index(7)}}).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<VoteResponse>(8).size(), 1u);
  EXPECT_TRUE(rig.Sent<VoteResponse>(8)[0].granted);
}

TEST(RaftMembershipTest, MalformedMembershipEntryIsRefused) {
  Rig rig(3);
  std::vector<Entry> entries = Entries(1, {1});
  entries[0].type = EntryType::kMembership;
  entries[0].payload = EncodeMembershipEntry(Voters({}), "");
  EXPECT_EQ(rig.Receive(2, 1, AppendRequest{.prev = {}, .entries = entries}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.core.status().membership, Voters({1, 2, 3}));
}

// Nobody is left to answer the round it belongs to. Found by the simulation (tests/sim/seeds).
TEST(MembershipTest, AReadIsAnsweredWhenTheVoterItWaitsForIsRemoved) {
  Rig rig(2);
  rig.LeadAndCommit();
  rig.core.ReadIndex(ReadId(7));
  rig.Drain();
  ASSERT_TRUE(rig.reads.empty());
  ASSERT_TRUE(rig.Change({.remove = Ids({2})}).ok());
  rig.Sync();
  ASSERT_EQ(rig.reads.size(), 1u);
  EXPECT_EQ(rig.reads[0].id, ReadId(7));
  EXPECT_TRUE(rig.reads[0].status.ok());
}

}  // namespace
}  // namespace keel::raft
