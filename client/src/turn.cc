#include "client/src/turn.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::client {
namespace {

std::string KeyOf(const std::string& prefix, LeaseId lease) {
  // As other clients print it: lowercase, unpadded, a negative number as minus and magnitude.
  if (lease >= 0) return absl::StrCat(prefix, absl::Hex(lease));
  return absl::StrCat(prefix, "-", absl::Hex(uint64_t{0} - static_cast<uint64_t>(lease)));
}

}  // namespace

Turn::Turn(Client& client, std::shared_ptr<SessionCore> session, std::string_view name, std::string_view recipe)
    : patience_(client, std::move(session), recipe),
      prefix_(absl::StrCat(ToAbsl(name), "/")),
      key_(KeyOf(prefix_, patience_.session()->lease())),
      ledger_(patience_, name) {}

absl::StatusOr<bool> Turn::Take(std::string_view value, Wait wait, absl::Time deadline) {
  Place place;
  {
    absl::MutexLock lock(&mu_);
    if (!mu_.AwaitWithDeadline(absl::Condition(this, &Turn::IsIdle), deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(patience_.recipe(), ": another thread is taking it"));
    }
    taking_ = true;
    patience_.Begin();
    place.revision = queued_;
  }
  absl::StatusOr<ResponseHeader> turn = absl::UnknownError("");
  bool is_behind = false;
  const absl::Status queued = Enqueue(value, deadline, &place);
  if (!queued.ok()) {
    turn = queued;
  } else if (place.is_first) {
    turn = place.header;
  } else if (wait == Wait::kNo) {
    is_behind = true;
  } else {
    turn = WaitForTurn(place, deadline);
  }
  if (turn.ok() && session_lost()) turn = patience_.Expired();

  const bool is_ours = turn.ok();
  if (!is_ours) {
    // Somebody behind us must not wait for one who is no longer there. When the session is lost its keys go with it.
    const absl::Status left = absl::IsUnknown(queued) ? DeleteWhatThereIs() : DeleteKey(place.revision);
    if (is_behind && !left.ok()) turn = left;
    is_behind = is_behind && left.ok();
  }
  absl::MutexLock lock(&mu_);
  taking_ = false;
  ours_ = false;
  queued_ = is_ours ? place.revision : 0;
  if (!is_ours) {
    if (is_behind) return false;
    return turn.status();
  }
  // Leave() came when it was too late to stop waiting; it goes on to delete the key.
  if (patience_.called_off()) return patience_.CalledOff();
  ours_ = true;
  token_.store(place.revision, std::memory_order_release);
  header_ = *turn;
  return true;
}

absl::Status Turn::Enqueue(std::string_view value, absl::Time deadline, Place* place) {
  const RangeOptions first = {
      .prefix = true, .limit = 1, .sort_order = SortOrder::kAscend, .sort_target = SortTarget::kCreateRevision};
  const Txn enqueue = Txn()
                          .If(CreateRevisionOf(key_) == 0)
                          .Then(Put(key_, value).WithLease(lease()), Get(prefix_, first))
                          .Else(Get(key_), Get(prefix_, first));
  const absl::StatusOr<Ledger::Outcome> outcome = ledger_.Commit(enqueue, deadline);
  if (!outcome.ok()) {
    return absl::IsNotFound(outcome.status()) ? patience_.Expired() : outcome.status();  // No such lease.
  }
  place->header = outcome->header;
  if (outcome->succeeded) place->revision = outcome->header.revision;
  if (!outcome->responses.has_value()) {
    // It was executed and its answer lost, with who is before us.
    int64_t now = 0;
    KEEL_ASSIGN_OR_RETURN(const TxnResponse look, Look(*place, now, deadline));
    place->is_first = look.responses[0].range().kvs.empty();
    place->header = look.header;
    return absl::OkStatus();
  }
  const std::vector<OpResponse>& responses = *outcome->responses;
  if (responses.size() != 2 || !responses[1].is_range() ||
      (!outcome->succeeded && (!responses[0].is_range() || responses[0].range().kvs.empty()))) {
    return patience_.NoAnswerFits();
  }
  if (!outcome->succeeded) {
    const KeyValue& own = responses[0].range().kvs[0];
    place->revision = own.create_revision;
    if (own.value != value) KEEL_RETURN_IF_ERROR(PutValue(value, own.create_revision, deadline));
  }
  const std::vector<KeyValue>& owner = responses[1].range().kvs;
  place->is_first = owner.empty() || owner[0].create_revision == place->revision;
  return absl::OkStatus();
}

