#include "client/src/ledger.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/boottime_clock.h"

namespace keel::client {
namespace {

// Of leases for those without a session. They are not renewed but replaced, at half their time.
constexpr absl::Duration kLeaseTtl = absl::Minutes(10);

}  // namespace

Ledger::Ledger(Patience& patience, std::string_view name)
    : patience_(patience), prefix_(absl::StrCat("__", ToAbsl(name), "/")), random_(Random::EntropySeed()) {}

Ledger::~Ledger() {
  const CallOptions call = {.timeout = kLeaveTimeout};
  absl::MutexLock lock(&mu_);
  if (patience_.session() == nullptr) {
    // Takes the pages along, and what is still on its way cannot be executed without it.
    if (lease_ != 0) patience_.client().leases().RevokeAsync(lease_, call, [](absl::StatusOr<LeaseRevokeResponse>) {});
    return;
  }
  if (patience_.session_lost()) return;
  for (const auto& page : free_) {
    if (page->revision == 0 || page->must_stay || !page->is_certain) continue;
    patience_.client().kv().DeleteAsync(page->key, {}, call, [](absl::StatusOr<DeleteResponse>) {});
  }
}

std::unique_ptr<Ledger::Page> Ledger::TakePage() {
  absl::MutexLock lock(&mu_);
  if (!free_.empty()) {
    std::unique_ptr<Page> page = std::move(free_.back());
    free_.pop_back();
    return page;
  }
  auto page = std::make_unique<Page>();
  page->key = absl::StrCat(prefix_, absl::Hex(random_, absl::kZeroPad16), "-", ++marks_);
  return page;
}

std::string Ledger::NewMark() {
  absl::MutexLock lock(&mu_);
  return absl::StrCat(++marks_);
}

absl::StatusOr<LeaseId> Ledger::Lease(absl::Time deadline) {
  if (patience_.session() != nullptr) return patience_.session()->lease();
  const absl::Time now = Boottime().Now();
  {
    absl::MutexLock lock(&mu_);
    if (now < granted_ + kLeaseTtl / 2) return lease_;
  }
  KEEL_ASSIGN_OR_RETURN(const LeaseGrantResponse granted, patience_.Try(deadline, [&](const CallOptions& call) {
    return patience_.client().leases().Grant(kLeaseTtl, {}, call);
  }));
  absl::MutexLock lock(&mu_);
  lease_ = granted.id;
  granted_ = now;
  return lease_;
}

absl::StatusOr<Ledger::Outcome> Ledger::Commit(const Txn& txn, absl::Time deadline) {
  KEEL_ASSIGN_OR_RETURN(const LeaseId lease, Lease(deadline));
  std::unique_ptr<Page> page = TakePage();
  absl::StatusOr<Outcome> outcome = CommitOn(*page, lease, txn, deadline);
  absl::MutexLock lock(&mu_);
  free_.push_back(std::move(page));
  return outcome;
}

absl::StatusOr<Ledger::Outcome> Ledger::CommitOn(Page& page, LeaseId lease, const Txn& txn, absl::Time deadline) {
  if (!page.is_certain) {
    const auto turned = patience_.Try(deadline, [&](const CallOptions&) { return Turn(page, lease, "", deadline); });
    if (!turned.ok()) return turned.status();
  }
  const std::string mark = NewMark();
  bool in_doubt = false;  // Something we sent may be executed yet, or has been.
  const auto give_up = [&](absl::Status status) -> absl::StatusOr<Outcome> {
    if (!in_doubt) return status;
    // A session that is lost takes the lease along that the transaction needs.
    if (patience_.session_lost()) return status;
    absl::StatusOr<bool> executed = Turn(page, lease, mark, std::max(deadline, absl::Now() + kLeaveTimeout));
    if (!executed.ok()) {
      return absl::UnknownError(absl::StrCat(patience_.recipe(), ": outcome unknown: ", status.message()));
    }
    if (*executed) return Outcome{.succeeded = true, .header = {.revision = page.revision}};
    return status;
  };
  while (true) {
    Txn once = txn;
    once.If(ModRevisionOf(page.key) == page.revision).Then(Put(page.key, mark).WithLease(lease)).Else(Get(page.key));
    absl::StatusOr<TxnResponse> answer = patience_.Try(deadline, [&](const CallOptions& call) {
      // Not kAlways: we must know that an attempt may have been executed.
      auto result = patience_.client().kv().Commit(once, {.timeout = call.timeout});
      if (!result.ok() && !absl::IsUnavailable(result.status()) && IsWorthAnotherTry(result.status())) {
        in_doubt = true;
        page.must_stay = page.must_stay || page.revision == 0;
      }
      return result;
    });
    if (!answer.ok()) return give_up(answer.status());
    if (answer->responses.empty()) return patience_.NoAnswerFits();
    const OpResponse own = std::move(answer->responses.back());
    answer->responses.pop_back();
    if (answer->succeeded) {
      page.revision = answer->header.revision;
      return Outcome{.succeeded = true, .header = answer->header, .responses = std::move(answer->responses)};
    }
    if (!own.is_range()) return patience_.NoAnswerFits();
    const int64_t found = own.range().kvs.empty() ? 0 : own.range().kvs[0].mod_revision;
    if (found == page.revision) {
      // The conditions of `txn` do not hold. What is still on its way must not find them holding later.
      if (in_doubt) {
        KEEL_ASSIGN_OR_RETURN(const bool executed, Turn(page, lease, mark, deadline));
        if (executed) return Outcome{.succeeded = true, .header = {.revision = page.revision}};
      }
      return Outcome{.succeeded = false, .header = answer->header, .responses = std::move(answer->responses)};
    }
    if (found != 0 && own.range().kvs[0].value == mark) {
      page.revision = found;
      return Outcome{.succeeded = true, .header = {.revision = found}};
    }
    // Our lease ran out while the page was not used; nobody else writes it.
    if (in_doubt || found != 0) {
      page.is_certain = false;
      return absl::UnknownError(absl::StrCat(patience_.recipe(), ": outcome unknown: ", page.key, " was changed"));
    }
    page.revision = 0;
  }
}

absl::StatusOr<bool> Ledger::Turn(Page& page, LeaseId lease, const std::string& mark, absl::Time deadline) {
  const std::string blank = absl::StrCat("-", NewMark());
  page.is_certain = false;
  // Not through Patience::Try: a caller that was called off still has to turn the page.
  const absl::Time until = std::min(deadline, absl::Now() + kLeaveTimeout);
  const auto commit = [&](const Txn& txn) {
    return patience_.client().kv().Commit(
        txn, {.timeout = std::max(until - absl::Now(), absl::ZeroDuration()), .repeat = Repeat::kAlways});
  };
  int64_t expected = page.revision;
  while (true) {
    KEEL_ASSIGN_OR_RETURN(const TxnResponse answer, commit(Txn()
                                                               .If(ModRevisionOf(page.key) == expected)
                                                               .Then(Put(page.key, blank).WithLease(lease))
                                                               .Else(Get(page.key))));
    if (answer.succeeded) {
      page.revision = answer.header.revision;
      page.is_certain = true;
      return false;
    }
    if (answer.responses.empty() || !answer.responses[0].is_range()) return patience_.NoAnswerFits();
    const std::vector<KeyValue>& now = answer.responses[0].range().kvs;
    const std::string value = now.empty() ? "" : now[0].value;
    const int64_t revision = now.empty() ? 0 : now[0].mod_revision;
    if (value == blank || (!mark.empty() && value == mark)) {
      page.revision = revision;
      page.is_certain = true;
      return value != blank;
    }
    // An older transaction or an older turn of the page has come through; what came before it cannot any more.
    expected = revision;
  }
}

}  // namespace keel::client
