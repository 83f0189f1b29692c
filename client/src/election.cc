#include "keel/election.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/observer_core.h"
#include "client/src/turn.h"
#include "client/src/watch_stream.h"

namespace keel {
namespace client {
namespace {

const RangeOptions& FirstCreated() {
  static const RangeOptions options = {
      .prefix = true, .limit = 1, .sort_order = SortOrder::kAscend, .sort_target = SortTarget::kCreateRevision};
  return options;
}

}  // namespace

absl::StatusOr<LeaderResponse> ObserverCore::Next(absl::Time deadline) {
  absl::MutexLock next_lock(&next_mu_);
  while (true) {
    std::shared_ptr<Watcher> watcher;
    {
      absl::MutexLock lock(&mu_);
      if (cancelled_) return absl::CancelledError("the observer was cancelled");
      watcher = watcher_;
    }
    if (watcher == nullptr) {
      absl::StatusOr<std::optional<LeaderResponse>> leader = Look(deadline);
      if (!leader.ok()) {
        // The read has been repeated for as long as a call may take; an observer has more patience.
        if (!absl::IsUnavailable(leader.status()) && !absl::IsDeadlineExceeded(leader.status())) return leader.status();
        if (absl::Now() >= deadline) return absl::DeadlineExceededError(leader.status().message());
        continue;
      }
      if (leader->has_value() && IsNews((*leader)->kv)) return **std::move(leader);
      continue;
    }
    absl::StatusOr<WatchResponse> changes = watcher->Next(deadline);
    if (absl::IsOutOfRange(changes.status()) || (changes.ok() && changes->canceled)) {
      absl::MutexLock lock(&mu_);
      watcher_ = nullptr;
      continue;
    }
    if (!changes.ok()) return changes.status();
    std::optional<LeaderResponse> newest;
    for (Event& event : changes->events) {
      if (event.type == Event::Type::kDelete || !has_leader_) {
        // The leader has gone, or somebody has come: who is first now?
        absl::MutexLock lock(&mu_);
        watcher_ = nullptr;
        break;
      }
      newest = LeaderResponse{.header = changes->header, .kv = std::move(event.kv)};
    }
    if (newest && IsNews(newest->kv)) return *std::move(newest);
  }
}

bool ObserverCore::IsNews(const KeyValue& kv) {
  if (kv.key == seen_key_ && kv.mod_revision <= seen_revision_) return false;
  seen_key_ = kv.key;
  seen_revision_ = kv.mod_revision;
  return true;
}

absl::StatusOr<std::optional<LeaderResponse>> ObserverCore::Look(absl::Time deadline) {
  Kv kv(*core_);
  const absl::Duration timeout = std::min(deadline - absl::Now(), core_->options().timeout);
  KEEL_ASSIGN_OR_RETURN(RangeResponse found, kv.Get(prefix_, FirstCreated(), {.timeout = timeout}));
  has_leader_ = !found.kvs.empty();
  const WatchOptions on_prefix = {.prefix = true, .start_revision = found.header.revision + 1, .without_deletes = true};
  const WatchOptions on_key = {.start_revision = found.header.revision + 1};
  std::shared_ptr<Watcher> watcher(std::make_shared<Watcher>(
      WatchStream::Start(core_, has_leader_ ? found.kvs[0].key : prefix_, has_leader_ ? on_key : on_prefix, nullptr)));
  {
    absl::MutexLock lock(&mu_);
    if (cancelled_) return absl::CancelledError("the observer was cancelled");
    watcher_ = std::move(watcher);
  }
  if (!has_leader_) return std::optional<LeaderResponse>();
  return std::optional<LeaderResponse>(LeaderResponse{.header = found.header, .kv = std::move(found.kvs[0])});
}

void ObserverCore::Cancel() {
  absl::MutexLock lock(&mu_);
  cancelled_ = true;
  if (watcher_ != nullptr) watcher_->Cancel();
}

}  // namespace client

using client::Turn;

ElectionObserver::ElectionObserver(std::shared_ptr<client::ObserverCore> core) : core_(std::move(core)) {}

ElectionObserver::~ElectionObserver() { Cancel(); }

absl::StatusOr<LeaderResponse> ElectionObserver::Next(absl::Time deadline) { return core_->Next(deadline); }

void ElectionObserver::Cancel() { core_->Cancel(); }

Election::Election(Client& client, Session& session, std::string_view name)
    : client_(client), name_(name), turn_(std::make_unique<Turn>(client, session.core(), name, "election")) {}

Election::Election(Client& client, std::string_view name) : client_(client), name_(name) {}

Election::~Election() = default;

absl::Status Election::Campaign(std::string_view value, absl::Time deadline) {
  if (turn_ == nullptr) return absl::FailedPreconditionError("election: no session to campaign with");
  return turn_->Take(value, Turn::Wait::kYes, deadline).status();
}

absl::Status Election::Proclaim(std::string_view value, absl::Time deadline) {
  if (turn_ == nullptr) return absl::FailedPreconditionError("election: not leader");
  return turn_->Replace(value, deadline);
}

absl::Status Election::Resign() {
  if (turn_ == nullptr) return absl::OkStatus();
  return turn_->Leave().status();
}

absl::Status Election::HandOver(std::string_view candidate_key, absl::Time deadline) {
  if (turn_ == nullptr) return absl::FailedPreconditionError("election: not leader");
  return turn_->HandTo(candidate_key, deadline);
}

absl::StatusOr<std::vector<KeyValue>> Election::Candidates(const CallOptions& call) {
  KEEL_ASSIGN_OR_RETURN(
      RangeResponse found,
      client_.kv().Get(name_ + "/",
                       {.prefix = true, .sort_order = SortOrder::kAscend, .sort_target = SortTarget::kCreateRevision},
                       call));
  return std::move(found.kvs);
}

absl::StatusOr<LeaderResponse> Election::Leader(const CallOptions& call) {
  KEEL_ASSIGN_OR_RETURN(RangeResponse found, client_.kv().Get(name_ + "/", client::FirstCreated(), call));
  if (found.kvs.empty()) return absl::NotFoundError("election: no leader");
  return LeaderResponse{.header = found.header, .kv = std::move(found.kvs[0])};
}

std::unique_ptr<ElectionObserver> Election::Observe() {
  return std::make_unique<ElectionObserver>(
      std::make_shared<client::ObserverCore>(client_.core().shared_from_this(), name_ + "/"));
}

bool Election::is_leader() const { return turn_ != nullptr && turn_->has_turn(); }

int64_t Election::fencing_token() const { return turn_ == nullptr ? 0 : turn_->token(); }

const std::string& Election::key() const {
  static const std::string none;
  return turn_ == nullptr ? none : turn_->key();
}

ResponseHeader Election::header() const { return turn_ == nullptr ? ResponseHeader{} : turn_->header(); }

Compare Election::IsLeader() const {
  // An onlooker's key does not exist: a create_revision below zero never holds.
  return turn_ == nullptr ? CreateRevisionOf(name_ + "/") == -1 : turn_->IsOurs();
}

Txn Election::Guard(Txn txn) const { return std::move(txn).If(IsLeader()); }

}  // namespace keel
