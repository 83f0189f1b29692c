#include "keel/semaphore.h"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/grant.h"
#include "client/src/ledger.h"

namespace keel {
namespace client {

// The algorithm of a Semaphore; see there. Thread-safe.
class Places {
 public:
  enum class Wait { kYes, kNo };

  Places(Client& client, Session& session, std::string_view name, int places)
      : grant_(client, session.core(), "semaphore"),
        ledger_(grant_.patience(), name),
        name_(name),
        places_prefix_(absl::StrCat(ToAbsl(name), "/places/")),
        queue_prefix_(absl::StrCat(ToAbsl(name), "/queue/")),
        limit_key_(absl::StrCat(ToAbsl(name), "/limit")),
        places_(places),
        guess_(static_cast<int>(static_cast<uint64_t>(session.lease()) % static_cast<uint64_t>(std::max(places, 1)))) {}

  absl::StatusOr<bool> Take(Wait wait, absl::Time deadline) {
    if (places_ < 1 || places_ > Semaphore::kPlacesMax) {
      return absl::InvalidArgumentError(
          absl::StrCat("semaphore: ", places_, " places; there can be 1 to ", Semaphore::kPlacesMax));
    }
    return grant_.Acquire(0, deadline, [&] { return Acquire(wait, deadline); });
  }

  Grant& grant() { return grant_; }

 private:
  using Held = Grant::Held;

  // What the keys said when a transaction that should have taken a place did not.
  struct Look {
    std::optional<int> free = std::nullopt;       // A place that nobody has.
    std::optional<KeyValue> ours = std::nullopt;  // A place that holds our mark.
    bool has_queue = false;
  };

  std::string PlaceKey(int place) const { return absl::StrCat(places_prefix_, place); }
  LeaseId lease() const { return grant_.patience().session()->lease(); }
  Compare IsAgreed() const { return ValueOf(limit_key_) == std::to_string(places_); }
  // In this order Read() expects the answers.
  Txn WithLook(Txn txn) const {
    return std::move(txn).Else(Get(limit_key_), Get(places_prefix_, {.prefix = true}),
                               Get(queue_prefix_, {.prefix = true, .limit = 1, .keys_only = true}));
  }

  absl::StatusOr<Look> Read(const std::vector<OpResponse>& responses, const std::string& mark, absl::Time deadline) {
    if (responses.size() < 3 || !responses[0].is_range() || !responses[1].is_range() || !responses[2].is_range()) {
      return grant_.patience().NoAnswerFits();
    }
    const std::vector<KeyValue>& limit = responses[0].range().kvs;
    if (limit.empty()) {
      KEEL_RETURN_IF_ERROR(
          grant_.patience()
              .TryCommit(Txn().If(CreateRevisionOf(limit_key_) == 0).Then(Put(limit_key_, std::to_string(places_))),
                         deadline)
              .status());
    } else if (limit[0].value != std::to_string(places_)) {
      return absl::FailedPreconditionError(absl::StrCat("semaphore: '", name_, "' has ", limit[0].value, " places (",
                                                        limit_key_, "), not ", places_,
                                                        "; all who take part must count the same"));
    }
    Look look{.has_queue = !responses[2].range().kvs.empty()};
    std::set<std::string> taken;
    for (const KeyValue& place : responses[1].range().kvs) {
      taken.insert(place.key);
      if (place.value == mark && place.lease == lease()) look.ours = place;
    }
    // From the guess on, so that those who come at once look for different ones.
    for (int i = 0; i < places_ && !look.free; ++i) {
      const int place = (guess_ + i) % places_;
      if (taken.count(PlaceKey(place)) == 0) look.free = place;
    }
    return look;
  }

  absl::StatusOr<std::optional<Held>> Acquire(Wait wait, absl::Time deadline) {
    const std::string mark = absl::StrCat(absl::Hex(lease()), "-", UniqueName());
    // Straight in, as long as nobody waits. Who loses a race against others that enter tries another place, twice.
    int place = guess_;
    for (int races = 0; wait == Wait::kNo || races < 3; ++races) {
      const std::string key = PlaceKey(place);
      absl::StatusOr<Ledger::Outcome> entered = ledger_.Commit(
          WithLook(Txn()
                       .If(IsAgreed(), CreateRevisionOf(key) == 0, (CreateRevisionOf(queue_prefix_) == 0).ForPrefix())
                       .Then(Put(key, mark).WithLease(lease()))),
          deadline);
      if (!entered.ok()) {
        if (absl::IsUnknown(entered.status())) (void)DeleteMarked(key, mark);
        return SessionIsGone(entered.status());
      }
      if (entered->succeeded) return Held{.key = key, .token = entered->header.revision, .header = entered->header};
      KEEL_ASSIGN_OR_RETURN(const Look look, Read(*entered->responses, mark, deadline));
      if (look.has_queue || !look.free) break;
      place = *look.free;
    }
    if (wait == Wait::kNo) return std::nullopt;
    return QueueUp(mark, deadline);
  }

  absl::StatusOr<std::optional<Held>> QueueUp(const std::string& mark, absl::Time deadline) {
    const std::string key = queue_prefix_ + mark;
    absl::StatusOr<Ledger::Outcome> queued = ledger_.Commit(
        Txn().If(IsAgreed(), CreateRevisionOf(key) == 0).Then(Put(key, "").WithLease(lease())).Else(Get(limit_key_)),
        deadline);
    if (!queued.ok()) {
      if (absl::IsUnknown(queued.status())) (void)grant_.DeleteKey(key, 0);
      return SessionIsGone(queued.status());
    }
    if (!queued->succeeded) {
      return absl::FailedPreconditionError(absl::StrCat("semaphore: the number of places of '", name_, "' (",
                                                        limit_key_, ") was changed while it was being used"));
    }
    absl::StatusOr<Held> entered = AwaitPlace(key, queued->header.revision, mark, deadline);
    if (!entered.ok()) {
      // The place in the queue is what a delayed attempt to enter needs, so that none can succeed after this.
      (void)LeaveQueue(key, mark);
      return entered.status();
    }
    return *std::move(entered);
  }

