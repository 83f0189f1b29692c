// What is checked of a message before anything changes. Peers may be out of date, or wrong; they never bring this
// member down.

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "raft/core_impl.h"

namespace keel::raft {
namespace {

std::string Why(const Message& message, const char* why) {
  return absl::StrCat(MessageName(message), " from ", message.from.value(), " in term ", message.term.value(), ": ",
                      why);
}

absl::Status Refuse(const Message& message, const char* why) { return absl::InvalidArgumentError(Why(message, why)); }

}  // namespace

absl::Status Core::Impl::Validate(const Message& message) const {
  if (message.to != options_.id) return Refuse(message, "not for this member");
  if (message.from == options_.id) return Refuse(message, "from this member itself");
  if (message.from == kNobody) return Refuse(message, "from nobody");
  if (message.term > Term(kTermMax)) return Refuse(message, "a term that cannot be");
  KEEL_RETURN_IF_ERROR(ValidateSender(message));
  if (const auto* request = std::get_if<VoteRequest>(&message.body)) {
    if (request->last.term >= message.term) return Refuse(message, "the candidate's log is from its future");
    if (request->last.index > Index(kIndexMax)) return Refuse(message, "an index that cannot be");
  }
  if (IsFromLeader(message) && message.term >= term_) return ValidateFromLeader(message);
  return absl::OkStatus();
}

// Who leads or stands may be somebody this log does not name yet, or this log may name nobody: otherwise a member that
// is behind, or new, could never catch up (Thesis §4.1).
absl::Status Core::Impl::ValidateSender(const Message& message) const {
  if (IsFromLeader(message) || std::holds_alternative<VoteRequest>(message.body)) return absl::OkStatus();
  if (message.from == leader() || membership().Contains(message.from)) return absl::OkStatus();
  // One that is leaving still answers.
  const LeaderRole* const leading = leader_role();
  if (leading != nullptr && leading->tracker.followers().contains(message.from)) return absl::OkStatus();
  return absl::FailedPreconditionError(Why(message, "the sender is no member"));
}

absl::Status Core::Impl::ValidateFromLeader(const Message& message) const {
  if (message.term == Term(0)) return Refuse(message, "nobody leads term 0");
  // At most one leader can be elected in a term (Raft §5.2).
  if (message.term == term_ && leader() != kNobody && leader() != message.from) {
    return Refuse(message, "the term has another leader");
  }
  if (const auto* request = std::get_if<AppendRequest>(&message.body)) return ValidateAppend(message, *request);
  if (const auto* heartbeat = std::get_if<Heartbeat>(&message.body)) {
    const EntryId commit = heartbeat->commit;
    if ((commit.index == Index(0)) != (commit.term == Term(0)) || commit.term > message.term) {
      return Refuse(message, "a commit that cannot be");
    }
  }
  return absl::OkStatus();
}

// What a heartbeat commits its leader has seen this member acknowledge, in that term: it was durable here then, and
// entries that match a leader's log are not cut in its term. If it is gone, or something else stands there (a damaged
// last write is taken for one that was never finished, and what it had replaced is back), the disk has lost it. During
// an install nothing can be said: the log is about to be replaced.
bool Core::Impl::ShowsDataLoss(const Message& message) const {
  const auto* heartbeat = std::get_if<Heartbeat>(&message.body);
  if (heartbeat == nullptr || message.term < term_ || is_installing()) return false;
  const EntryId commit = heartbeat->commit;
  return commit.index > log_.last().index || (commit.index > log_.base().index && !log_.Has(commit));
}

absl::Status Core::Impl::ValidateAppend(const Message& message, const AppendRequest& request) const {
  if ((request.prev.index == Index(0)) != (request.prev.term == Term(0))) return Refuse(message, "bad prev");
  if (request.prev.index > Index(kIndexMax)) return Refuse(message, "an index that cannot be");
  EntryId prev = request.prev;
  for (const Entry& entry : request.entries) {
    if (entry.id.index != prev.index + 1 || entry.id.index == Index(0))
      return Refuse(message, "entries not contiguous");
    if (entry.id.term < prev.term || entry.id.term == Term(0)) return Refuse(message, "terms out of order");
    switch (entry.type) {
      case EntryType::kNoop:
      case EntryType::kCommand:
        break;
      case EntryType::kMembership:
        if (!DecodeMembershipEntry(entry.payload.view()).ok()) return Refuse(message, "a malformed membership entry");
        break;
      default:
        return Refuse(message, "an entry of a type that this version does not know");
    }
    prev = entry.id;
  }
  if (prev.term > message.term) return Refuse(message, "entries of a later term than the message");
  // What is committed here is in the log of every later leader (Leader Completeness).
  const auto contradicts = [this](EntryId id) {
    return id.index <= log_.commit() && id.index >= log_.base().index && !log_.Has(id);
  };
  if (contradicts(request.prev)) return Refuse(message, "it contradicts committed entries");
  for (const Entry& entry : request.entries) {
    if (entry.id.index > log_.commit()) break;
    if (contradicts(entry.id)) return Refuse(message, "it contradicts committed entries");
  }
  return absl::OkStatus();
}

}  // namespace keel::raft
