#include "tests/sim/sim_disk.h"

#include <utility>

namespace keel::raft::sim {

std::optional<Term> LogImage::TermAt(Index index) const {
  if (index == base_.index) return base_.term;
  if (index < base_.index || index > last().index) return std::nullopt;
  return At(index).id.term;
}

bool LogImage::Write(const std::vector<Entry>& entries) {
  if (entries.empty()) return true;
  const Index first = entries.front().id.index;
  if (first <= base_.index || first > last().index + 1) return false;
  entries_.resize(first - base_.index - 1);
  entries_.insert(entries_.end(), entries.begin(), entries.end());
  return true;
}

void LogImage::TruncatePrefix(Index through) {
  if (through <= base_.index) return;
  const EntryId base{*TermAt(through), through};
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(through - base_.index));
  base_ = base;
}

void LogImage::Reset(EntryId last) {
  base_ = last;
  entries_.clear();
}

std::vector<TermRun> LogImage::TermRuns() const {
  std::vector<TermRun> runs;
  for (const Entry& entry : entries_) {
    if (runs.empty() || runs.back().term != entry.id.term) runs.push_back({entry.id.index, entry.id.term});
  }
  return runs;
}

bool SimDisk::Queue(PendingWrite write) {
  if (write.append && !written.Write(write.append->entries)) return false;
  queue.push_back(std::move(write));
  return true;
}

PendingWrite SimDisk::CompleteOne() {
  PendingWrite write = std::move(queue.front());
  queue.pop_front();
  if (write.append) {
    if (write.append->hard_state) hard_state = *write.append->hard_state;
    durable.Write(write.append->entries);
  }
  return write;
}

void SimDisk::Crash(Random& random) {
  for (uint64_t whole = random.Below(queue.size() + 1); whole > 0; --whole) CompleteOne();
  if (!queue.empty() && queue.front().append && random.Chance(0.5)) {
    // Records are written in order: the hard state, then the entries.
    AppendWork& torn = *queue.front().append;
    if (torn.hard_state) hard_state = *torn.hard_state;
    torn.entries.resize(random.Below(torn.entries.size() + 1));
    durable.Write(torn.entries);
  }
  queue.clear();
  written = durable;
}

}  // namespace keel::raft::sim
