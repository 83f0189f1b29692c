// How the log grows and what of it is committed (Raft §5.3, §5.4.2; Thesis §10.2.1).

#include "raft/core.h"

#include <gtest/gtest.h>

#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

AppendRequest Append(uint64_t prev_term, uint64_t prev_index, std::vector<Entry> entries, uint64_t commit = 0) {
  return {.prev = {Term(prev_term), Index(prev_index)},
          .entries = std::move(entries),
          .commit = Index(commit),
          .read_round = 0};
}

// --- Follower.

// Bug: acknowledged before fsync.
TEST(RaftReplicationTest, EntriesAreAcknowledgedOnlyWhenDurable) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();  // The term is on disk; what the answer waits for is the entries.
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1}))).ok());
  EXPECT_TRUE(rig.Sent<AppendResponse>(2).empty());
  rig.Sync();
  ASSERT_EQ(rig.Sent<AppendResponse>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendResponse>(2)[0].index, Index(2));
}

// Bug: a repeat of entries that are still on their way to the disk is acknowledged at once.
TEST(RaftReplicationTest, RepeatedEntriesWaitForTheSameDisk) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1}))).ok());
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1}))).ok());
  EXPECT_TRUE(rig.Sent<AppendResponse>(2).empty());
  rig.Sync();
  EXPECT_FALSE(rig.Sent<AppendResponse>(2).empty());
  rig.Clear();
  // Durable by now: no reason to wait.
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1}))).ok());
  EXPECT_EQ(rig.Sent<AppendResponse>(2).size(), 1u);
}

// "If an existing entry conflicts with a new one, delete it and all that follow it" - and only then. Bug: truncating on
// every append, which takes back what a later message had brought.
TEST(RaftReplicationTest, OldAppendDoesNotShortenTheLog) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1, 1, 1}))).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1}))).ok());
  EXPECT_EQ(rig.core.status().last.index, Index(4));
  EXPECT_TRUE(rig.appends.empty());
}

// Bugs: acknowledging the whole log; committing min(leader's commit, own last).
TEST(RaftReplicationTest, OnlyWhatTheLeaderVouchedForIsAcknowledgedAndCommitted) {
  Rig rig(RigOptions(), RigState(3, {1, 1, 2, 2, 2}));  // 3..5 are of a deposed leader.
  ASSERT_TRUE(rig.Receive(2, 4, Append(1, 1, Entries(2, {1}), 5)).ok());
  rig.Sync();
  ASSERT_EQ(rig.Sent<AppendResponse>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendResponse>(2)[0].index, Index(2));
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

TEST(RaftReplicationTest, ConflictingEntriesAreReplaced) {
  Rig rig(RigOptions(), RigState(3, {1, 1, 2, 2, 2}));
  ASSERT_TRUE(rig.Receive(2, 4, Append(1, 2, Entries(3, {4}))).ok());
  EXPECT_EQ(rig.core.status().last, (EntryId{Term(4), Index(3)}));
  ASSERT_EQ(rig.appends.size(), 1u);
  ASSERT_EQ(rig.appends[0].entries.size(), 1u);
  EXPECT_EQ(rig.appends[0].entries[0].id, (EntryId{Term(4), Index(3)}));
}

TEST(RaftReplicationTest, RejectionSkipsTheTermThatCannotMatch) {
  Rig rig(RigOptions(), RigState(3, {1, 1, 2, 2, 2}));
  ASSERT_TRUE(rig.Receive(2, 4, Append(4, 9, {})).ok());
  ASSERT_TRUE(rig.Receive(2, 4, Append(1, 5, {})).ok());
  rig.Sync();
  const auto sent = rig.Sent<AppendResponse>(2);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_TRUE(sent[0].rejected);
  EXPECT_EQ(sent[0].index, Index(9));
  EXPECT_EQ(sent[0].hint, (EntryId{Term(2), Index(5)}));
  EXPECT_EQ(sent[1].hint, (EntryId{Term(1), Index(2)}));
}

TEST(RaftReplicationTest, AppendThatContradictsCommittedEntriesIsRefused) {
  InitialState initial = RigState(3, {1, 1, 2});
  initial.hard_state.commit = Index(2);
  Rig rig(RigOptions(), initial);
  EXPECT_EQ(rig.Receive(2, 4, Append(1, 1, Entries(2, {3}))).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.Receive(2, 4, Append(2, 2, {})).code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.core.status().term, Term(2));
  EXPECT_EQ(rig.core.status().last.index, Index(3));
}

// Bug (ABA): the completion of a write of entries that were replaced meanwhile makes their replacements count.
TEST(RaftReplicationTest, CompletionOfReplacedEntriesAcknowledgesNothing) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1, 1}))).ok());
  const AppendTicket old = rig.queue[0].append->ticket;
  ASSERT_TRUE(rig.Receive(3, 2, Append(1, 1, Entries(2, {2, 2}), 3)).ok());
  EXPECT_EQ(rig.core.status().commit, Index(3));
  rig.core.OnAppended(old);
  rig.Drain();
  // Were the replacements taken for durable, they would be applied now.
  EXPECT_TRUE(rig.applies.empty());
  rig.Sync();
  ASSERT_FALSE(rig.applies.empty());
  EXPECT_EQ(rig.applies.back().last, Index(3));
}

