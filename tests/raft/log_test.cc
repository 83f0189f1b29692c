#include "raft/log.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace keel::raft {
namespace {

Entry Make(uint64_t index, uint64_t term, size_t payload_bytes = 0) {
  return {.id = {Term(term), Index(index)},
          .type = EntryType::kCommand,
          .payload = Payload(std::string(payload_bytes, 'x'))};
}

InitialState Empty() {
  InitialState initial;
  initial.membership.voters = {MemberId(1)};
  return initial;
}

// Base 10@2; entries 11..13 of term 2, 14..15 of term 4, all on disk, none in memory.
InitialState Recovered() {
  InitialState initial = Empty();
  initial.snapshot = {Term(2), Index(10)};
  initial.term_runs = {{Index(11), Term(2)}, {Index(14), Term(4)}};
  initial.last = Index(15);
  initial.applied = Index(12);
  initial.hard_state = {.term = Term(5), .vote = kNobody, .commit = Index(13)};
  return initial;
}

void AppendTerms(Log& log, const std::vector<uint64_t>& terms) {
  for (uint64_t term : terms) log.Append(Make(log.last().index.value() + 1, term));
}

void MakeStable(Log& log) {
  log.TakeUnwritten();
  log.OnStable(log.Ticket(Term(0)));
}

TEST(RaftLogTest, RecoveredLogKnowsItsTermsWithoutItsEntries) {
  Log log(Recovered(), 1 << 20);
  EXPECT_EQ(log.last(), (EntryId{Term(4), Index(15)}));
  EXPECT_EQ(log.commit(), Index(13));
  EXPECT_EQ(log.stable(), Index(15));
  EXPECT_EQ(log.TermAt(Index(9)), std::nullopt);
  EXPECT_EQ(log.TermAt(Index(10)), Term(2));
  EXPECT_EQ(log.TermAt(Index(13)), Term(2));
  EXPECT_EQ(log.TermAt(Index(14)), Term(4));
  EXPECT_EQ(log.TermAt(Index(16)), std::nullopt);
  EXPECT_EQ(log.cached_first(), Index(16));
  const std::optional<ApplyWork> work = log.TakeApplicable();
  ASSERT_TRUE(work.has_value());
  EXPECT_EQ(work->first, Index(13));
  EXPECT_EQ(work->last, Index(13));
  EXPECT_TRUE(work->entries.empty());
}

TEST(RaftLogTest, FloorByTermSkipsWholeTerms) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1, 1, 4, 4, 6, 6, 6});
  EXPECT_EQ(log.FloorByTerm(Index(8), Term(6)), Index(8));
  EXPECT_EQ(log.FloorByTerm(Index(8), Term(5)), Index(5));
  EXPECT_EQ(log.FloorByTerm(Index(8), Term(3)), Index(3));
  EXPECT_EQ(log.FloorByTerm(Index(100), Term(9)), Index(8));
  EXPECT_EQ(log.FloorByTerm(Index(2), Term(9)), Index(2));
  EXPECT_EQ(log.FloorByTerm(Index(8), Term(0)), Index(0));
}

TEST(RaftLogTest, FloorByTermBelowTheBaseSaysSo) {
  Log log(Recovered(), 1 << 20);
  EXPECT_EQ(log.FloorByTerm(Index(15), Term(1)), Index(9));
  EXPECT_EQ(log.FloorByTerm(Index(15), Term(2)), Index(13));
  EXPECT_EQ(log.FloorByTerm(Index(4), Term(2)), Index(4));
}

// Raft §5.4.1: the later term wins, and only then the longer log.
TEST(RaftLogTest, UpToDateComparesTermsBeforeLengths) {
  Log log(Recovered(), 1 << 20);
  EXPECT_TRUE(log.IsUpToDate({Term(5), Index(1)}));
  EXPECT_TRUE(log.IsUpToDate({Term(4), Index(15)}));
  EXPECT_FALSE(log.IsUpToDate({Term(4), Index(14)}));
  EXPECT_FALSE(log.IsUpToDate({Term(3), Index(99)}));
}

TEST(RaftLogTest, CutForgetsEntriesTermsAndStability) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1, 2, 3});
  MakeStable(log);
  EXPECT_EQ(log.stable(), Index(4));
  log.CutAfter(Index(2));
  EXPECT_EQ(log.last(), (EntryId{Term(1), Index(2)}));
  EXPECT_EQ(log.stable(), Index(2));
  AppendTerms(log, {5});
  EXPECT_EQ(log.TermAt(Index(3)), Term(5));
  const std::vector<Entry> unwritten = log.TakeUnwritten();
  ASSERT_EQ(unwritten.size(), 1u);
  EXPECT_EQ(unwritten[0].id, (EntryId{Term(5), Index(3)}));
}

TEST(RaftLogTest, CutOfARecoveredLogWorksWithoutItsEntries) {
  Log log(Recovered(), 1 << 20);
  log.CutAfter(Index(14));
  EXPECT_EQ(log.last(), (EntryId{Term(4), Index(14)}));
  log.CutAfter(Index(13));
  EXPECT_EQ(log.last(), (EntryId{Term(2), Index(13)}));
  AppendTerms(log, {5, 5});
  EXPECT_EQ(log.cached_first(), Index(14));
  EXPECT_EQ(log.Slice(Index(14), 1 << 20).size(), 2u);
}

// Historical bug: the completion of a write of entries that have been replaced marks their replacements durable.
TEST(RaftLogTest, CompletionFromBeforeACutSaysNothingOfTheReplacements) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1, 1});
  log.TakeUnwritten();
  const AppendTicket old = log.Ticket(Term(1));
  log.CutAfter(Index(1));
  AppendTerms(log, {2, 2});
  log.TakeUnwritten();
  const AppendTicket replacement = log.Ticket(Term(2));
  log.OnStable(old);
  EXPECT_EQ(log.stable(), Index(0));
  log.OnStable(replacement);
  EXPECT_EQ(log.stable(), Index(3));
}

