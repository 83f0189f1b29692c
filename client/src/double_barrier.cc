#include "keel/double_barrier.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/grant.h"
#include "client/src/ledger.h"

namespace keel {
namespace client {

// The algorithm of a DoubleBarrier; see there. Thread-safe.
class Meeting {
 public:
  Meeting(Client& client, Session& session, std::string_view name, int participants)
      : patience_(client, session.core(), "double barrier"),
        ledger_(patience_, name),
        waiters_(absl::StrCat(ToAbsl(name), "/waiters")),
        ready_(absl::StrCat(ToAbsl(name), "/ready")),
        participants_(participants) {}

  absl::Status Enter(absl::Time deadline) {
    if (participants_ < 1) {
      return absl::InvalidArgumentError(absl::StrCat("double barrier: ", participants_, " participants"));
    }
    absl::MutexLock turn(&turn_mu_);
    if (patience_.session_lost()) return patience_.Expired();
    if (token() != 0) return absl::OkStatus();
    KEEL_RETURN_IF_ERROR(Queue(deadline));
    absl::StatusOr<int64_t> ready = AwaitReady(deadline);
    if (!ready.ok()) ready = GiveUp(ready.status());
    if (!ready.ok()) return ready.status();
    absl::MutexLock lock(&mu_);
    token_ = *ready;
    return absl::OkStatus();
  }

  absl::Status Leave(absl::Time deadline) {
    absl::MutexLock turn(&turn_mu_);
    const int64_t round = token();
    if (round == 0) return absl::FailedPreconditionError("double barrier: not entered");
    absl::Status left = LeaveRound(round, deadline);
    if (left.ok() || patience_.session_lost()) {
      absl::MutexLock lock(&mu_);
      token_ = 0;
    }
    return left;
  }

  void Cancel() { patience_.CallOff(); }

  int64_t token() const {
    absl::MutexLock lock(&mu_);
    return token_;
  }

 private:
  // Creates our key.
  absl::Status Queue(absl::Time deadline) {
    while (true) {
      key_ = absl::StrCat(waiters_, "/", UniqueName());
      absl::StatusOr<Ledger::Outcome> queued = ledger_.Commit(
          Txn().If(VersionOf(key_) == 0).Then(Put(key_, "").WithLease(patience_.session()->lease())), deadline);
      if (absl::IsNotFound(queued.status())) return patience_.Expired();
      if (!queued.ok()) return queued.status();
      if (!queued->succeeded) continue;  // Somebody has the same number.
      revision_ = queued->header.revision;
      return absl::OkStatus();
    }
  }

  struct Round {
    std::vector<KeyValue> waiters;  // By create_revision.
    int64_t ready = 0;              // mod_revision of the flag; 0: there is none.
    int64_t revision = 0;
  };

  absl::StatusOr<Round> Look(absl::Time deadline) {
    KEEL_ASSIGN_OR_RETURN(const TxnResponse answer,
                          patience_.TryCommit(Txn().Then(Get(waiters_, {.prefix = true,
                                                                        .sort_order = SortOrder::kAscend,
                                                                        .sort_target = SortTarget::kCreateRevision}),
                                                         Get(ready_)),
                                              deadline));
    if (answer.responses.size() != 2 || !answer.responses[0].is_range() || !answer.responses[1].is_range()) {
      return patience_.NoAnswerFits();
    }
    const std::vector<KeyValue>& ready = answer.responses[1].range().kvs;
    return Round{.waiters = answer.responses[0].range().kvs,
                 .ready = ready.empty() ? 0 : ready[0].mod_revision,
                 .revision = answer.header.revision};
  }

  // The revision at which all had come.
  absl::StatusOr<int64_t> AwaitReady(absl::Time deadline) {
    while (true) {
      KEEL_ASSIGN_OR_RETURN(const Round round, Look(deadline));
      if (round.ready > revision_) return round.ready;
      // Those created before the flag are leaving the round before.
      int rank = 0;
      int count = 0;
      for (const KeyValue& waiter : round.waiters) {
        if (waiter.create_revision <= round.ready) continue;
        ++count;
        if (waiter.create_revision == revision_) rank = count;
      }
      if (rank == 0) return patience_.Expired();
      if (rank > participants_) {
        return absl::ResourceExhaustedError(
            absl::StrCat("double barrier: ", participants_, " have entered without us"));
      }
      if (rank == participants_) {
        // Guarded by our key, so that a late repetition cannot open a later round.
        KEEL_ASSIGN_OR_RETURN(
            const TxnResponse opened,
            patience_.TryCommit(
                Txn().If(CreateRevisionOf(key_) == revision_, ModRevisionOf(ready_) < revision_).Then(Put(ready_, "")),
                deadline));
        if (opened.succeeded) return opened.header.revision;
        continue;
      }
      KEEL_RETURN_IF_ERROR(
          patience_.AwaitChange(ready_, {.start_revision = round.revision + 1, .without_deletes = true}, deadline)
              .status());
    }
  }