TEST(RaftReplicationTest, ManyAppendsInOneTurnAreAcknowledgedTogether) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();
  for (uint64_t i = 1; i <= 5; ++i) {
    ASSERT_TRUE(rig.core
                    .Step({.from = MemberId(2),
                           .to = MemberId(1),
                           .term = Term(1),
                           .body = Append(i == 1 ? 0 : 1, i - 1, Entries(i, {1}))})
                    .ok());
  }
  rig.Sync();
  ASSERT_EQ(rig.appends.size(), 2u);
  EXPECT_EQ(rig.appends[1].entries.size(), 5u);
  ASSERT_EQ(rig.Sent<AppendResponse>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendResponse>(2)[0].index, Index(5));
}

TEST(RaftReplicationTest, FollowerForwardsProposalsInPiecesThatFit) {
  CoreOptions options = RigOptions();
  options.append_bytes_max = 100;
  Rig rig(options, RigState(3));
  EXPECT_EQ(rig.Propose("x").code(), absl::StatusCode::kUnavailable);
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{}).ok());
  rig.Sync();
  ASSERT_TRUE(rig.core.Propose({Payload(std::string(60, 'a')), Payload(std::string(60, 'b'))}).ok());
  rig.Drain();
  const auto sent = rig.Sent<ForwardProposal>(2);
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1].payloads[0].view()[0], 'b');
}

// --- Leader.

TEST(RaftReplicationTest, LeaderSendsBeforeItsOwnDiskIsDone) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  rig.Clear();
  ASSERT_TRUE(rig.Propose("x").ok());
  ASSERT_FALSE(rig.queue.empty());
  ASSERT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendRequest>(2)[0].entries.size(), 1u);
}

// Bug: the leader counts itself before its own fsync.
TEST(RaftReplicationTest, LeaderCountsItselfOnlyWhenDurable) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Ack(2, 2);
  EXPECT_EQ(rig.core.status().commit, Index(1));
  rig.Sync();
  EXPECT_EQ(rig.core.status().commit, Index(2));
}

// Thesis §10.2.1: "the leader may even commit an entry before it has been written to its own disk".
TEST(RaftReplicationTest, QuorumOfFollowersCommitsWithoutTheLeadersDisk) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  rig.Ack(3, 1);
  rig.Clear();
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Ack(2, 2);
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_TRUE(rig.applies.empty());  // Yet it is not executed here before it is durable here.
}

