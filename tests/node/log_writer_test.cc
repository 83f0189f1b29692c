#include "raft/log_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <map>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "base/random.h"

namespace keel::raft {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

Entry MakeEntry(uint64_t term, uint64_t index) {
  return {.id = {.term = Term(term), .index = Index(index)},
          .type = EntryType::kCommand,
          .payload = Payload(absl::StrCat(term, "/", index))};
}
std::vector<Entry> MakeEntries(uint64_t term, uint64_t first, uint64_t last) {
  std::vector<Entry> entries;
  for (uint64_t i = first; i <= last; ++i) entries.push_back(MakeEntry(term, i));
  return entries;
}
std::vector<EntryId> Ids(const std::vector<Entry>& entries) {
  std::vector<EntryId> ids;
  for (const Entry& entry : entries) ids.push_back(entry.id);
  return ids;
}
EntryId Id(uint64_t term, uint64_t index) { return {.term = Term(term), .index = Index(index)}; }

TEST(MergeIntoTest, LaterEntriesFollowOrReplace) {
  const struct {
    const char* name;
    std::vector<Entry> first, later;
    std::vector<EntryId> merged;
  } cases[] = {
      {"nothing and something", {}, MakeEntries(1, 4, 5), {Id(1, 4), Id(1, 5)}},
      {"something and nothing", MakeEntries(1, 4, 5), {}, {Id(1, 4), Id(1, 5)}},
      {"following", MakeEntries(1, 4, 5), MakeEntries(1, 6, 6), {Id(1, 4), Id(1, 5), Id(1, 6)}},
      {"replacing the last", MakeEntries(1, 4, 6), MakeEntries(2, 6, 7), {Id(1, 4), Id(1, 5), Id(2, 6), Id(2, 7)}},
      {"replacing more with less", MakeEntries(1, 4, 9), MakeEntries(2, 5, 5), {Id(1, 4), Id(2, 5)}},
      {"replacing all", MakeEntries(1, 4, 6), MakeEntries(2, 4, 4), {Id(2, 4)}},
      {"replacing what is on disk, too", MakeEntries(1, 4, 6), MakeEntries(2, 2, 3), {Id(2, 2), Id(2, 3)}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    StableBatch batch{.hard_state = std::nullopt, .entries = c.first};
    MergeInto(&batch, {.hard_state = std::nullopt, .entries = c.later});
    EXPECT_EQ(Ids(batch.entries), c.merged);
  }
}

TEST(MergeIntoTest, TheLaterHardStateWins) {
  StableBatch batch{.hard_state = HardState{.term = Term(1)}, .entries = {}};
  MergeInto(&batch, {});
  EXPECT_EQ(batch.hard_state->term, Term(1));
  MergeInto(&batch, {.hard_state = HardState{.term = Term(2)}, .entries = {}});
  EXPECT_EQ(batch.hard_state->term, Term(2));
}

// One write of the merged batches leaves the log as the batches one by one would.
TEST(MergeIntoTest, MergedOrNotTheLogIsTheSame) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  Random random(seed);
  const auto write = [](std::map<uint64_t, Entry>* log, const std::vector<Entry>& entries) {
    if (entries.empty()) return;
    log->erase(log->lower_bound(entries.front().id.index.value()), log->end());
    for (const Entry& entry : entries) (*log)[entry.id.index.value()] = entry;
  };
  for (int round = 0; round < 500; ++round) {
    std::map<uint64_t, Entry> one_by_one, merged;
    write(&one_by_one, MakeEntries(1, 1, 10));
    merged = one_by_one;
    StableBatch batch;
    for (uint64_t term = 2; term < 8; ++term) {
      const uint64_t first = 1 + random.Below(one_by_one.rbegin()->first + 1);
      const std::vector<Entry> entries = MakeEntries(term, first, first + random.Below(4));
      write(&one_by_one, entries);
      MergeInto(&batch, {.hard_state = std::nullopt, .entries = entries});
    }
    write(&merged, batch.entries);
    ASSERT_EQ(merged, one_by_one);
  }
}

Message Ack(uint64_t to, uint64_t term, uint64_t index, uint64_t round = 0, bool rejected = false) {
  return {.from = MemberId(9),
          .to = MemberId(to),
          .term = Term(term),
          .body = AppendResponse{.rejected = rejected, .index = Index(index), .hint = {}, .read_round = round}};
}

TEST(KeepNewestAcksTest, OnlyAcksThatALaterOneCoversGo) {
  std::vector<Message> messages;
  messages.push_back(Ack(1, 3, 5));
  messages.push_back(Ack(2, 3, 5));
  messages.push_back(Ack(1, 3, 6, 0, /*rejected=*/true));
  messages.push_back(Ack(1, 3, 7, /*round=*/9));
  messages.push_back({.from = MemberId(9), .to = MemberId(1), .term = Term(3), .body = VoteResponse{.granted = true}});
  messages.push_back(Ack(1, 3, 8, /*round=*/8));  // Does not cover round 9.
  messages.push_back(Ack(1, 4, 9));               // Of another term.
  KeepNewestAcks(&messages);
  std::vector<std::pair<uint64_t, uint64_t>> left;
  for (const Message& message : messages) {
    const auto* ack = std::get_if<AppendResponse>(&message.body);
    left.emplace_back(message.to.value(), ack == nullptr ? 0 : ack->index.value());
  }
  using P = std::pair<uint64_t, uint64_t>;
  EXPECT_THAT(left, ElementsAre(P(2, 5), P(1, 6), P(1, 7), P(1, 0), P(1, 8), P(1, 9)));
}

// Remembers the batches; each waits until it is let through.
class SlowStore final : public StableStore {
 public:
  absl::Status Append(const StableBatch& batch) override {
    std::unique_lock<std::mutex> lock(mu_);
    begun_++;
    changed_.notify_all();
    changed_.wait(lock, [this] { return begun_ <= allowed_ || fail_; });
    if (fail_) return absl::InternalError("disk");
    batches_.push_back(batch);
    return absl::OkStatus();
  }
  absl::StatusOr<std::vector<Entry>> Read(Index, Index, size_t) const override { return std::vector<Entry>(); }
  uint64_t BytesAfter(Index) const override { return 0; }
  absl::Status TruncatePrefix(Index) override { return absl::OkStatus(); }
  absl::Status ResetTo(EntryId) override { return absl::OkStatus(); }

