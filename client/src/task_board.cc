#include "client/src/task_board.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/grant.h"

namespace keel::client {
namespace {

// New tasks looked at together, so that one that is snatched away need not be looked up again.
constexpr int64_t kLookMax = 8;

std::string IdOf(const std::string& key) { return key.substr(key.rfind('/') + 1); }

}  // namespace

std::string TaskKeys::Key(std::string_view folder, std::string_view id) const {
  return absl::StrCat(name_, "/", ToAbsl(folder), ToAbsl(id));
}

TaskClaim::TaskClaim(Client& client, std::shared_ptr<SessionCore> session, const TaskKeys& keys, Facts facts)
    : patience_(client, std::move(session), "task"), keys_(keys), facts_(std::move(facts)) {}

bool TaskClaim::held() const {
  {
    absl::MutexLock lock(&mu_);
    if (ended_) return false;
  }
  return !patience_.session_lost();
}

Compare TaskClaim::IsOwner() const { return CreateRevisionOf(keys_.Owner(facts_.id)) == facts_.token; }

absl::Status TaskClaim::End(std::vector<Op> ops, absl::Time deadline) {
  bool in_doubt = false;
  {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &TaskClaim::IsIdle));
    if (ended_) return absl::FailedPreconditionError(absl::StrCat("task: '", facts_.id, "' has been ended already"));
    ending_ = true;
    in_doubt = in_doubt_;
  }
  Txn txn = Txn().If(IsOwner()).Then(Delete(keys_.Owner(facts_.id)), Delete(keys_.Doing(facts_.id)));
  for (Op& op : ops) txn.Then(std::move(op));
  const absl::StatusOr<TxnResponse> answer = patience_.Try(deadline, [&](const CallOptions& call) {
    auto result = patience_.client().kv().Commit(txn, {.timeout = call.timeout});
    if (!result.ok() && !absl::IsUnavailable(result.status()) && IsWorthAnotherTry(result.status())) in_doubt = true;
    return result;
  });
  absl::Status status = answer.status();
  if (answer.ok() && !answer->succeeded && in_doubt && !patience_.session_lost()) {
    // The owner's key is gone, though the lease it was attached to lives: nobody but an earlier attempt of ours can
    // have deleted it.
    status = absl::OkStatus();
  } else if (in_doubt && patience_.session_lost() && !(answer.ok() && answer->succeeded)) {
    status = absl::UnknownError(
        absl::StrCat("task: whether '", facts_.id, "' was ended is unknown: an answer was lost, then the session"));
  } else if (answer.ok() && !answer->succeeded) {
    status = absl::FailedPreconditionError(absl::StrCat("task: '", facts_.id, "' is not ours any more"));
  }
  absl::MutexLock lock(&mu_);
  ending_ = false;
  in_doubt_ = in_doubt;
  if (status.ok() || absl::IsFailedPrecondition(status) || absl::IsUnknown(status)) ended_ = true;
  return status;
}

TaskBoard::TaskBoard(Client& client, Session& session, std::string_view name, const TaskQueueOptions& options)
    : client_(client),
      patience_(client, session.core(), "task queue"),
      ledger_(patience_, name),
      keys_(name),
      options_(options) {}

absl::StatusOr<std::string> TaskBoard::Add(std::string_view payload, absl::Time deadline) {
  while (true) {
    const std::string id = UniqueName();
    absl::StatusOr<Ledger::Outcome> added = ledger_.Commit(
        Txn()
            .If(VersionOf(keys_.Todo(id)) == 0, VersionOf(keys_.Doing(id)) == 0, VersionOf(keys_.Dead(id)) == 0)
            .Then(Put(keys_.Todo(id), payload)),
        deadline);
    if (absl::IsNotFound(added.status())) return patience_.Expired();
    if (!added.ok()) return added.status();
    if (added->succeeded) return id;
  }
}

absl::StatusOr<Task> TaskBoard::Take(absl::Time deadline) {
  // Between "owner/" and "todo0": what makes a task free is an owner that goes or a new task.
  const std::string todo = keys_.Todo();
  const auto frees_a_task = [&](const WatchResponse& response) {
    return std::any_of(response.events.begin(), response.events.end(), [&](const Event& event) {
      const bool is_todo = event.kv.key.compare(0, todo.size(), todo) == 0;
      return is_todo == (event.type == Event::Type::kPut);
    });
  };
  while (true) {
    int64_t revision = 0;
    KEEL_ASSIGN_OR_RETURN(std::optional<Task> task, TryTake(deadline, &revision));
    if (task.has_value()) return *std::move(task);
    KEEL_RETURN_IF_ERROR(patience_
                             .AwaitChange(keys_.Owner(), {.range_end = PrefixEnd(todo), .start_revision = revision + 1},
                                          deadline, frees_a_task)
                             .status());
  }
}