// Raft §5.4.2, figure 8: an entry of an earlier term on a quorum may still be overwritten.
TEST(RaftReplicationTest, EntriesOfEarlierTermsAreCommittedOnlyByOneOfTheOwnTerm) {
  Rig rig(RigOptions(), RigState(5, {1, 2}));
  rig.Lead();  // Term 3; its no-op is 3.
  rig.Ack(2, 2);
  rig.Ack(3, 2);
  EXPECT_EQ(rig.core.status().commit, Index(0));
  rig.Ack(2, 3);
  EXPECT_EQ(rig.core.status().commit, Index(0));
  rig.Ack(3, 3);
  EXPECT_EQ(rig.core.status().commit, Index(3));
}

TEST(RaftReplicationTest, NewTermStartsWithANoop) {
  Rig rig(3);
  rig.Lead();
  ASSERT_FALSE(rig.appends.empty());
  ASSERT_EQ(rig.appends.back().entries.size(), 1u);
  EXPECT_EQ(rig.appends.back().entries[0].type, EntryType::kNoop);
}

TEST(RaftReplicationTest, LeaderFindsWhereTheLogsPartTermByTerm) {
  Rig rig(RigOptions(), RigState(3, {1, 1, 1, 4, 4, 6, 6}));
  rig.Lead();  // Term 7, no-op at 8. Probes with prev 7@6.
  rig.Clear();
  // The follower has terms 1 1 1 2 2 2: nothing after index 3 can agree.
  ASSERT_TRUE(
      rig.Receive(2, 7,
                  AppendResponse{.rejected = true, .index = Index(7), .hint = {Term(2), Index(6)}, .read_round = 0})
          .ok());
  // Entries 4.. are on disk only: the shell is asked for them.
  ASSERT_EQ(rig.fetches.size(), 1u);
  EXPECT_EQ(rig.fetches[0].first, Index(4));
  EXPECT_EQ(rig.fetches[0].last, Index(7));
  rig.core.OnFetched(MemberId(2), Entries(4, {4, 4, 6, 6}));
  rig.Drain();
  ASSERT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendRequest>(2)[0].prev, (EntryId{Term(1), Index(3)}));
  rig.Ack(2, 7);
  EXPECT_EQ(rig.Sent<AppendRequest>(2).back().entries.at(0).id.index, Index(8));
}

// Bug: match goes back on reordered answers.
TEST(RaftReplicationTest, LateAnswersDoNotMoveMatchBack) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  rig.Ack(2, 5);
  rig.Ack(2, 2);
  ASSERT_TRUE(rig.Receive(2, 1, AppendResponse{.rejected = true, .index = Index(3), .hint = {}, .read_round = 0}).ok());
  EXPECT_EQ(rig.core.followers()[0].match, Index(5));
  EXPECT_EQ(rig.core.followers()[0].state, FollowerStatus::State::kReplicate);
}

TEST(RaftReplicationTest, AcknowledgementOfEntriesNeverSentIsRefused) {
  Rig rig(3);
  rig.Lead();
  EXPECT_EQ(rig.Receive(2, 1, AppendResponse{.rejected = false, .index = Index(9), .hint = {}, .read_round = 0}).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(rig.core.followers()[0].match, Index(0));
}

TEST(RaftReplicationTest, ProbeSendsOneAppendAtATime) {
  Rig rig(3);
  rig.Lead();
  EXPECT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);
  ASSERT_TRUE(rig.Propose("x").ok());
  EXPECT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);
  rig.Ack(2, 1);
  EXPECT_EQ(rig.Sent<AppendRequest>(2).size(), 2u);
  ASSERT_TRUE(rig.Propose("y").ok());  // Pipelined: 2 is not acknowledged.
  EXPECT_EQ(rig.Sent<AppendRequest>(2).size(), 3u);
}

