#include "raft/log.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "raft/mutant.h"

namespace keel::raft {

Log::Log(const InitialState& initial, size_t cached_bytes_max)
    : cached_bytes_max_(cached_bytes_max),
      base_(initial.snapshot),
      runs_(initial.term_runs),
      written_(initial.last),
      stable_(initial.last),
      handed_(initial.applied),
      applied_(initial.applied) {
  KEEL_CHECK_LE(base_.index, initial.applied);
  KEEL_CHECK_LE(initial.applied, initial.last);
  KEEL_CHECK_LE(initial.hard_state.commit, initial.last) << "the log lost committed entries";
  KEEL_CHECK_EQ(runs_.empty(), initial.last == base_.index);
  commit_ = std::max(initial.applied, initial.hard_state.commit);
  Term term = base_.term;
  for (size_t i = 0; i < runs_.size(); ++i) {
    KEEL_CHECK_EQ(runs_[i].first, i == 0 ? base_.index + 1 : std::max(runs_[i].first, runs_[i - 1].first + 1));
    KEEL_CHECK_LE(runs_[i].first, initial.last);
    KEEL_CHECK_GE(runs_[i].term, term);
    term = runs_[i].term;
  }
  last_ = {term, initial.last};
  if (KEEL_MUTANT(kAppliesAgainAfterRestart) && applied_ > base_.index) handed_ = applied_ = applied_ - 1;
}

std::vector<TermRun>::const_iterator Log::RunOf(Index index) const {
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), index,
                                      [](Index value, const TermRun& run) { return value < run.first; });
  return after - 1;
}

std::optional<Term> Log::TermAt(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last_.index) return std::nullopt;
  if (index == last_.index) return last_.term;
  return RunOf(index)->term;
}

Index Log::FloorByTerm(Index at_most, Term term) const {
  if (at_most < base_.index) return at_most;
  Index index = std::min(at_most, last_.index);
  while (index > base_.index) {
    const auto run = RunOf(index);
    if (run->term <= term) return index;
    index = std::max(run->first - 1, base_.index);
  }
  return base_.term <= term || base_.index == Index(0) ? base_.index : base_.index - 1;
}

std::vector<Entry> Log::Slice(Index first, size_t bytes_max) const {
  KEEL_CHECK_GE(first, cached_first());
  KEEL_CHECK_LE(first, last_.index);
  auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(first - cached_first());
  size_t bytes = begin->bytes();
  auto end = begin + 1;
  while (end != entries_.end() && bytes + end->bytes() <= bytes_max) bytes += (end++)->bytes();
  return std::vector<Entry>(begin, end);
}

const Entry& Log::CachedAt(Index index) const {
  KEEL_CHECK_GE(index, cached_first());
  KEEL_CHECK_LE(index, last_.index);
  return entries_[index - cached_first()];
}

void Log::Append(Entry entry) {
  KEEL_CHECK_EQ(entry.id.index, last_.index + 1);
  KEEL_CHECK_GE(entry.id.term, last_.term);
  if (runs_.empty() || runs_.back().term != entry.id.term) runs_.push_back({entry.id.index, entry.id.term});
  last_ = entry.id;
  cached_bytes_ += entry.bytes();
  entries_.push_back(std::move(entry));
}

void Log::CutAfter(Index index) {
  KEEL_CHECK_GE(index, commit_) << "committed entries are never removed";
  KEEL_CHECK_LT(index, last_.index);
  last_ = {*TermAt(index), index};
  while (!entries_.empty() && entries_.back().id.index > index) {
    cached_bytes_ -= entries_.back().bytes();
    entries_.pop_back();
  }
  while (!runs_.empty() && runs_.back().first > index) runs_.pop_back();
  if (index == base_.index) runs_.clear();
  written_ = std::min(written_, index);
  stable_ = std::min(stable_, index);
  ++generation_;
}

void Log::Reset(EntryId last) {
  KEEL_CHECK_GT(last.index, commit_);
  base_ = last_ = last;
  runs_.clear();
  entries_.clear();
  cached_bytes_ = 0;
  commit_ = written_ = stable_ = handed_ = applied_ = last.index;
  handouts_.clear();
  handed_bytes_ = 0;
  ++generation_;
}

void Log::TruncatePrefix(Index through) {
  KEEL_CHECK_LE(through, applied_);
  if (through <= base_.index) return;
  base_ = {*TermAt(through), through};
  if (through == last_.index) {
    runs_.clear();
  } else {
    runs_.erase(runs_.begin(), RunOf(through + 1));
  }
  while (!entries_.empty() && entries_.front().id.index <= through) {
    cached_bytes_ -= entries_.front().bytes();
    entries_.pop_front();
  }
}

void Log::CommitTo(Index index) {
  KEEL_CHECK_GE(index, commit_) << "commit never goes back";
  KEEL_CHECK_LE(index, last_.index);
  commit_ = index;
}

std::vector<Entry> Log::TakeUnwritten() {
  std::vector<Entry> entries;
  if (!has_unwritten()) return entries;
  KEEL_CHECK_LE(cached_first(), written_ + 1);
  entries.assign(entries_.begin() + static_cast<std::ptrdiff_t>(written_ + 1 - cached_first()), entries_.end());
  written_ = last_.index;
  return entries;
}

void Log::OnStable(const AppendTicket& ticket) {
  if (ticket.generation != generation_) {
    if (KEEL_MUTANT(kAppendCompletionAba)) stable_ = std::max(stable_, std::min(ticket.last.index, written_));
    return;
  }
  KEEL_CHECK_LE(ticket.last.index, written_);
  stable_ = std::max(stable_, ticket.last.index);
  Evict();
}

std::optional<ApplyWork> Log::TakeApplicable() {
  const Index end = std::min(commit_, stable_);
  if (handed_ >= end) return std::nullopt;
  ApplyWork work{.first = handed_ + 1, .last = end, .entries = {}};
  // What has left memory goes first, alone; the shell reads it from the log. So it does when apply has fallen behind:
  // its backlog must not hold in memory what the cache limit lets go.
  const bool backlog = handed_bytes_ > cached_bytes_max_;
  if (work.first < cached_first()) {
    work.last = std::min(end, cached_first() - 1);
  } else if (!backlog) {
    const auto begin = entries_.begin() + static_cast<std::ptrdiff_t>(work.first - cached_first());
    work.entries.assign(begin, begin + static_cast<std::ptrdiff_t>(work.last - work.first + 1));
    size_t bytes = 0;
    for (const Entry& entry : work.entries) bytes += entry.bytes();
    handouts_.push_back({work.last, bytes});
    handed_bytes_ += bytes;
  }
  handed_ = work.last;
  Evict();
  return work;
}

void Log::OnApplied(Index index) {
  // A snapshot may have been installed over work that was still under way.
  if (index <= applied_) return;
  KEEL_CHECK_LE(index, handed_);
  applied_ = index;
  while (!handouts_.empty() && handouts_.front().last <= index) {
    handed_bytes_ -= handouts_.front().bytes;
    handouts_.pop_front();
  }
}

void Log::Evict() {
  while (cached_bytes_ > cached_bytes_max_ && !entries_.empty()) {
    const Entry& front = entries_.front();
    if (front.id.index > handed_ || front.id.index > stable_) return;
    cached_bytes_ -= front.bytes();
    entries_.pop_front();
  }
}

}  // namespace keel::raft