// The same, where the first terms come back: only the generation tells the two apart.
TEST(RaftLogTest, CompletionIsToldApartEvenWhenTheSameEntryReturns) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1});
  log.TakeUnwritten();
  const AppendTicket old = log.Ticket(Term(1));
  log.CutAfter(Index(1));
  AppendTerms(log, {2});
  log.CutAfter(Index(1));
  AppendTerms(log, {3});
  log.OnStable(old);
  EXPECT_EQ(log.stable(), Index(0));
}

TEST(RaftLogTest, ApplyGetsOnlyWhatIsCommittedAndDurable) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1, 1});
  log.CommitTo(Index(2));
  EXPECT_FALSE(log.has_applicable());
  log.TakeUnwritten();
  const AppendTicket ticket = log.Ticket(Term(1));
  AppendTerms(log, {1});
  log.CommitTo(Index(4));
  log.OnStable(ticket);
  const std::optional<ApplyWork> work = log.TakeApplicable();
  ASSERT_TRUE(work.has_value());
  EXPECT_EQ(work->first, Index(1));
  EXPECT_EQ(work->last, Index(3));
  EXPECT_EQ(work->entries.size(), 3u);
  EXPECT_FALSE(log.has_applicable());
}

TEST(RaftLogTest, EntriesStayInMemoryUntilDurableAndHandedOut) {
  Log log(Empty(), 1000);
  for (uint64_t i = 1; i <= 10; ++i) log.Append(Make(i, 1, 400));
  EXPECT_EQ(log.cached_first(), Index(1));
  log.TakeUnwritten();
  log.CommitTo(Index(6));
  EXPECT_EQ(log.cached_first(), Index(1));
  log.OnStable(log.Ticket(Term(1)));
  EXPECT_EQ(log.cached_first(), Index(1));
  log.TakeApplicable();
  // 7 to 10 are not committed and must stay, although they alone exceed the limit.
  EXPECT_EQ(log.cached_first(), Index(7));
  log.CommitTo(Index(10));
  log.TakeApplicable();
  EXPECT_LE(log.cached_bytes(), 1000u);
  EXPECT_EQ(log.cached_first(), Index(9));
  EXPECT_EQ(log.TermAt(Index(3)), Term(1));
}

TEST(RaftLogTest, SlowApplyDoesNotKeepItsBacklogInMemory) {
  Log log(Empty(), 1000);
  uint64_t last = 0;
  const auto hand_out = [&] {
    for (int i = 0; i < 2; ++i) log.Append(Make(++last, 1, 400));
    MakeStable(log);
    log.CommitTo(Index(last));
    return *log.TakeApplicable();
  };
  EXPECT_EQ(hand_out().entries.size(), 2u);
  EXPECT_EQ(hand_out().entries.size(), 2u);
  // More than the limit is unconfirmed by now: from here on apply reads from the log.
  EXPECT_EQ(hand_out().entries.size(), 0u);
  log.OnApplied(Index(6));
  EXPECT_EQ(hand_out().entries.size(), 2u);
}

TEST(RaftLogTest, SliceStopsAtTheByteLimitButNotBeforeTheFirst) {
  Log log(Empty(), 1 << 20);
  for (uint64_t i = 1; i <= 4; ++i) log.Append(Make(i, 1, 100));
  EXPECT_EQ(log.Slice(Index(1), 2 * 132).size(), 2u);
  EXPECT_EQ(log.Slice(Index(1), 2 * 132 - 1).size(), 1u);
  EXPECT_EQ(log.Slice(Index(2), 1).size(), 1u);
  EXPECT_EQ(log.Slice(Index(3), 1 << 20).size(), 2u);
}

TEST(RaftLogTest, PrefixTruncationMovesTheBase) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1, 2, 2});
  MakeStable(log);
  log.CommitTo(Index(4));
  log.TakeApplicable();
  log.OnApplied(Index(4));
  log.TruncatePrefix(Index(3));
  EXPECT_EQ(log.base(), (EntryId{Term(2), Index(3)}));
  EXPECT_EQ(log.TermAt(Index(2)), std::nullopt);
  EXPECT_EQ(log.TermAt(Index(4)), Term(2));
  log.TruncatePrefix(Index(2));  // Late; already gone.
  EXPECT_EQ(log.base().index, Index(3));
  log.TruncatePrefix(Index(4));
  EXPECT_EQ(log.last(), (EntryId{Term(2), Index(4)}));
  AppendTerms(log, {3});
  EXPECT_EQ(log.TermAt(Index(5)), Term(3));
}

TEST(RaftLogTest, ResetLeavesNothingButTheSnapshot) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1});
  log.TakeUnwritten();
  const AppendTicket under_way = log.Ticket(Term(1));
  log.Reset({Term(3), Index(9)});
  log.OnStable(under_way);
  EXPECT_EQ(log.stable(), Index(9));
  EXPECT_EQ(log.applied(), Index(9));
  EXPECT_EQ(log.first(), Index(10));
  EXPECT_FALSE(log.has_unwritten());
  EXPECT_EQ(log.TermAt(Index(2)), std::nullopt);
  AppendTerms(log, {3});
  EXPECT_EQ(log.last().index, Index(10));
}

TEST(RaftLogDeathTest, CommittedEntriesAreNeverCut) {
  Log log(Empty(), 1 << 20);
  AppendTerms(log, {1, 1});
  log.CommitTo(Index(2));
  EXPECT_DEATH(log.CutAfter(Index(1)), "committed entries are never removed");
}

}  // namespace
}  // namespace keel::raft