TEST(RaftReplicationTest, InFlightMessagesAndBytesAreBounded) {
  for (const bool by_bytes : {false, true}) {
    SCOPED_TRACE(by_bytes);
    CoreOptions options = RigOptions();
    options.append_bytes_max = 1;
    if (by_bytes) {
      options.inflight_bytes_max = 3 * (10 + Entry::kOverheadBytes);
    } else {
      options.inflight_messages_max = 3;
    }
    Rig rig(options, RigState(3));
    rig.Lead();
    rig.Ack(2, 1);
    rig.Clear();
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.Propose(std::string(10, 'x')).ok());
    EXPECT_EQ(rig.Sent<AppendRequest>(2).size(), 3u);
    rig.Ack(2, 3);
    EXPECT_EQ(rig.Sent<AppendRequest>(2).size(), 5u);
  }
}

// A network that holds many appends back and then delivers them in any order has all but a few refused. If each refusal
// sent them all again, the next round would be as bad, and so on.
TEST(RaftReplicationTest, ManyRefusalsDoNotSendEverythingManyTimes) {
  CoreOptions options = RigOptions();
  options.append_bytes_max = 1;
  Rig rig(options, RigState(3));
  rig.Lead();
  rig.Ack(2, 1);
  rig.Clear();
  constexpr uint64_t kEntries = 300;
  for (uint64_t i = 0; i < kEntries; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  std::vector<AppendRequest> arrives = rig.Sent<AppendRequest>(2);
  ASSERT_EQ(arrives.size(), kEntries);
  size_t messages = 0;
  Index last(1);
  while (!arrives.empty()) {
    messages += arrives.size();
    ASSERT_LT(messages, 10 * kEntries);
    // Everything under way arrives, the newest first, and is answered; then that has arrived, in the same order.
    std::vector<AppendResponse> answers;
    for (auto append = arrives.rbegin(); append != arrives.rend(); ++append) {
      const bool rejected = append->prev.index > last;
      if (!rejected) last = std::max(last, append->prev.index + append->entries.size());
      answers.push_back({.rejected = rejected,
                         .index = rejected ? append->prev.index : append->prev.index + append->entries.size(),
                         .hint = rejected ? EntryId{Term(1), last} : EntryId{},
                         .read_round = 0});
    }
    rig.Clear();
    for (const AppendResponse& answer : answers) ASSERT_TRUE(rig.Receive(2, 1, answer).ok());
    arrives = rig.Sent<AppendRequest>(2);
  }
  EXPECT_EQ(rig.core.followers()[0].match, Index(kEntries + 1));
  // In order again, there are soon as many in flight as before.
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  EXPECT_LT(rig.core.followers()[0].next, Index(kEntries + 32));
  while (rig.core.followers()[0].match < Index(kEntries + 31)) {
    rig.Ack(2, rig.core.followers()[0].next.value() - 1);
  }
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  EXPECT_EQ(rig.core.followers()[0].next, Index(kEntries + 62));
}

TEST(RaftReplicationTest, EverythingQueuedTravelsInOneMessage) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  rig.Clear();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rig.core.Propose({Payload("x")}).ok());
  rig.Drain();
  ASSERT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendRequest>(2)[0].entries.size(), 10u);
  EXPECT_EQ(rig.appends.size(), 1u);
}

TEST(RaftReplicationTest, LostMessagesAreSentAgainOnceTheFollowerIsHeardOf) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.core.OnUnreachable(MemberId(2));
  rig.Drain();
  rig.Clear();
  ASSERT_TRUE(rig.Propose("y").ok());
  EXPECT_TRUE(rig.Sent<AppendRequest>(2).empty());
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{}).ok());
  ASSERT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<AppendRequest>(2)[0].entries.size(), 2u);
}