absl::Status Turn::PutValue(std::string_view value, int64_t revision, absl::Time deadline) {
  const absl::StatusOr<Ledger::Outcome> replaced =
      ledger_.Commit(Txn().If(CreateRevisionOf(key_) == revision).Then(Put(key_, value).WithLease(lease())), deadline);
  if (!replaced.ok() && !absl::IsNotFound(replaced.status())) return replaced.status();
  return replaced.ok() && replaced->succeeded ? absl::OkStatus() : patience_.Expired();
}

absl::StatusOr<ResponseHeader> Turn::WaitForTurn(const Place& place, absl::Time deadline) {
  int64_t deleted = 0;  // A revision at which somebody before us went.
  while (true) {
    KEEL_ASSIGN_OR_RETURN(const TxnResponse look, Look(place, deleted, deadline));
    const std::vector<KeyValue>& before = look.responses[0].range().kvs;
    const std::vector<KeyValue>& own = look.responses[1].range().kvs;
    if (own.empty() || own[0].create_revision != place.revision) return patience_.Expired();
    if (before.empty()) return look.header;
    const int64_t seen = deleted != 0 ? deleted : look.header.revision;
    KEEL_ASSIGN_OR_RETURN(deleted, WaitForDelete(before[0].key, seen + 1, deadline));
  }
}

absl::StatusOr<TxnResponse> Turn::Look(const Place& place, int64_t& revision, absl::Time deadline) {
  // Who has gone from before us does not come back, so any member's state will do that is as new as the deletion we
  // were told of: no round of the members is needed, which is half the time of a hand over. Whether our own key has
  // gone since is the session's clock to say.
  const bool is_local = revision != 0;
  const Txn txn = Txn().Then(Get(prefix_, {.prefix = true,
                                           .limit = 1,
                                           .revision = revision,
                                           .sort_order = SortOrder::kDescend,
                                           .sort_target = SortTarget::kCreateRevision,
                                           .serializable = is_local,
                                           .max_create_revision = place.revision - 1}),
                             Get(key_, {.revision = revision, .serializable = is_local}));
  absl::StatusOr<TxnResponse> look = patience_.TryCommit(txn, deadline);
  if (absl::IsOutOfRange(look.status()) && is_local) {
    revision = 0;  // This member has not got so far, or has compacted it already.
    return Look(place, revision, deadline);
  }
  if (look.ok() && (look->responses.size() != 2 || !look->responses[0].is_range() || !look->responses[1].is_range())) {
    return patience_.NoAnswerFits();
  }
  return look;
}

absl::StatusOr<int64_t> Turn::WaitForDelete(const std::string& key, int64_t from_revision, absl::Time deadline) {
  // A delete, a compaction: the caller looks again.
  KEEL_ASSIGN_OR_RETURN(const WatchResponse next,
                        patience_.AwaitChange(key, {.start_revision = from_revision, .without_puts = true}, deadline));
  return next.events.empty() ? 0 : next.events.back().kv.mod_revision;
}

absl::Status Turn::Replace(std::string_view value, absl::Time deadline) {
  const absl::Status not_leader = absl::FailedPreconditionError(absl::StrCat(patience_.recipe(), ": not leader"));
  if (!has_turn()) return not_leader;
  const int64_t ours = token();
  const absl::Status replaced =
      PutValue(value, ours, std::min(deadline, absl::Now() + patience_.client().core().options().timeout));
  if (!absl::IsFailedPrecondition(replaced)) return replaced;
  absl::MutexLock lock(&mu_);
  if (token() == ours) ours_ = false;
  return not_leader;
}