  absl::StatusOr<Held> AwaitPlace(const std::string& queue_key, int64_t queued, const std::string& mark,
                                  absl::Time deadline) {
    Patience& patience = grant_.patience();
    // First wait to be the first: nobody can come before us any more.
    while (true) {
      KEEL_ASSIGN_OR_RETURN(const RangeResponse before, patience.TryGet(queue_prefix_,
                                                                        {.prefix = true,
                                                                         .limit = 1,
                                                                         .sort_order = SortOrder::kDescend,
                                                                         .sort_target = SortTarget::kCreateRevision,
                                                                         .max_create_revision = queued - 1},
                                                                        deadline));
      if (before.kvs.empty()) break;
      KEEL_RETURN_IF_ERROR(patience
                               .AwaitChange(before.kvs[0].key,
                                            {.start_revision = before.header.revision + 1, .without_puts = true},
                                            deadline)
                               .status());
    }
    // Then take the first place that is free.
    int place = guess_;
    while (true) {
      const std::string key = PlaceKey(place);
      Txn enter = WithLook(Txn()
                               .If(IsAgreed(), CreateRevisionOf(key) == 0, CreateRevisionOf(queue_key) == queued)
                               .Then(Put(key, mark).WithLease(lease()), Delete(queue_key)))
                      .Else(Get(queue_key));
      absl::StatusOr<TxnResponse> entered = patience.TryCommit(enter, deadline);
      if (!entered.ok()) return SessionIsGone(entered.status());
      if (entered->succeeded) {
        return Held{.key = key, .token = entered->header.revision, .header = entered->header};
      }
      KEEL_ASSIGN_OR_RETURN(const Look look, Read(entered->responses, mark, deadline));
      if (look.ours) {  // An earlier attempt has done it.
        return Held{.key = look.ours->key, .token = look.ours->create_revision, .header = entered->header};
      }
      if (entered->responses.size() < 4 || !entered->responses[3].is_range()) return patience.NoAnswerFits();
      const std::vector<KeyValue>& own = entered->responses[3].range().kvs;
      if (own.empty() || own[0].create_revision != queued) return patience.Expired();
      if (look.free) {
        place = *look.free;
        continue;
      }
      KEEL_ASSIGN_OR_RETURN(
          const WatchResponse left,
          patience.AwaitChange(places_prefix_,
                               {.prefix = true, .start_revision = entered->header.revision + 1, .without_puts = true},
                               deadline));
      // The one that became free needs no second look.
      for (const Event& event : left.events) {
        for (int i = 0; i < places_; ++i) {
          if (event.kv.key == PlaceKey(i)) place = i;
        }
      }
    }
  }

  absl::Status LeaveQueue(const std::string& queue_key, const std::string& mark) {
    KEEL_RETURN_IF_ERROR(grant_.DeleteKey(queue_key, 0));
    if (grant_.patience().session_lost()) return absl::OkStatus();
    // An attempt to enter may have succeeded without our knowing.
    KEEL_ASSIGN_OR_RETURN(
        const RangeResponse places,
        grant_.patience().client().kv().Get(places_prefix_, {.prefix = true}, {.timeout = kLeaveTimeout}));
    for (const KeyValue& place : places.kvs) {
      if (place.value == mark) KEEL_RETURN_IF_ERROR(DeleteMarked(place.key, mark));
    }
    return absl::OkStatus();
  }

  absl::Status DeleteMarked(const std::string& key, const std::string& mark) {
    if (grant_.patience().session_lost()) return absl::OkStatus();
    return grant_.patience()
        .client()
        .kv()
        .Commit(Txn().If(ValueOf(key) == mark).Then(Delete(key)), {.timeout = kLeaveTimeout, .repeat = Repeat::kAlways})
        .status();
  }

  absl::Status SessionIsGone(const absl::Status& status) const {
    return absl::IsNotFound(status) ? grant_.patience().Expired() : status;
  }

  mutable Grant grant_;
  Ledger ledger_;
  const std::string name_;
  const std::string places_prefix_;
  const std::string queue_prefix_;
  const std::string limit_key_;
  const int places_;
  const int guess_;  // Where to look first: spreads those who come at once.
};

}  // namespace client

using client::Places;

Semaphore::Semaphore(Client& client, Session& session, std::string_view name, int places)
    : places_(std::make_unique<Places>(client, session, name, places)) {}

Semaphore::~Semaphore() = default;

absl::Status Semaphore::Acquire(absl::Time deadline) { return places_->Take(Places::Wait::kYes, deadline).status(); }

absl::StatusOr<bool> Semaphore::TryAcquire(absl::Time deadline) { return places_->Take(Places::Wait::kNo, deadline); }

absl::Status Semaphore::Release() {
  KEEL_ASSIGN_OR_RETURN(const bool was_held, places_->grant().Release());
  return was_held ? absl::OkStatus() : absl::FailedPreconditionError("semaphore: place has already been released");
}

bool Semaphore::held() const { return places_->grant().held(); }

int64_t Semaphore::fencing_token() const { return places_->grant().token(); }

std::string Semaphore::key() const { return places_->grant().key(); }

ResponseHeader Semaphore::header() const { return places_->grant().header(); }

Compare Semaphore::IsOwner() const { return places_->grant().IsOurs(); }

Txn Semaphore::Guard(Txn txn) const { return std::move(txn).If(IsOwner()); }

}  // namespace keel