TEST(RaftReplicationTest, SilentLossOfTheLastAppendIsNoticed) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{}).ok());
  ASSERT_TRUE(rig.Receive(2, 1, HeartbeatResponse{}).ok());
  ASSERT_EQ(rig.Sent<AppendRequest>(2).size(), 1u);  // Empty, to be refused if 2 was lost.
  EXPECT_EQ(rig.Sent<AppendRequest>(2)[0].prev.index, Index(2));
}

TEST(RaftReplicationTest, HeartbeatNeverCommitsAboveMatch) {
  Rig rig(3);
  rig.Lead();
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  rig.Ack(3, 4);
  EXPECT_EQ(rig.core.status().commit, Index(4));
  rig.Clear();
  rig.Tick();
  ASSERT_FALSE(rig.Sent<Heartbeat>(2).empty());
  EXPECT_EQ(rig.Sent<Heartbeat>(2)[0].commit.index, Index(0));
  EXPECT_EQ(rig.Sent<Heartbeat>(3)[0].commit.index, Index(4));
}

// Followers answer their own clients when they apply; they must not wait for a heartbeat to learn of a commit.
TEST(RaftReplicationTest, CommitIsToldAtOnce) {
  Rig rig(3);
  rig.Lead();
  rig.Ack(2, 1);
  ASSERT_TRUE(rig.Propose("x").ok());
  rig.Sync();
  rig.Clear();
  rig.Ack(2, 2);
  ASSERT_EQ(rig.Sent<Heartbeat>(2).size(), 1u);
  EXPECT_EQ(rig.Sent<Heartbeat>(2)[0].commit.index, Index(2));
  // It is news, not a question: an answer to every commit would double the messages of a quiet group.
  EXPECT_TRUE(rig.Sent<Heartbeat>(2)[0].quiet);
  // The other has not shown that it holds the entry; it is told when it does.
  EXPECT_TRUE(rig.Sent<Heartbeat>(3).empty());
  rig.Ack(3, 2);
  ASSERT_EQ(rig.Sent<Heartbeat>(3).size(), 1u);
  EXPECT_EQ(rig.Sent<Heartbeat>(3)[0].commit.index, Index(2));
}

TEST(RaftReplicationTest, QuietHeartbeatMovesTheCommitWithoutAnAnswer) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, AppendRequest{.prev = {}, .entries = Entries(1, {1})}).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{.commit = {Term(1), Index(1)}, .quiet = true}).ok());
  EXPECT_EQ(rig.core.status().commit, Index(1));
  EXPECT_TRUE(rig.Sent<HeartbeatResponse>(2).empty());
}

TEST(RaftReplicationTest, TooManyUncommittedBytesAreRefused) {
  CoreOptions options = RigOptions();
  options.uncommitted_bytes_max = 1000;
  Rig rig(options, RigState(3));
  rig.Lead();
  rig.Ack(2, 1);
  ASSERT_TRUE(rig.Propose(std::string(5000, 'x')).ok());  // The first of any size passes.
  EXPECT_EQ(rig.Propose("y").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(rig.core.status().last.index, Index(2));
  rig.Sync();
  rig.Ack(2, 2);
  EXPECT_TRUE(rig.Propose("y").ok());
}

TEST(RaftReplicationTest, CommitIndexAloneIsNotWorthASync) {
  Rig rig(3);
  ASSERT_TRUE(rig.Receive(2, 1, Append(0, 0, Entries(1, {1, 1}))).ok());
  rig.Sync();
  rig.Clear();
  ASSERT_TRUE(rig.Receive(2, 1, Heartbeat{.commit = {Term(1), Index(2)}, .read_round = 0}).ok());
  EXPECT_EQ(rig.core.status().commit, Index(2));
  EXPECT_TRUE(rig.appends.empty());
  ASSERT_TRUE(rig.Receive(2, 1, Append(1, 2, Entries(3, {1}))).ok());
  ASSERT_EQ(rig.appends.size(), 1u);
  EXPECT_EQ(rig.appends[0].hard_state->commit, Index(2));
}

}  // namespace
}  // namespace keel::raft
