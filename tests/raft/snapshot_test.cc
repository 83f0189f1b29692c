// Followers whose entries are gone, from memory or altogether (Raft §7).

#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

// Leads three members with a log of 11..14 after a snapshot at 10; nothing of it is in memory but the no-op at 15.
InitialState Truncated() {
  InitialState initial = RigState(3);
  initial.snapshot = {Term(1), Index(10)};
  initial.term_runs = {{Index(11), Term(1)}};
  initial.last = Index(14);
  initial.applied = Index(12);
  initial.hard_state = {.term = Term(1), .vote = kNobody, .commit = Index(12)};
  return initial;
}

void Reject(Rig& rig, uint64_t from, uint64_t index, EntryId hint) {
  ASSERT_TRUE(rig.Receive(from, rig.core.status().term.value(),
                          AppendResponse{.rejected = true, .index = Index(index), .hint = hint, .read_round = 0})
                  .ok());
}

TEST(RaftSnapshotTest, FollowerThatNeedsTruncatedEntriesGetsASnapshot) {
  Rig rig(RigOptions(), Truncated());
  rig.Lead();
  rig.Clear();
  Reject(rig, 2, 14, {Term(1), Index(4)});
  ASSERT_EQ(rig.snapshots.size(), 1u);
  EXPECT_EQ(rig.snapshots[0].follower, MemberId(2));
  EXPECT_EQ(rig.core.followers()[0].state, FollowerStatus::State::kSnapshot);
  // One at a time, and no appends meanwhile.
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Tick(3);
  EXPECT_EQ(rig.snapshots.size(), 1u);
  EXPECT_TRUE(rig.Sent<AppendRequest>(2).empty());

  rig.core.OnSnapshotSent(MemberId(2), absl::OkStatus(), {Term(1), Index(12)});
  rig.Drain();
  // The transport's word is no acknowledgement.
  EXPECT_EQ(rig.core.followers()[0].match, Index(0));
  ASSERT_EQ(rig.fetches.size(), 1u);
  EXPECT_EQ(rig.fetches[0].first, Index(13));
  ASSERT_TRUE(rig.Receive(2, 2, SnapshotInstalled{.last = {Term(1), Index(12)}}).ok());
  EXPECT_EQ(rig.core.followers()[0].match, Index(12));
}

TEST(RaftSnapshotTest, FailedSnapshotIsTriedAgainAfterAPause) {
  Rig rig(RigOptions(), Truncated());
  rig.Lead();
  Reject(rig, 2, 14, {Term(1), Index(4)});
  rig.Clear();
  rig.core.OnSnapshotSent(MemberId(2), absl::UnavailableError("broken"), {});
  rig.Drain();
  for (int i = 0; i < kElectionTicks - 1; ++i) {
    rig.Tick();
    ASSERT_TRUE(rig.Receive(2, 2, HeartbeatResponse{}).ok());
  }
  EXPECT_TRUE(rig.snapshots.empty());
  rig.Tick();
  ASSERT_TRUE(rig.Receive(2, 2, HeartbeatResponse{}).ok());
  EXPECT_EQ(rig.snapshots.size(), 1u);
}

TEST(RaftSnapshotTest, EntriesThatVanishedWhileBeingFetchedMakeASnapshotDue) {
  Rig rig(RigOptions(), Truncated());
  rig.Lead();
  Reject(rig, 2, 14, {Term(1), Index(11)});
  ASSERT_EQ(rig.fetches.size(), 1u);
  rig.core.OnFetched(MemberId(2), {});
  rig.Drain();
  EXPECT_EQ(rig.snapshots.size(), 1u);
}

TEST(RaftSnapshotTest, FetchOfAnEarlierLeadershipIsForgotten) {
  Rig rig(RigOptions(), Truncated());
  rig.Lead();
  Reject(rig, 2, 14, {Term(1), Index(11)});
  ASSERT_EQ(rig.fetches.size(), 1u);
  ASSERT_TRUE(rig.Receive(3, 5, HeartbeatResponse{}).ok());
  rig.core.OnFetched(MemberId(2), Entries(12, {1, 1}));
  rig.Sync();
  EXPECT_EQ(rig.core.status().role, Role::kFollower);
}

// Bug: an append whose previous entry is gone, where a snapshot was due (found by simulation).
TEST(RaftSnapshotTest, FullWindowDoesNotHideThatASnapshotIsDue) {
  CoreOptions options = RigOptions();
  options.inflight_messages_max = 1;
  options.cached_log_bytes_max = 0;
  Rig rig(options, RigState(3));
  rig.Lead();
  rig.Ack(2, 1);
  rig.Ack(3, 1);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  rig.Ack(3, 2);
  rig.Ack(3, 5);
  rig.core.OnApplied(Index(5));
  rig.core.OnLogTruncated(Index(5));
  rig.Clear();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{}).ok());
  EXPECT_EQ(rig.snapshots.size(), 1u);
  EXPECT_TRUE(rig.Sent<AppendRequest>(2).empty());
}

// --- Follower.

SnapshotMeta Meta(uint64_t term, uint64_t index) {
  return {.last = {Term(term), Index(index)}, .membership = RigState(3).membership};
}