  void WaitUntilBegun(int n) {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [&] { return begun_ >= n; });
  }
  void Allow(int n) {
    std::lock_guard<std::mutex> lock(mu_);
    allowed_ = n;
    changed_.notify_all();
  }
  void Fail() {
    std::lock_guard<std::mutex> lock(mu_);
    fail_ = true;
    changed_.notify_all();
  }
  std::vector<StableBatch> batches() {
    std::lock_guard<std::mutex> lock(mu_);
    return batches_;
  }

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  int begun_ = 0;
  int allowed_ = 0;
  bool fail_ = false;
  std::vector<StableBatch> batches_;
};

class RecordingTransport final : public Transport {
 public:
  void Send(std::vector<Message> messages) override {
    std::lock_guard<std::mutex> lock(mu_);
    for (Message& message : messages) sent_.push_back(std::move(message));
  }
  void SendSnapshot(MemberId, Term) override {}
  std::vector<Message> sent() {
    std::lock_guard<std::mutex> lock(mu_);
    return sent_;
  }

 private:
  std::mutex mu_;
  std::vector<Message> sent_;
};

class LogWriterTest : public ::testing::Test {
 protected:
  void Write(uint64_t term, uint64_t first, uint64_t last) {
    writer_.Write({.ticket = AppendTicket{.generation = term, .last = Id(term, last), .term = Term(term)},
                   .batch = {.hard_state = std::nullopt, .entries = MakeEntries(term, first, last)},
                   .after = {Ack(1, 1, last)}});
  }
  // Everything that is posted until `jobs` are done.
  Inbox TakeUntilDone(size_t jobs) {
    Inbox all;
    size_t done = 0;
    while (done < jobs) {
      Inbox inbox;
      EXPECT_TRUE(mailbox_.Wait(std::chrono::minutes(1)));
      mailbox_.Take(&inbox);
      done += inbox.appends_done;
      if (inbox.appended) all.appended = inbox.appended;
      for (Event& event : inbox.events) all.events.push_back(std::move(event));
    }
    EXPECT_EQ(done, jobs);
    return all;
  }