  // Takes our key away, unless the round has begun meanwhile: then it is ours to leave.
  absl::StatusOr<int64_t> GiveUp(absl::Status why) {
    if (patience_.session_lost()) return why;
    absl::StatusOr<TxnResponse> answer =
        patience_.client().kv().Commit(Txn()
                                           .If(CreateRevisionOf(key_) == revision_, ModRevisionOf(ready_) < revision_)
                                           .Then(Delete(key_))
                                           .Else(Get(ready_)),
                                       {.timeout = kLeaveTimeout, .repeat = Repeat::kAlways});
    if (!answer.ok() || answer->succeeded || absl::IsResourceExhausted(why)) {
      if (absl::IsResourceExhausted(why)) {
        (void)patience_.client().kv().Delete(key_, {}, {.timeout = kLeaveTimeout, .repeat = Repeat::kAlways});
      }
      return why;
    }
    if (answer->responses.size() == 1 && answer->responses[0].is_range() && !answer->responses[0].range().kvs.empty()) {
      const int64_t ready = answer->responses[0].range().kvs[0].mod_revision;
      if (ready > revision_) return ready;
    }
    return why;
  }

  absl::Status LeaveRound(int64_t round, absl::Time deadline) {
    while (true) {
      KEEL_ASSIGN_OR_RETURN(const Round now, Look(deadline));
      std::vector<KeyValue> inside;
      bool is_inside = false;
      for (const KeyValue& waiter : now.waiters) {
        if (waiter.create_revision >= round) continue;  // Of the next round.
        inside.push_back(waiter);
        is_inside = is_inside || waiter.create_revision == revision_;
      }
      if (inside.empty()) {
        if (now.ready != round) return absl::OkStatus();
        // The last one has died.
        return patience_.TryCommit(Txn().If(ModRevisionOf(ready_) == round).Then(Delete(ready_)), deadline).status();
      }
      const KeyValue& first = inside.front();
      if (first.create_revision == revision_ && inside.size() == 1) {
        // The last one turns off the light, unless the next round has lit it again.
        const Compare ours = CreateRevisionOf(key_) == revision_;
        return patience_
            .TryCommit(Txn()
                           .If(ours, ModRevisionOf(ready_) == round)
                           .Then(Delete(ready_), Delete(key_))
                           .Else(Txn().If(ours).Then(Delete(key_))),
                       deadline)
            .status();
      }
      // The first waits for the last, all others for the first: when it goes, nobody is inside.
      const bool is_first = first.create_revision == revision_;
      if (!is_first && is_inside) {
        KEEL_RETURN_IF_ERROR(
            patience_.TryCommit(Txn().If(CreateRevisionOf(key_) == revision_).Then(Delete(key_)), deadline).status());
      }
      KEEL_RETURN_IF_ERROR(patience_
                               .AwaitChange(is_first ? inside.back().key : first.key,
                                            {.start_revision = now.revision + 1, .without_puts = true}, deadline)
                               .status());
    }
  }

  Patience patience_;
  Ledger ledger_;
  const std::string waiters_;
  const std::string ready_;
  const int participants_;

  absl::Mutex turn_mu_;  // One Enter or Leave at a time. Before mu_.
  std::string key_ ABSL_GUARDED_BY(turn_mu_);
  int64_t revision_ ABSL_GUARDED_BY(turn_mu_) = 0;  // Of our key.
  mutable absl::Mutex mu_;
  int64_t token_ ABSL_GUARDED_BY(mu_) = 0;  // When the round began; 0: not inside.
};

}  // namespace client

DoubleBarrier::DoubleBarrier(Client& client, Session& session, std::string_view name, int participants)
    : meeting_(std::make_unique<client::Meeting>(client, session, name, participants)) {}

DoubleBarrier::~DoubleBarrier() = default;

absl::Status DoubleBarrier::Enter(absl::Time deadline) { return meeting_->Enter(deadline); }

absl::Status DoubleBarrier::Leave(absl::Time deadline) { return meeting_->Leave(deadline); }

void DoubleBarrier::Cancel() { meeting_->Cancel(); }

int64_t DoubleBarrier::token() const { return meeting_->token(); }

}  // namespace keel