TEST(RaftSnapshotTest, SnapshotReplacesALogThatIsBehind) {
  Rig rig(RigOptions(), RigState(3, {1, 1, 2}));
  ASSERT_TRUE(rig.core.OfferSnapshot(MemberId(2), Term(5), Meta(4, 20)));
  rig.Drain();
  ASSERT_TRUE(rig.install.has_value());
  EXPECT_EQ(rig.install->last.index, Index(20));
  // Until it is in place nothing is acknowledged or written, and no other one is taken.
  ASSERT_TRUE(
      rig.Receive(2, 5,
                  AppendRequest{
                      .prev = {Term(4), Index(20)}, .entries = Entries(21, {5}), .commit = Index(21), .read_round = 0})
          .ok());
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(5), Meta(4, 22)));
  rig.Sync();
  EXPECT_TRUE(rig.Sent<AppendResponse>(2).empty());
  EXPECT_TRUE(rig.appends.empty());

  rig.core.OnSnapshotInstalled(Meta(4, 20));
  rig.Sync();
  const CoreStatus status = rig.core.status();
  EXPECT_EQ(status.commit, Index(20));
  EXPECT_EQ(status.applied, Index(20));
  EXPECT_EQ(status.first, Index(21));
  ASSERT_EQ(rig.Sent<SnapshotInstalled>(2).size(), 1u);
  ASSERT_TRUE(
      rig.Receive(2, 5,
                  AppendRequest{
                      .prev = {Term(4), Index(20)}, .entries = Entries(21, {5}), .commit = Index(21), .read_round = 0})
          .ok());
  rig.Sync();
  EXPECT_EQ(rig.core.status().commit, Index(21));
}

// Bug: a stale snapshot takes back what was committed since.
TEST(RaftSnapshotTest, StaleSnapshotIsIgnored) {
  InitialState initial = RigState(3, {1, 1, 2});
  initial.hard_state.commit = Index(2);
  Rig rig(RigOptions(), initial);
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(5), Meta(1, 2)));
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(1), Meta(1, 9)));  // Of an old term.
  EXPECT_FALSE(rig.core.OfferSnapshot(kNobody, Term(7), Meta(1, 9)));
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(7), Meta(9, 30)));             // From the future.
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(7), Meta(1, ~uint64_t{0})));   // An index that cannot be.
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(~uint64_t{0}), Meta(1, 30)));  // A term that cannot be.
  SnapshotMeta disordered = Meta(1, 9);
  std::reverse(disordered.membership.voters.begin(), disordered.membership.voters.end());
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(7), disordered));
  rig.Sync();
  EXPECT_FALSE(rig.install.has_value());
  EXPECT_EQ(rig.core.status().last.index, Index(3));
}

TEST(RaftSnapshotTest, SnapshotFromBeforeTheLogBeginsIsIgnored) {
  Rig rig(RigOptions(), Truncated());
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(5), Meta(1, 8)));
  rig.Sync();
  EXPECT_FALSE(rig.install.has_value());
  EXPECT_EQ(rig.core.status().commit, Index(12));
}

// "If instead the follower receives a snapshot that describes a prefix of its log, then log entries covered by the
// snapshot are deleted but entries following the snapshot are still valid and must be retained."
TEST(RaftSnapshotTest, SnapshotOfAPrefixKeepsTheRestOfTheLog) {
  Rig rig(RigOptions(), RigState(3, {1, 1, 2}));
  EXPECT_FALSE(rig.core.OfferSnapshot(MemberId(2), Term(5), Meta(1, 2)));
  rig.Sync();
  EXPECT_FALSE(rig.install.has_value());
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_EQ(rig.core.status().last.index, Index(3));
}

// Entries that were about to be written when the snapshot was taken never are: they must not be acknowledged.
TEST(RaftSnapshotTest, AcknowledgementsOfUnwrittenEntriesDieWithThem) {
  Rig rig(3);
  ASSERT_TRUE(rig.core
                  .Step({.from = MemberId(2),
                         .to = MemberId(1),
                         .term = Term(1),
                         .body = AppendRequest{.prev = {}, .entries = Entries(1, {1}), .commit = {}, .read_round = 0}})
                  .ok());
  ASSERT_TRUE(rig.core.OfferSnapshot(MemberId(2), Term(1), Meta(1, 20)));
  rig.Sync();
  EXPECT_TRUE(rig.Sent<AppendResponse>(2).empty());
}

// --- Memory.

TEST(RaftSnapshotTest, WhatHasLeftMemoryIsAppliedFromTheLog) {
  Rig rig(RigOptions(), Truncated());
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{.commit = {Term(1), Index(14)}, .read_round = 0}).ok());
  ASSERT_FALSE(rig.applies.empty());
  EXPECT_EQ(rig.applies[0].first, Index(13));
  EXPECT_EQ(rig.applies[0].last, Index(14));
  EXPECT_TRUE(rig.applies[0].entries.empty());
}

TEST(RaftSnapshotTest, ReplicatedEverywhereCountsOnlyTheActive) {
  Rig rig(3);
  rig.Lead();
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  rig.Ack(2, 3);
  EXPECT_EQ(rig.core.ReplicatedEverywhere(), Index(0));
  for (int i = 0; i < kElectionTicks; ++i) {
    rig.Tick();
    ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{}).ok());
  }
  EXPECT_EQ(rig.core.ReplicatedEverywhere(), Index(3));
}

}  // namespace
}  // namespace keel::raft
