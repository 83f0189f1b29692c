#pragma once

// A lock among processes that many may share for reading and one has alone for writing.
//
//   keel::RwMutex mutex(client, session, "locks/catalogue");
//   if (auto s = mutex.LockShared(absl::Now() + absl::Seconds(30)); !s.ok()) return s;
//   auto pages = client.kv().Get("catalogue/", {.prefix = true});  // Nobody changes it meanwhile.
//   if (auto s = mutex.Unlock(); !s.ok()) return s;
//
//   if (auto s = mutex.Lock(absl::Now() + absl::Seconds(30)); !s.ok()) return s;
//   auto done = client.kv().Commit(mutex.Guard(keel::Txn().Then(keel::Put("catalogue/1", "new"))));
//   if (done.ok() && !done->succeeded) return LostTheLock();  // Nothing was written.
//   return mutex.Unlock();

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/session.h"
#include "keel/txn.h"

namespace keel {

namespace client {
class RwTurn;
}  // namespace client

// The key is name + "/read/" or name + "/write/" + a number of its own, attached to the session's lease. A writer waits
// for every key below name + "/" that was created before its own, a reader only for those of writers: all take turns in
// order of arrival, so that neither readers nor writers are starved. Other languages' clients that have the recipe use
// the same keys. A waiter watches only the last of those it waits for: the end of a writer wakes the readers behind it,
// who all go on, or one writer.
//
// Each object holds it for itself, in one mode at a time: two objects of one session exclude each other. It cannot be
// upgraded. A helper key "__" + name + "/" + number goes with it, or with the session. Thread-safe; `client` and
// `session` must outlive it. The destructor does not unlock: the lock goes with Unlock() or with the session.
class RwMutex {
 public:
  RwMutex(Client& client, Session& session, std::string_view name);
  ~RwMutex();
  RwMutex(const RwMutex&) = delete;
  RwMutex& operator=(const RwMutex&) = delete;

  // Block until it is ours, alone or shared with readers; OK at once if it is already ours so. On any error the place
  // in the queue is given up (as far as a server can be reached; else it goes with the session).
  //   kDeadlineExceeded     `deadline` passed first
  //   kFailedPrecondition   "rwmutex: session is expired", before or while waiting; or it is held in the other mode
  //   kCancelled            another thread called Unlock() meanwhile
  //   others                as Kv::Commit, but the outcome is known: not held
  absl::Status Lock(absl::Time deadline = absl::InfiniteFuture());
  absl::Status LockShared(absl::Time deadline = absl::InfiniteFuture());
  // True if it is ours now; false if somebody who excludes us has it or waits for it. They do not queue up.
  absl::StatusOr<bool> TryLock(absl::Time deadline = absl::InfiniteFuture());
  absl::StatusOr<bool> TryLockShared(absl::Time deadline = absl::InfiniteFuture());
  // Of either mode. kFailedPrecondition "rwmutex: lock has already been released" if not locked. On other errors it is
  // not held any more; the key then goes with the session, or with another Unlock().
  absl::Status Unlock();

  // False before anyone else can hold what excludes us (see Mutex::held()); in either mode, or alone.
  bool held() const;
  bool held_alone() const;
  // Grows with every holder of this name, for ever; that of a reader is greater than those of all writers before it and
  // less than those of all after it. 0 if never locked. Stays readable after the lock was lost.
  int64_t fencing_token() const;
  // Of the last lock; empty if never locked.
  std::string key() const;
  // Of the response that made it ours.
  ResponseHeader header() const;

  // Holds if and only if the lock is still ours at the moment a transaction executes.
  Compare IsOwner() const;
  // The transaction with IsOwner() added to its conditions: a deposed holder changes nothing.
  Txn Guard(Txn txn) const;

 private:
  std::unique_ptr<client::RwTurn> turn_;
};

}  // namespace keel
