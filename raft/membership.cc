#include "raft/membership.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "proto/raft.pb.h"
#include "raft/wire.h"

namespace keel::raft {
namespace {

using Ids = std::vector<MemberId>;

bool Contains(const Ids& ids, MemberId id) { return std::binary_search(ids.begin(), ids.end(), id); }

// REQUIRES: id is not in it.
void Insert(Ids* ids, MemberId id) { ids->insert(std::upper_bound(ids->begin(), ids->end(), id), id); }

void Erase(Ids* ids, MemberId id) { std::erase(*ids, id); }

absl::Status CheckAscending(const Ids& ids) {
  for (size_t i = 0; i < ids.size(); ++i) {
    if (ids[i] == kNobody || (i > 0 && ids[i - 1] >= ids[i])) {
      return absl::InvalidArgumentError("membership: member ids not ascending");
    }
  }
  return absl::OkStatus();
}

size_t Differences(const Ids& a, const Ids& b) {
  Ids different;
  std::set_symmetric_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(different));
  return different.size();
}

absl::Status CheckNames(const MembershipChange& change) {
  std::set<MemberId> named;
  for (const Ids* ids : {&change.add_voters, &change.add_learners, &change.remove}) {
    for (MemberId id : *ids) {
      if (id == kNobody) return absl::InvalidArgumentError("membership change: member id 0");
      if (!named.insert(id).second) {
        return absl::InvalidArgumentError(
            absl::StrCat("membership change: member ", absl::Hex(id.value()), " is named twice"));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

Payload EncodeMembershipEntry(const Membership& membership, std::string_view context) {
  raftpb::MembershipEntry pb;
  EncodeMembership(membership, pb.mutable_membership());
  pb.set_context(context.data(), context.size());
  return Payload(pb.SerializeAsString());
}

absl::StatusOr<MembershipEntry> DecodeMembershipEntry(std::string_view payload) {
  raftpb::MembershipEntry pb;
  if (!pb.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return absl::InvalidArgumentError("membership entry: malformed payload");
  }
  MembershipEntry entry;
  KEEL_ASSIGN_OR_RETURN(entry.membership, DecodeMembership(pb.membership()));
  entry.context = std::move(*pb.mutable_context());
  return entry;
}

absl::Status CheckMembership(const Membership& membership) {
  for (const Ids* ids :
       {&membership.voters, &membership.outgoing_voters, &membership.learners, &membership.learners_next}) {
    KEEL_RETURN_IF_ERROR(CheckAscending(*ids));
  }
  if (membership.voters.empty()) return absl::InvalidArgumentError("membership without voters");
  for (MemberId id : membership.learners) {
    if (membership.IsVoter(id)) return absl::InvalidArgumentError("membership: a learner that votes");
  }
  for (MemberId id : membership.learners_next) {
    if (Contains(membership.voters, id) || !Contains(membership.outgoing_voters, id)) {
      return absl::InvalidArgumentError("membership: a learner to be that is no outgoing voter");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Membership> ChangedMembership(const Membership& current, const MembershipChange& change) {
  KEEL_RETURN_IF_ERROR(CheckNames(change));
  if (current.is_joint()) return absl::FailedPreconditionError(kChangeInFlight);
  Membership next = current;
  for (MemberId id : change.remove) {
    Erase(&next.voters, id);
    Erase(&next.learners, id);
  }
  for (MemberId id : change.add_voters) {
    Erase(&next.learners, id);
    if (!Contains(next.voters, id)) Insert(&next.voters, id);
  }
  for (MemberId id : change.add_learners) {
    Erase(&next.voters, id);
    if (!Contains(next.learners, id)) Insert(&next.learners, id);
  }
  if (next == current && !change.empty()) {
    return absl::FailedPreconditionError(kNothingWouldChange);
  }
  if (next.voters.empty()) return absl::FailedPreconditionError(kNoVoterLeft);
  // One voter more or less: every majority of the old voters overlaps every one of the new (Thesis §4.1).
  if (Differences(current.voters, next.voters) <= 1) return next;

  next.outgoing_voters = current.voters;
  // Nobody votes and only listens at the same time: a demoted voter keeps its vote until the joint configuration ends.
  for (MemberId id : current.voters) {
    if (!Contains(next.learners, id)) continue;
    Erase(&next.learners, id);
    Insert(&next.learners_next, id);
  }
  return next;
}

Membership LeftJoint(const Membership& joint) {
  KEEL_CHECK(joint.is_joint());
  Membership left;
  left.voters = joint.voters;
  std::merge(joint.learners.begin(), joint.learners.end(), joint.learners_next.begin(), joint.learners_next.end(),
             std::back_inserter(left.learners));
  return left;
}

MembershipHistory::MembershipHistory(Index applied, Membership base, const std::vector<MembershipRecord>& logged) {
  records_.push_back({.index = applied, .membership = std::move(base), .context = {}});
  for (const MembershipRecord& record : logged) {
    if (record.index > applied) {
      Append(record);
    } else if (record.membership == current()) {
      // The state knows what, the log still knows why.
      records_.back().context = record.context;
    }
  }
}

void MembershipHistory::Append(MembershipRecord record) {
  KEEL_CHECK_GT(record.index, index());
  records_.push_back(std::move(record));
}

bool MembershipHistory::CutAfter(Index index) {
  bool changed = false;
  while (records_.back().index > index) {
    KEEL_CHECK_GT(records_.size(), size_t{1}) << "a cut through the applied membership";
    records_.pop_back();
    changed = true;
  }
  return changed;
}

void MembershipHistory::OnApplied(Index index) {
  while (records_.size() > 1 && records_[1].index <= index) records_.pop_front();
}

void MembershipHistory::Reset(Index index, Membership membership) {
  records_.clear();
  records_.push_back({.index = index, .membership = std::move(membership), .context = {}});
}

}  // namespace keel::raft
