// The log after a crash at every single file operation of a workload that does everything it can do, with every kind of
// loss that a disk may inflict on what was not synced: what was acknowledged is there, whole; what was under way is
// there as a whole or not at all; and the log goes on from there.

#include <gtest/gtest.h>

#include <iostream>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "storage/log/raft_log.h"
#include "tests/sim/disk.h"

namespace keel::storage {
namespace {

using raft::Entry;
using raft::EntryId;
using raft::HardState;
using raft::Index;
using raft::MemberId;
using raft::StableBatch;
using raft::Term;
using sim::SimDisk;

// What the log is to hold.
struct Model {
  HardState hard_state;
  EntryId base;
  std::vector<Entry> entries;  // After base.

  Index last() const { return entries.empty() ? base.index : entries.back().id.index; }
};

Entry MakeEntry(uint64_t term, uint64_t index, size_t bytes) {
  std::string payload = absl::StrCat("term ", term, " index ", index, " ");
  payload.resize(std::max(payload.size(), bytes), static_cast<char>('a' + index % 26));
  return {.id = {.term = Term(term), .index = Index(index)},
          .type = raft::EntryType::kCommand,
          .payload = raft::Payload(std::move(payload))};
}

struct Step {
  enum class Kind { kAppend, kTruncate, kReset, kReopen } kind;
  StableBatch batch = {};
  EntryId at = {};
};

Step AppendOf(uint64_t term, uint64_t first, uint64_t last, size_t bytes, uint64_t commit) {
  Step step{.kind = Step::Kind::kAppend};
  for (uint64_t i = first; i <= last; ++i) step.batch.entries.push_back(MakeEntry(term, i, bytes));
  step.batch.hard_state = HardState{.term = Term(term), .vote = MemberId(term), .commit = Index(commit)};
  return step;
}

// Small and large writes, one that fills more than a segment, a suffix replaced, a prefix truncated and its segments
// recycled, a vote alone, a reset, and openings in between.
std::vector<Step> Workload() {
  std::vector<Step> steps;
  steps.push_back(AppendOf(1, 1, 1, 20, 0));
  steps.push_back(AppendOf(1, 2, 5, 300, 1));
  steps.push_back(AppendOf(1, 6, 6, 6000, 5));
  steps.push_back(AppendOf(1, 7, 9, 900, 5));
  steps.push_back(AppendOf(2, 7, 7, 100, 6));  // Replaces what a former leader had sent.
  steps.push_back({.kind = Step::Kind::kReopen});
  Step vote{.kind = Step::Kind::kAppend};
  vote.batch.hard_state = HardState{.term = Term(3), .vote = MemberId(2), .commit = Index(7)};
  steps.push_back(vote);
  for (uint64_t i = 8; i < 14; ++i) steps.push_back(AppendOf(3, i, i, 1500, i - 1));
  steps.push_back({.kind = Step::Kind::kTruncate, .at = {.term = Term(3), .index = Index(11)}});
  steps.push_back(AppendOf(3, 14, 16, 2500, 13));
  steps.push_back({.kind = Step::Kind::kReset, .at = {.term = Term(4), .index = Index(100)}});
  steps.push_back(AppendOf(5, 101, 103, 700, 101));
  steps.push_back({.kind = Step::Kind::kReopen});
  steps.push_back(AppendOf(5, 104, 104, 50, 103));
  return steps;
}

void Execute(const Step& step, Model* model) {
  switch (step.kind) {
    case Step::Kind::kAppend:
      if (step.batch.hard_state) model->hard_state = *step.batch.hard_state;
      if (!step.batch.entries.empty()) {
        while (!model->entries.empty() && model->entries.back().id.index >= step.batch.entries.front().id.index) {
          model->entries.pop_back();
        }
        model->entries.insert(model->entries.end(), step.batch.entries.begin(), step.batch.entries.end());
      }
      return;
    case Step::Kind::kTruncate:  // May keep more than it must.
      return;
    case Step::Kind::kReset:
      model->base = step.at;
      model->entries.clear();
      model->hard_state.commit = step.at.index;
      return;
    case Step::Kind::kReopen:
      return;
  }
}

class LogCrashTest : public ::testing::Test {
 protected:
  RaftLogOptions Options() {
    return {.dir = "/data/log",
            .segment_bytes = 8 << 10,
            .hasty_segment_bytes = 8 << 10,
            .spare_segments = 1,
            .spare_work = SpareWork::kByCaller,
            .disk = disk_.get()};
  }

