#pragma once

// Work that must be done: workers take tasks, and a task whose worker dies is taken again.
//
//   keel::TaskQueue tasks(client, session, "tasks/thumbnails", {.attempts_max = 3});
//   auto id = tasks.Add("photo 17");  // From any process.
//   if (!id.ok()) return id.status();
//
//   auto task = tasks.Take(absl::Now() + absl::Seconds(30));
//   if (!task.ok()) return task.status();
//   std::cout << task->payload() << ", attempt " << task->attempt() << "\n";  // photo 17, attempt 1
//   // Its result is written if and only if it is completed, and by nobody else.
//   return task->Complete({keel::Put("thumbnails/17", data)});

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/session.h"
#include "keel/txn.h"

namespace keel {

namespace client {
class TaskBoard;
class TaskClaim;
}  // namespace client

struct TaskQueueOptions {
  // A task that so many workers have taken, and that none has completed, is not given out again but put among the dead.
  // 0: no limit.
  int attempts_max = 0;
};

// A task that is ours until it is completed, given back or buried, or until the session is lost. Movable. The
// destructor does nothing: a task that was not ended stays ours as long as the session lives. Thread-safe, like its
// queue, which it may outlive; client and session it may not.
class Task {
 public:
  explicit Task(std::shared_ptr<client::TaskClaim> claim);

  const std::string& id() const;
  const std::string& payload() const;
  int attempt() const;  // 1 for the first worker that takes it.

  // False before anyone else can take the task (see Mutex::held()), and once it was ended.
  bool held() const;
  // Grows with every taking of any task of the queue, for ever.
  int64_t fencing_token() const;
  // Holds if and only if the task is still ours at the moment a transaction executes.
  Compare IsOwner() const;
  // The transaction with IsOwner() added to its conditions: a deposed worker changes nothing.
  Txn Guard(Txn txn) const;

  // Each ends the task if it is still ours. When a call fails with a code of Kv::Commit, make it again: as long as the
  // session lives, it finds out whether the one before was executed.
  //   kFailedPrecondition   the task is not ours any more; nothing was done
  //   kUnknown              an answer was lost and the session with it: it may have been done
  // Done; `also` is executed in the same transaction.
  absl::Status Complete(std::vector<Op> also = {}, absl::Time deadline = absl::InfiniteFuture());
  // Back to the end of the line, for anybody. It counts as an attempt.
  absl::Status GiveBack(absl::Time deadline = absl::InfiniteFuture());
  // Among the dead, whatever its attempts.
  absl::Status Bury(absl::Time deadline = absl::InfiniteFuture());

 private:
  std::shared_ptr<client::TaskClaim> claim_;
};

struct DeadTask {
  std::string id = {};
  std::string payload = {};
};

struct TaskCounts {
  int64_t todo = 0;   // Not taken yet, or given back.
  int64_t doing = 0;  // Taken; those whose worker has died included.
  int64_t dead = 0;
};

// The keys, below name + "/": todo/ID and doing/ID hold the payload, owner/ID is attached to the session of the worker
// that has the task, the version of attempts/ID counts its takings, dead/ID is what was given up. A task is taken when
// doing/ID has no owner/ID: so one whose worker dies becomes free when the lease ends, and goes before all that is new.
// Otherwise the order is that of arrival. A new or freed task wakes all workers that wait; one gets it. No clock takes
// part but that of leases: who wants to pause before a task is tried again gives it back later, or takes it later. The
// recipe and its keys are Keel's own; a task may be added by putting todo/ID by hand, under an id that is not in use.
//
// At least once: a worker that dies after doing the work and before Complete leaves it to be done again. Writes through
// Guard() or Complete() happen once. Thread-safe; `client` and `session` must outlive it.
class TaskQueue {
 public:
  TaskQueue(Client& client, Session& session, std::string_view name, const TaskQueueOptions& options = {});
  ~TaskQueue();
  TaskQueue(const TaskQueue&) = delete;
  TaskQueue& operator=(const TaskQueue&) = delete;

  // Returns the task's id. kUnknown: it may have been added; it takes that no server could be reached until some time
  // after the deadline. After every other error it has not been, nor will be.
  absl::StatusOr<std::string> Add(std::string_view payload, absl::Time deadline = absl::InfiniteFuture());

  // Blocks for a task. kDeadlineExceeded: there was none. kFailedPrecondition "task queue: session is expired".
  // kCancelled: Cancel() was called. kUnknown: a task may have been taken; if it was, the next Take returns it.
  absl::StatusOr<Task> Take(absl::Time deadline = absl::InfiniteFuture());
  // nullopt: there is none just now.
  absl::StatusOr<std::optional<Task>> TryTake(absl::Time deadline = absl::InfiniteFuture());
  // Calls in progress and all later ones of this queue, but not of its tasks, return kCancelled.
  void Cancel();

  absl::StatusOr<TaskCounts> Counts(absl::Time deadline = absl::InfiniteFuture());
  // The first `limit` of them, by id.
  absl::StatusOr<std::vector<DeadTask>> Dead(int64_t limit = 100, absl::Time deadline = absl::InfiniteFuture());
  // Puts a dead task at the end of the line, with no attempts made. kNotFound: it is not among the dead (any more).
  absl::Status Revive(std::string_view id, absl::Time deadline = absl::InfiniteFuture());

 private:
  std::unique_ptr<client::TaskBoard> board_;
};

}  // namespace keel
