#include "keel/rw_mutex.h"

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/grant.h"
#include "client/src/ledger.h"

namespace keel {
namespace client {

// The algorithm of an RwMutex; see there. Thread-safe.
class RwTurn {
 public:
  enum Mode { kShared, kAlone };
  enum class Wait { kYes, kNo };

  RwTurn(Client& client, Session& session, std::string_view name)
      : grant_(client, session.core(), "rwmutex"),
        ledger_(grant_.patience(), name),
        prefix_(absl::StrCat(ToAbsl(name), "/")) {}

  absl::StatusOr<bool> Take(Mode mode, Wait wait, absl::Time deadline) {
    return grant_.Acquire(mode, deadline, [&] { return Acquire(mode, wait, deadline); });
  }

  Grant& grant() { return grant_; }

 private:
  using Held = Grant::Held;

  // All keys that somebody of this mode waits for begin so.
  std::string Blockers(Mode mode) const { return mode == kShared ? prefix_ + "write" : prefix_; }
  static RangeOptions LastBefore(int64_t revision) {
    return {.prefix = true,
            .limit = 1,
            .sort_order = SortOrder::kDescend,
            .sort_target = SortTarget::kCreateRevision,
            .max_create_revision = revision == 0 ? 0 : revision - 1};
  }

  absl::StatusOr<std::optional<Held>> Acquire(Mode mode, Wait wait, absl::Time deadline) {
    const std::string blockers = Blockers(mode);
    while (true) {
      const std::string key = absl::StrCat(prefix_, mode == kShared ? "read/" : "write/", UniqueName());
      Txn enqueue =
          Txn()
              .If(CreateRevisionOf(key) == 0)
              .Then(Get(blockers, LastBefore(0)), Put(key, "").WithLease(grant_.patience().session()->lease()))
              .Else(Get(key));
      if (wait == Wait::kNo) enqueue.If((CreateRevisionOf(blockers) == 0).ForPrefix());  // There is none.
      absl::StatusOr<Ledger::Outcome> queued = ledger_.Commit(enqueue, deadline);
      if (!queued.ok()) {
        if (absl::IsUnknown(queued.status())) (void)grant_.DeleteKey(key, 0);
        return absl::IsNotFound(queued.status()) ? grant_.patience().Expired() : queued.status();
      }
      if (!queued->succeeded) {
        if (queued->responses->empty() || !(*queued->responses)[0].is_range()) return grant_.patience().NoAnswerFits();
        if (!(*queued->responses)[0].range().kvs.empty()) continue;  // Somebody has the same number.
        return std::nullopt;
      }
      Held place{.key = key, .token = queued->header.revision, .mode = mode, .header = queued->header};
      absl::Status turn = AwaitTurn(blockers, *queued, &place, deadline);
      if (turn.ok()) return place;
      // Somebody behind us must not wait for one who is no longer there.
      (void)grant_.DeleteKey(key, place.token);
      return turn;
    }
  }

  // Until nobody is before `place`; sets the header that showed it.
  absl::Status AwaitTurn(const std::string& blockers, const Ledger::Outcome& queued, Held* place, absl::Time deadline) {
    std::optional<RangeResponse> before;
    if (queued.responses.has_value()) {
      if (queued.responses->empty() || !(*queued.responses)[0].is_range()) return grant_.patience().NoAnswerFits();
      before = (*queued.responses)[0].range();
      if (before->kvs.empty()) return absl::OkStatus();
      before->header.revision = queued.header.revision;
    }
    while (true) {
      if (before.has_value()) {
        KEEL_RETURN_IF_ERROR(grant_.patience()
                                 .AwaitChange(before->kvs[0].key,
                                              {.start_revision = before->header.revision + 1, .without_puts = true},
                                              deadline)
                                 .status());
      }
      KEEL_ASSIGN_OR_RETURN(
          TxnResponse look,
          grant_.patience().TryCommit(Txn().Then(Get(blockers, LastBefore(place->token)), Get(place->key)), deadline));
      if (look.responses.size() != 2 || !look.responses[0].is_range() || !look.responses[1].is_range()) {
        return grant_.patience().NoAnswerFits();
      }
      const std::vector<KeyValue>& own = look.responses[1].range().kvs;
      if (own.empty() || own[0].create_revision != place->token) return grant_.patience().Expired();
      place->header = look.header;
      before = look.responses[0].range();
      if (before->kvs.empty()) return absl::OkStatus();
      before->header.revision = look.header.revision;
    }
  }

  Grant grant_;
  Ledger ledger_;
  const std::string prefix_;
};

}  // namespace client

using client::RwTurn;

RwMutex::RwMutex(Client& client, Session& session, std::string_view name)
    : turn_(std::make_unique<RwTurn>(client, session, name)) {}

RwMutex::~RwMutex() = default;

absl::Status RwMutex::Lock(absl::Time deadline) {
  return turn_->Take(RwTurn::kAlone, RwTurn::Wait::kYes, deadline).status();
}

absl::Status RwMutex::LockShared(absl::Time deadline) {
  return turn_->Take(RwTurn::kShared, RwTurn::Wait::kYes, deadline).status();
}

absl::StatusOr<bool> RwMutex::TryLock(absl::Time deadline) {
  return turn_->Take(RwTurn::kAlone, RwTurn::Wait::kNo, deadline);
}

absl::StatusOr<bool> RwMutex::TryLockShared(absl::Time deadline) {
  return turn_->Take(RwTurn::kShared, RwTurn::Wait::kNo, deadline);
}

absl::Status RwMutex::Unlock() {
  KEEL_ASSIGN_OR_RETURN(const bool was_locked, turn_->grant().Release());
  return was_locked ? absl::OkStatus() : absl::FailedPreconditionError("rwmutex: lock has already been released");
}

bool RwMutex::held() const { return turn_->grant().held(); }

bool RwMutex::held_alone() const { return turn_->grant().mode() == RwTurn::kAlone; }

int64_t RwMutex::fencing_token() const { return turn_->grant().token(); }

std::string RwMutex::key() const { return turn_->grant().key(); }

ResponseHeader RwMutex::header() const { return turn_->grant().header(); }

Compare RwMutex::IsOwner() const { return turn_->grant().IsOurs(); }

Txn RwMutex::Guard(Txn txn) const { return std::move(txn).If(IsOwner()); }

}  // namespace keel
