#include "tests/sim/log_mirror.h"

#include <algorithm>
#include <string>

#include "raft/membership.h"
#include "tests/sim/ledger.h"

namespace keel::sim {

using raft::Entry;
using raft::EntryId;
using raft::Index;
using raft::Term;

uint64_t HashOfEntry(const Entry& entry) { return HashOf(entry.payload.view(), static_cast<uint64_t>(entry.type)); }

std::optional<Term> LogMirror::TermAt(Index index) const {
  if (index == base_.index) return base_.term;
  const Fact* fact = At(index);
  if (fact == nullptr) return std::nullopt;
  return fact->term;
}

const LogMirror::Fact* LogMirror::At(Index index) const {
  if (index <= base_.index || index - base_.index > entries_.size()) return nullptr;
  return &entries_[index - base_.index - 1];
}

bool LogMirror::Write(std::span<const Entry> entries) {
  if (entries.empty()) return true;
  const Index first = entries.front().id.index;
  if (first <= base_.index || first > last().index + 1) return false;
  entries_.resize(first - base_.index - 1);
  while (!memberships_.empty() && memberships_.back().first >= first) memberships_.pop_back();
  for (const Entry& entry : entries) {
    entries_.push_back({.term = entry.id.term, .type = entry.type, .hash = HashOfEntry(entry)});
    if (entry.type != raft::EntryType::kMembership) continue;
    absl::StatusOr<raft::MembershipEntry> decoded = raft::DecodeMembershipEntry(entry.payload.view());
    if (!decoded.ok()) throw Violation{"config-decodes", std::string(decoded.status().message())};
    memberships_.emplace_back(entry.id.index, std::move(decoded->membership));
  }
  return true;
}

void LogMirror::TruncatePrefix(Index through) {
  if (through <= base_.index) return;
  const EntryId base{*TermAt(through), through};
  entries_.erase(entries_.begin(), entries_.begin() + static_cast<std::ptrdiff_t>(through - base_.index));
  base_ = base;
  std::erase_if(memberships_, [&](const auto& m) { return m.first <= through; });
}

void LogMirror::Reset(EntryId last) {
  base_ = last;
  entries_.clear();
  memberships_.clear();
}

std::optional<std::pair<Index, raft::Membership>> LogMirror::newest_membership() const {
  if (memberships_.empty()) return std::nullopt;
  return memberships_.back();
}

const raft::Membership* LogMirror::MembershipAt(Index index) const {
  for (const auto& [at, membership] : memberships_) {
    if (at == index) return &membership;
  }
  return nullptr;
}

size_t LogMirror::memberships_after(Index index) const {
  return static_cast<size_t>(
      std::count_if(memberships_.begin(), memberships_.end(), [&](const auto& m) { return m.first > index; }));
}

}  // namespace keel::sim