absl::StatusOr<std::optional<Task>> TaskBoard::TryTake(absl::Time deadline, int64_t* revision) {
  while (true) {
    KEEL_ASSIGN_OR_RETURN(const View view, Look(deadline));
    *revision = view.revision;
    std::map<std::string, std::string> lost;
    {
      absl::MutexLock lock(&mu_);
      lost.swap(lost_);
    }
    std::optional<Task> found;
    for (const auto& [id, mark] : lost) {
      const auto owner = view.owners.find(id);
      if (owner == view.owners.end() || owner->second.value != mark) continue;  // It was not taken, or ended since.
      absl::StatusOr<Task> claimed = absl::UnknownError("");
      if (!found.has_value()) claimed = Claimed(id, owner->second.create_revision, deadline);
      if (claimed.ok()) {
        found = *std::move(claimed);
      } else {
        absl::MutexLock lock(&mu_);
        lost_.emplace(id, mark);
      }
    }
    if (found.has_value()) return found;
    if (view.free.empty()) return std::nullopt;
    for (const Free& free : view.free) {
      KEEL_ASSIGN_OR_RETURN(std::optional<Task> task, Claim(free, deadline));
      if (task.has_value()) return task;
    }
    // All of them were snatched away; there may be more.
  }
}

absl::StatusOr<TaskBoard::View> TaskBoard::Look(absl::Time deadline) {
  KEEL_ASSIGN_OR_RETURN(const TxnResponse answer,
                        patience_.TryCommit(Txn().Then(Get(keys_.Doing(), {.prefix = true,
                                                                           .sort_order = SortOrder::kAscend,
                                                                           .sort_target = SortTarget::kCreateRevision,
                                                                           .keys_only = true}),
                                                       Get(keys_.Owner(), {.prefix = true}),
                                                       Get(keys_.Todo(), {.prefix = true,
                                                                          .limit = kLookMax,
                                                                          .sort_order = SortOrder::kAscend,
                                                                          .sort_target = SortTarget::kCreateRevision,
                                                                          .keys_only = true})),
                                            deadline));
  if (answer.responses.size() != 3) return patience_.NoAnswerFits();
  for (const OpResponse& response : answer.responses) {
    if (!response.is_range()) return patience_.NoAnswerFits();
  }
  View view{.revision = answer.header.revision};
  for (const KeyValue& owner : answer.responses[1].range().kvs) view.owners.emplace(IdOf(owner.key), owner);
  for (const KeyValue& doing : answer.responses[0].range().kvs) {
    const std::string id = IdOf(doing.key);
    if (view.owners.count(id) != 0) continue;
    view.free.push_back({.id = id, .key = doing.key, .mod_revision = doing.mod_revision, .is_orphan = true});
  }
  for (const KeyValue& todo : answer.responses[2].range().kvs) {
    view.free.push_back({.id = IdOf(todo.key), .key = todo.key, .mod_revision = todo.mod_revision});
  }
  return view;
}

absl::StatusOr<std::optional<Task>> TaskBoard::Claim(const Free& task, absl::Time deadline) {
  const std::string owner = keys_.Owner(task.id);
  const std::string attempts = keys_.Attempts(task.id);
  const std::string mark = absl::StrCat(absl::Hex(lease()), "-", absl::Hex(Random::EntropySeed(), absl::kZeroPad16));
  Txn claim = Txn()
                  .If(ModRevisionOf(task.key) == task.mod_revision, CreateRevisionOf(owner) == 0)
                  .Else(Get(task.key), Get(attempts), Get(owner));
  if (options_.attempts_max > 0) claim.If(VersionOf(attempts) < options_.attempts_max);
  std::string payload;
  if (!task.is_orphan) {
    // A transaction cannot copy a value. The guard is that the key has not changed since it was read.
    KEEL_ASSIGN_OR_RETURN(const RangeResponse read, patience_.TryGet(task.key, {}, deadline));
    if (read.kvs.empty() || read.kvs[0].mod_revision != task.mod_revision) return std::nullopt;
    payload = read.kvs[0].value;
    claim.Then(Delete(task.key), Put(keys_.Doing(task.id), payload));
  }
  claim.Then(Put(owner, mark).WithLease(lease()), Put(attempts, ""));
  absl::StatusOr<Ledger::Outcome> claimed = ledger_.Commit(claim, deadline);
  if (absl::IsNotFound(claimed.status())) return patience_.Expired();
  if (absl::IsUnknown(claimed.status())) {
    absl::MutexLock lock(&mu_);
    lost_.emplace(task.id, mark);
  }
  if (!claimed.ok()) return claimed.status();
  if (claimed->succeeded) {
    absl::StatusOr<Task> ours = Claimed(task.id, claimed->header.revision, deadline);
    if (!ours.ok()) {
      absl::MutexLock lock(&mu_);
      lost_.emplace(task.id, mark);  // The next Take finds it.
      return ours.status();
    }
    return *std::move(ours);
  }
  const std::vector<OpResponse>& seen = *claimed->responses;
  if (seen.size() != 3 || !seen[0].is_range() || !seen[1].is_range() || !seen[2].is_range()) {
    return patience_.NoAnswerFits();
  }
  const std::vector<KeyValue>& found = seen[0].range().kvs;
  const std::vector<KeyValue>& tried = seen[1].range().kvs;
  if (options_.attempts_max > 0 && !found.empty() && found[0].mod_revision == task.mod_revision && !tried.empty() &&
      tried[0].version >= options_.attempts_max && seen[2].range().kvs.empty()) {
    KEEL_RETURN_IF_ERROR(BuryWorn(task, found[0], tried[0], deadline));
  }
  return std::nullopt;
}

