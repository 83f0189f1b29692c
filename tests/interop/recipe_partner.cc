#include "tests/interop/recipe_partner.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "keel/barrier.h"
#include "keel/double_barrier.h"
#include "keel/priority_queue.h"
#include "keel/queue.h"
#include "keel/rw_mutex.h"
#include "keel/session.h"

namespace keel::interop {
namespace {

absl::Time Soon() { return absl::Now() + absl::Seconds(20); }

absl::Status Check(bool held, std::string_view what) {
  return held ? absl::OkStatus() : absl::InternalError(absl::StrCat("recipes: ", ToAbsl(what)));
}

template <typename Items>
absl::Status Expect(Items& items, const std::string& value) {
  KEEL_ASSIGN_OR_RETURN(const QueueItem item, items.Dequeue(Soon()));
  return Check(item.value == value, absl::StrCat("got '", item.value, "', not '", value, "'"));
}

absl::Status Take(Client& client, Session& session) {
  Queue queue(client, "recipes/queue");
  KEEL_RETURN_IF_ERROR(Expect(queue, "go 1"));
  KEEL_RETURN_IF_ERROR(Expect(queue, "go 2"));
  KEEL_RETURN_IF_ERROR(queue.Enqueue("ours", Soon()));
  PriorityQueue priorities(client, "recipes/priorities");
  KEEL_RETURN_IF_ERROR(priorities.Enqueue("ours first", 1, Soon()));
  KEEL_RETURN_IF_ERROR(priorities.Enqueue("ours later", 9, Soon()));
  KEEL_RETURN_IF_ERROR(Expect(priorities, "ours first"));
  KEEL_RETURN_IF_ERROR(priorities.Enqueue("ours urgent", 0, Soon()));
  RwMutex lock(client, session, "recipes/lock");
  KEEL_ASSIGN_OR_RETURN(const bool alone, lock.TryLock(Soon()));
  KEEL_RETURN_IF_ERROR(Check(!alone, "we write while the other reads"));
  KEEL_ASSIGN_OR_RETURN(const bool shared, lock.TryLockShared(Soon()));
  KEEL_RETURN_IF_ERROR(Check(shared, "two readers do not share the lock"));
  return lock.Unlock();
}

absl::Status Wait(Client& client, Session& session) {
  RwMutex lock(client, session, "recipes/lock");
  KEEL_ASSIGN_OR_RETURN(const bool shared, lock.TryLockShared(Soon()));
  KEEL_RETURN_IF_ERROR(Check(!shared, "we read while the other writes"));
  KEEL_RETURN_IF_ERROR(lock.LockShared(Soon()));
  return lock.Unlock();
}

absl::Status Meet(Client& client, Session& session) {
  DoubleBarrier meeting(client, session, "recipes/meeting", 2);
  KEEL_RETURN_IF_ERROR(meeting.Enter(Soon()));
  return meeting.Leave(Soon());
}

}  // namespace

absl::Status UseRecipes(Client& client, std::string_view step) {
  KEEL_ASSIGN_OR_RETURN(const auto session, Session::Open(client, {.ttl = absl::Seconds(10)}));
  if (step == "take") return Take(client, *session);
  if (step == "wait") return Wait(client, *session);
  if (step == "pass") return Barrier(client, "recipes/gate").Wait(Soon());
  if (step == "meet") return Meet(client, *session);
  return absl::InvalidArgumentError(absl::StrCat("recipes: there is no step '", ToAbsl(step), "'"));
}

}  // namespace keel::interop