absl::Status Turn::HandTo(std::string_view key, absl::Time deadline) {
  if (!has_turn()) return absl::FailedPreconditionError(absl::StrCat(patience_.recipe(), ": not leader"));
  if (key == key_) return absl::OkStatus();
  // Who comes later is behind these two, and nobody's place but its owner's can be given up, so the order holds.
  const RangeOptions first_two = {
      .prefix = true, .limit = 2, .sort_order = SortOrder::kAscend, .sort_target = SortTarget::kCreateRevision};
  absl::StatusOr<RangeResponse> queue = patience_.TryGet(prefix_, first_two, deadline);
  if (!queue.ok()) return queue.status();
  const std::vector<KeyValue>& places = queue->kvs;
  if (places.size() < 2 || places[0].key != key_ || places[1].key != key) {
    return absl::FailedPreconditionError(absl::StrCat(patience_.recipe(), ": '", ToAbsl(key), "' is not the next: ",
                                                      places.size() < 2 ? "there is none" : places[1].key));
  }
  {
    // From when it is sent on somebody else may lead.
    absl::MutexLock lock(&mu_);
    ours_ = false;
  }
  const Txn hand_over =
      Txn().If(IsOurs(), CreateRevisionOf(key) == places[1].create_revision).Then(Delete(key_)).Else(Get(key_));
  absl::StatusOr<TxnResponse> answer = patience_.TryCommit(hand_over, deadline);
  if (!answer.ok()) return answer.status();
  const bool is_still_there = !answer->succeeded && answer->responses.size() == 1 && answer->responses[0].is_range() &&
                              !answer->responses[0].range().kvs.empty() &&
                              answer->responses[0].range().kvs[0].create_revision == token();
  absl::MutexLock lock(&mu_);
  if (is_still_there) {
    // The candidate has gone, for good, so that no earlier attempt can succeed later.
    ours_ = true;
    return absl::FailedPreconditionError(absl::StrCat(patience_.recipe(), ": '", ToAbsl(key), "' has withdrawn"));
  }
  queued_ = 0;
  return absl::OkStatus();
}

absl::StatusOr<bool> Turn::Leave() {
  int64_t revision = 0;
  {
    absl::MutexLock lock(&mu_);
    if (!taking_ && queued_ == 0) return false;
    ours_ = false;
    if (taking_) {
      patience_.CallOff();
      mu_.Await(absl::Condition(this, &Turn::IsIdle));
    }
    revision = queued_;
  }
  KEEL_RETURN_IF_ERROR(DeleteKey(revision));
  absl::MutexLock lock(&mu_);
  if (queued_ == revision) queued_ = 0;
  return true;
}

absl::Status Turn::DeleteKey(int64_t revision) {
  // A lost session takes its keys along.
  if (revision == 0 || session_lost()) return absl::OkStatus();
  const Txn leave = Txn().If(CreateRevisionOf(key_) == revision).Then(Delete(key_));
  return patience_.client().kv().Commit(leave, {.timeout = kLeaveTimeout, .repeat = Repeat::kAlways}).status();
}

absl::Status Turn::DeleteWhatThereIs() {
  if (session_lost()) return absl::OkStatus();
  KEEL_ASSIGN_OR_RETURN(const RangeResponse own, patience_.client().kv().Get(key_, {}, {.timeout = kLeaveTimeout}));
  return own.kvs.empty() ? absl::OkStatus() : DeleteKey(own.kvs[0].create_revision);
}

bool Turn::has_turn() const {
  {
    absl::MutexLock lock(&mu_);
    if (!ours_) return false;
  }
  return !session_lost();
}

ResponseHeader Turn::header() const {
  absl::MutexLock lock(&mu_);
  return header_;
}

}  // namespace keel::client
