#pragma once

// Changing who is a member (Raft §6; Thesis §4). A member always uses the newest configuration in its log, committed or
// not (Thesis §4.1); cutting the log goes back to the one before.
//
//   change of at most one voter    one entry, in force at once (Thesis §4.1: any two majorities overlap).
//   more than one (also replace)   a joint configuration, whose decisions need a majority of the old and of the new
//                                  voters; when it is committed and applied, the leader leaves it by a second entry
//                                  (Thesis §4.3).
//
// Pure functions and values.

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "raft/entry.h"
#include "raft/types.h"

namespace keel::raft {

// What is to become of members; who is not named stays what it is. Promotion: a learner in `add_voters`. Demotion: a
// voter in `add_learners`. Replacement: one in `add_voters`, another in `remove`, in one atomic step. All empty: the
// membership stays, only the entry's context matters (a member's attributes change).
struct MembershipChange {
  std::vector<MemberId> add_voters;
  std::vector<MemberId> add_learners;
  std::vector<MemberId> remove;

  bool empty() const { return add_voters.empty() && add_learners.empty() && remove.empty(); }
};

// What the payload of a kMembership entry says.
struct MembershipEntry {
  Membership membership;  // The whole one, from this entry on.
  // The proposer's, not looked at by Raft. The entry that leaves a joint configuration repeats the context of the one
  // that entered it; it is empty when the leader that leaves does not have that entry any more.
  std::string context;

  friend bool operator==(const MembershipEntry&, const MembershipEntry&) = default;
};

// Why Core::ProposeMembership refuses, with kFailedPrecondition: exactly these texts.
inline constexpr char kNotLeader[] = "this member does not lead";
inline constexpr char kChangeInFlight[] = "a membership change is in flight";
inline constexpr char kTermNotReady[] = "the leader has not committed an entry of its term yet";
inline constexpr char kNothingWouldChange[] = "the membership change would change nothing";
inline constexpr char kNoVoterLeft[] = "the membership change would leave no voter";

Payload EncodeMembershipEntry(const Membership& membership, std::string_view context);
// kInvalidArgument: not such a payload, or CheckMembership refuses.
absl::StatusOr<MembershipEntry> DecodeMembershipEntry(std::string_view payload);

// kInvalidArgument: lists not ascending, nobody votes, somebody in two places.
absl::Status CheckMembership(const Membership& membership);

// The membership that follows from `change`; joint when more than one voter comes or goes.
//   kInvalidArgument     the change names nobody (id 0), or somebody twice.
//   kFailedPrecondition  `current` is joint; nothing would change; no voter would be left.
absl::StatusOr<Membership> ChangedMembership(const Membership& current, const MembershipChange& change);
// The membership that a joint one leads to. REQUIRES: joint.is_joint().
Membership LeftJoint(const Membership& joint);

// A configuration and where the log says so.
struct MembershipRecord {
  Index index;
  Membership membership;
  Payload context;

  friend bool operator==(const MembershipRecord&, const MembershipRecord&) = default;
};

// The configurations of a log: the one of the applied state and all after it. Owned by the core.
// Invariant: current() is what replaying the log's membership entries over the state would give.
class MembershipHistory {
 public:
  // `base` as of `applied`. `logged`: what the log holds, ascending; may begin at or before `applied`.
  MembershipHistory(Index applied, Membership base, const std::vector<MembershipRecord>& logged);

  const Membership& current() const { return records_.back().membership; }
  const Payload& context() const { return records_.back().context; }
  // Where the current one begins; at or below `applied` when nothing in the log changes the state's.
  Index index() const { return records_.back().index; }
  // The one in force just before the current one; nullptr when that is applied.
  const Membership* previous() const {
    return records_.size() < 2 ? nullptr : &records_[records_.size() - 2].membership;
  }

  // REQUIRES: record.index > index().
  void Append(MembershipRecord record);
  // The log was cut. True: the current configuration is another now. REQUIRES: index >= applied.
  bool CutAfter(Index index);
  // Forgets what only a cut below `index` could bring back.
  void OnApplied(Index index);
  // A snapshot was installed: exactly its configuration, whatever the log had said (Thesis §5.1).
  void Reset(Index index, Membership membership);

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    for (const MembershipRecord& record : records_) sink(record.index, record.membership, record.context);
  }

 private:
  std::deque<MembershipRecord> records_;  // Never empty. The first is the applied one's.
};

}  // namespace keel::raft