  // Runs the workload until the end or until the disk stops. How many steps were acknowledged.
  size_t Run(const std::vector<Step>& steps) {
    auto log = RaftLog::Open(Options());
    if (!log.ok()) return 0;
    size_t done = 0;
    for (const Step& step : steps) {
      absl::Status status;
      switch (step.kind) {
        case Step::Kind::kAppend:
          status = (*log)->Append(step.batch);
          break;
        case Step::Kind::kTruncate:
          status = (*log)->TruncatePrefix(step.at.index);
          break;
        case Step::Kind::kReset:
          status = (*log)->ResetTo(step.at);
          break;
        case Step::Kind::kReopen:
          log->reset();
          log = RaftLog::Open(Options());
          status = log.status();
          break;
      }
      if (!status.ok()) return done;
      ++done;
    }
    return done;
  }

  // Why `log` does not hold what `model` says; nullopt: it does.
  std::optional<std::string> Differs(const RaftLog& log, const Model& model) {
    const RaftLog::Recovered& recovered = log.recovered();
    if (!(recovered.hard_state == model.hard_state)) {
      return absl::StrCat("hard state: term ", recovered.hard_state.term.value(), " commit ",
                          recovered.hard_state.commit.value());
    }
    if (log.last_index() != model.last()) return absl::StrCat("ends at ", log.last_index().value());
    if (log.last_index() < log.first_index()) return std::nullopt;
    const auto entries = log.Read(log.first_index(), log.last_index(), SIZE_MAX);
    if (!entries.ok()) return std::string(entries.status().message());
    if (entries->size() > model.entries.size()) return "has more entries";
    for (size_t i = 0; i < entries->size(); ++i) {
      const Entry& stored = (*entries)[entries->size() - 1 - i];
      const Entry& wanted = model.entries[model.entries.size() - 1 - i];
      if (stored.id != wanted.id || stored.payload.view() != wanted.payload.view()) {
        return absl::StrCat("entry ", stored.id.index.value(), " is another");
      }
    }
    return std::nullopt;
  }

  // The image must open, hold what was acknowledged (or that and the step under way), and take more.
  void Check(const std::vector<Step>& steps, size_t done, const std::string& where) {
    ++images_;
    SCOPED_TRACE(where);
    Model before;
    for (size_t i = 0; i < done; ++i) Execute(steps[i], &before);
    Model after = before;
    if (done < steps.size()) Execute(steps[done], &after);
    auto log = RaftLog::Open(Options());
    ASSERT_TRUE(log.ok()) << log.status();
    const auto not_before = Differs(**log, before);
    const auto not_after = Differs(**log, after);
    ASSERT_TRUE(!not_before || !not_after)
        << "after " << done << " steps; not the state before: " << *not_before << "; nor after: " << *not_after;
    Model model = not_before ? after : before;
    const uint64_t next = model.last().value() + 1;
    const Step more = AppendOf(9, next, next, 100, model.hard_state.commit.value());
    ASSERT_TRUE((*log)->Append(more.batch).ok());
    Execute(more, &model);
    log->reset();
    disk_->PowerCut(SimDisk::Loss::kEverything);
    log = RaftLog::Open(Options());
    ASSERT_TRUE(log.ok()) << log.status();
    const auto differs = Differs(**log, model);
    ASSERT_FALSE(differs) << "after the repair and one more entry: " << *differs;
  }

