#pragma once

// The numbers of Raft, each its own type so that they cannot mix.

#include <algorithm>
#include <compare>
#include <cstdint>
#include <ostream>
#include <vector>

#include "base/strong_int.h"

namespace keel::raft {

KEEL_STRONG_INT(Term, uint64_t);      // 0: before the first election.
KEEL_STRONG_INT(Index, uint64_t);     // Position in the log; the first entry is 1.
KEEL_STRONG_INT(MemberId, uint64_t);  // 0: nobody.
KEEL_STRONG_INT(ReadId, uint64_t);    // One attempt at a linearizable read; never used twice in a process.

inline constexpr MemberId kNobody{0};

// Terms and indexes that a peer claims beyond this are refused: far more than can ever be reached, and what is left to
// the end of the type keeps arithmetic with them from wrapping.
inline constexpr uint64_t kTermMax = uint64_t{1} << 62;
inline constexpr uint64_t kIndexMax = uint64_t{1} << 62;

// An entry's identity: two logs that hold the same one agree on everything up to it (Log Matching, Raft §5.3).
struct EntryId {
  Term term;
  Index index;

  friend constexpr bool operator==(EntryId, EntryId) = default;
};

inline std::ostream& operator<<(std::ostream& os, EntryId id) { return os << id.index << "@" << id.term; }

// Who votes and who only listens. Not empty `outgoing_voters` means joint consensus (Thesis §4.3): every decision needs
// a majority of `voters` and one of `outgoing_voters`. How it changes: membership.h.
struct Membership {
  std::vector<MemberId> voters;           // Ascending.
  std::vector<MemberId> outgoing_voters;  // Ascending.
  std::vector<MemberId> learners;         // Ascending. None of them votes.
  std::vector<MemberId> learners_next;    // Ascending. Outgoing voters that stay as learners when the joint one ends.

  bool is_joint() const { return !outgoing_voters.empty(); }
  bool IsVoter(MemberId id) const {
    return std::binary_search(voters.begin(), voters.end(), id) ||
           std::binary_search(outgoing_voters.begin(), outgoing_voters.end(), id);
  }
  bool IsLearner(MemberId id) const { return std::binary_search(learners.begin(), learners.end(), id); }
  bool Contains(MemberId id) const { return IsVoter(id) || IsLearner(id); }

  friend bool operator==(const Membership&, const Membership&) = default;
};

enum class Role { kFollower, kPreCandidate, kCandidate, kLeader };
const char* RoleName(Role role);  // "follower", ...

// What must survive a crash besides the entries (Raft fig. 2). `commit` may lag behind; it only speeds up a restart.
struct HardState {
  Term term;
  MemberId vote = kNobody;
  Index commit;

  friend bool operator==(const HardState&, const HardState&) = default;
};

// What a snapshot stands for.
struct SnapshotMeta {
  EntryId last;  // The last entry it covers.
  Membership membership;

  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

}  // namespace keel::raft