absl::StatusOr<Task> TaskBoard::Claimed(const std::string& id, int64_t token, absl::Time deadline) {
  KEEL_ASSIGN_OR_RETURN(const TxnResponse answer,
                        patience_.TryCommit(Txn().Then(Get(keys_.Doing(id)), Get(keys_.Attempts(id))), deadline));
  if (answer.responses.size() != 2 || !answer.responses[0].is_range() || !answer.responses[1].is_range()) {
    return patience_.NoAnswerFits();
  }
  const std::vector<KeyValue>& doing = answer.responses[0].range().kvs;
  const std::vector<KeyValue>& attempts = answer.responses[1].range().kvs;
  if (doing.empty()) return patience_.Expired();  // It was ours no longer, and somebody else has completed it.
  return Task(std::make_shared<TaskClaim>(
      client_, patience_.session(), keys_,
      TaskClaim::Facts{.id = id,
                       .payload = doing[0].value,
                       .attempt = attempts.empty() ? 1 : static_cast<int>(attempts[0].version),
                       .token = token}));
}

absl::Status TaskBoard::BuryWorn(const Free& task, const KeyValue& found, const KeyValue& attempts,
                                 absl::Time deadline) {
  return patience_
      .TryCommit(Txn()
                     .If(ModRevisionOf(task.key) == found.mod_revision, CreateRevisionOf(keys_.Owner(task.id)) == 0,
                         ModRevisionOf(attempts.key) == attempts.mod_revision)
                     .Then(Delete(task.key), Delete(attempts.key), Put(keys_.Dead(task.id), found.value)),
                 deadline)
      .status();
}

absl::StatusOr<TaskCounts> TaskBoard::Counts(absl::Time deadline) {
  const RangeOptions count = {.prefix = true, .count_only = true};
  KEEL_ASSIGN_OR_RETURN(
      const TxnResponse answer,
      patience_.TryCommit(Txn().Then(Get(keys_.Todo(), count), Get(keys_.Doing(), count), Get(keys_.Dead(), count)),
                          deadline));
  if (answer.responses.size() != 3) return patience_.NoAnswerFits();
  for (const OpResponse& response : answer.responses) {
    if (!response.is_range()) return patience_.NoAnswerFits();
  }
  return TaskCounts{.todo = answer.responses[0].range().count,
                    .doing = answer.responses[1].range().count,
                    .dead = answer.responses[2].range().count};
}

absl::StatusOr<std::vector<DeadTask>> TaskBoard::Dead(int64_t limit, absl::Time deadline) {
  KEEL_ASSIGN_OR_RETURN(RangeResponse found,
                        patience_.TryGet(keys_.Dead(), {.prefix = true, .limit = limit}, deadline));
  std::vector<DeadTask> dead;
  for (KeyValue& kv : found.kvs) dead.push_back({.id = IdOf(kv.key), .payload = std::move(kv.value)});
  return dead;
}

absl::Status TaskBoard::Revive(std::string_view id, absl::Time deadline) {
  const std::string key = keys_.Dead(id);
  KEEL_ASSIGN_OR_RETURN(const RangeResponse found, patience_.TryGet(key, {}, deadline));
  const absl::Status not_there =
      absl::NotFoundError(absl::StrCat("task queue: '", ToAbsl(id), "' is not among the dead"));
  if (found.kvs.empty()) return not_there;
  KEEL_ASSIGN_OR_RETURN(const Ledger::Outcome revived,
                        ledger_.Commit(Txn()
                                           .If(ModRevisionOf(key) == found.kvs[0].mod_revision)
                                           .Then(Delete(key), Put(keys_.Todo(id), found.kvs[0].value)),
                                       deadline));
  return revived.succeeded ? absl::OkStatus() : not_there;
}

}  // namespace keel::client