  SlowStore store_;
  RecordingTransport transport_;
  Mailbox mailbox_{{.items_max = 100, .bytes_max = 1 << 20}};
  std::vector<absl::Status> fatal_;
  Failure failure_{[this](absl::Status status) { fatal_.push_back(std::move(status)); }};
  Pace pace_;
  LogWriter writer_{&store_, &transport_, &mailbox_, &failure_, &pace_};
};

TEST_F(LogWriterTest, WhatQueuesBehindASyncSharesTheNext) {
  Write(1, 1, 2);
  store_.WaitUntilBegun(1);
  Write(1, 3, 4);
  Write(1, 5, 5);
  Write(2, 4, 6);
  EXPECT_THAT(transport_.sent(), IsEmpty());
  store_.Allow(2);
  const Inbox inbox = TakeUntilDone(4);
  EXPECT_EQ(inbox.appended->last, Id(2, 6));
  const std::vector<StableBatch> batches = store_.batches();
  ASSERT_THAT(batches, SizeIs(2));
  EXPECT_THAT(Ids(batches[1].entries), ElementsAre(Id(1, 3), Id(2, 4), Id(2, 5), Id(2, 6)));
  // One acknowledgement per sync.
  EXPECT_THAT(transport_.sent(), SizeIs(2));
}

TEST_F(LogWriterTest, MessagesWithoutAnAppendWaitForTheAppendsBefore) {
  Write(1, 1, 2);
  store_.WaitUntilBegun(1);
  writer_.Write({.ticket = std::nullopt, .batch = {}, .after = {Ack(2, 1, 7)}});
  EXPECT_THAT(transport_.sent(), IsEmpty());
  store_.Allow(1);
  TakeUntilDone(2);
  ASSERT_THAT(transport_.sent(), SizeIs(2));
  EXPECT_EQ(transport_.sent()[1].to, MemberId(2));
  EXPECT_THAT(store_.batches(), SizeIs(1));
}

TEST_F(LogWriterTest, AResetComesAfterTheAppendsBeforeIt) {
  store_.Allow(100);
  Write(1, 1, 2);
  writer_.Reset({.last = Id(5, 50), .membership = {}});
  Write(5, 51, 51);
  const Inbox inbox = TakeUntilDone(2);
  ASSERT_THAT(inbox.events, SizeIs(1));
  EXPECT_EQ(std::get<Installed>(inbox.events[0]).meta.last, Id(5, 50));
  EXPECT_THAT(store_.batches(), SizeIs(2));  // Not merged across the reset.
}

TEST_F(LogWriterTest, AfterAFailureNothingIsSentOrCompleted) {
  Write(1, 1, 2);
  store_.WaitUntilBegun(1);
  Write(1, 3, 3);
  writer_.Truncate(Index(1));
  store_.Fail();
  writer_.Stop();
  EXPECT_THAT(fatal_, SizeIs(1));
  EXPECT_THAT(transport_.sent(), IsEmpty());
  Inbox inbox;
  mailbox_.Take(&inbox);
  EXPECT_EQ(inbox.appends_done, 0u);
  EXPECT_THAT(inbox.events, IsEmpty());
}

}  // namespace
}  // namespace keel::raft