  sim::Ledger ledger_;
  std::unique_ptr<SimDisk> disk_;
  uint64_t images_ = 0;
};

TEST_F(LogCrashTest, AtEveryFileOperationWithEveryLoss) {
  const std::vector<Step> steps = Workload();
  disk_ = std::make_unique<SimDisk>(1, &ledger_);
  ASSERT_EQ(Run(steps), steps.size());
  const uint64_t operations = disk_->operations();
  struct Case {
    std::optional<SimDisk::Loss> loss;  // nullopt: only the process ends; what it had not synced stays undecided.
    int seeds;
  };
  for (uint64_t stop = 0; stop <= operations; ++stop) {
    for (const Case& c : {Case{std::nullopt, 1}, Case{SimDisk::Loss::kNothing, 1}, Case{SimDisk::Loss::kEverything, 1},
                          Case{SimDisk::Loss::kPrefix, 3}, Case{SimDisk::Loss::kRandomSectors, 4}}) {
      for (int seed = 0; seed < c.seeds; ++seed) {
        disk_ = std::make_unique<SimDisk>(stop * 16 + static_cast<uint64_t>(seed), &ledger_);
        disk_->StopAfter(stop);
        const size_t done = Run(steps);
        if (c.loss) {
          disk_->PowerCut(*c.loss);
        } else {
          disk_->Restart();
        }
        Check(steps, done,
              absl::StrCat("operation ", stop, " loss ", c.loss ? static_cast<int>(*c.loss) : -1, " seed ", seed));
        if (HasFatalFailure()) return;
      }
    }
  }
  std::cout << "log: " << operations << " file operations, " << images_ << " images tried\n";
  EXPECT_GT(images_, 500u);
}

TEST_F(LogCrashTest, ACrashDuringTheRecoveryFromACrash) {
  const std::vector<Step> steps = Workload();
  disk_ = std::make_unique<SimDisk>(1, &ledger_);
  ASSERT_EQ(Run(steps), steps.size());
  const uint64_t operations = disk_->operations();
  for (uint64_t stop = 0; stop <= operations; stop += 3) {
    for (uint64_t again = 0;; ++again) {
      disk_ = std::make_unique<SimDisk>(stop * 64 + again, &ledger_);
      disk_->StopAfter(stop);
      const size_t done = Run(steps);
      disk_->PowerCut(SimDisk::Loss::kRandomSectors);
      disk_->StopAfter(again);
      (void)RaftLog::Open(Options());
      const bool came_through = !disk_->has_stopped();
      disk_->PowerCut(SimDisk::Loss::kRandomSectors);
      Check(steps, done, absl::StrCat("operation ", stop, ", recovery operation ", again));
      if (HasFatalFailure()) return;
      if (came_through) break;
    }
  }
  std::cout << "log, recovery: " << images_ << " images tried\n";
  EXPECT_GT(images_, 100u);
}

// The second process works on what the first has left in the cache of the machine, which then loses its power.
TEST_F(LogCrashTest, APowerCutInTheProcessAfterAKilledOne) {
  const std::vector<Step> steps = Workload();
  disk_ = std::make_unique<SimDisk>(1, &ledger_);
  ASSERT_EQ(Run(steps), steps.size());
  const uint64_t operations = disk_->operations();
  for (uint64_t stop = 0; stop <= operations; ++stop) {
    for (uint64_t later = 0;; later += 2) {
      disk_ = std::make_unique<SimDisk>(stop * 64 + later, &ledger_);
      disk_->StopAfter(stop);
      size_t done = Run(steps);
      disk_->Restart();
      disk_->StopAfter(later);
      // What the first had under way is done again; it may be there already.
      const std::vector<Step> rest(steps.begin() + static_cast<std::ptrdiff_t>(done), steps.end());
      done += Run(rest);
      const bool came_through = !disk_->has_stopped();
      disk_->PowerCut(later % 4 == 0 ? SimDisk::Loss::kEverything : SimDisk::Loss::kPrefix);
      Check(steps, done, absl::StrCat("killed at operation ", stop, ", power cut at ", later));
      if (HasFatalFailure()) return;
      if (came_through) break;
    }
  }
  std::cout << "log, second process: " << images_ << " images tried\n";
  EXPECT_GT(images_, 500u);
}

}  // namespace
}  // namespace keel::storage
