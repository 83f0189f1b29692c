#pragma once

// A lock among processes, in order of arrival, with a fencing token.
//
//   auto session = keel::Session::Open(client, {.ttl = absl::Seconds(10)});
//   keel::Mutex mutex(client, **session, "locks/report");
//   if (auto s = mutex.Lock(absl::Now() + absl::Seconds(30)); !s.ok()) return s;
//   disk.Write(data, mutex.fencing_token());  // The disk refuses tokens lower than one it has seen.
//   auto done = client.kv().Commit(mutex.Guard(keel::Txn().Then(keel::Put("report", data))));
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
class Turn;
}  // namespace client

// The key is name + "/" + the session's lease in lowercase hex, attached to the lease; whoever has the lowest
// create_revision below name + "/" holds the lock. Other languages' clients use the same keys, so they exclude each
// other. It excludes sessions, not threads: two Mutex objects of one session and name are the same holder. A waiter
// watches only the one before it. A helper key "__" + name + "/" + number goes with the object, or with the session: it
// keeps a request that was sent again, or comes late, from locking twice. Thread-safe; `client` and `session` must
// outlive it. The destructor does not unlock: the lock goes with Unlock() or with the session.
class Mutex {
 public:
  Mutex(Client& client, Session& session, std::string_view name);
  ~Mutex();
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  // Blocks until the lock is ours; OK at once if it is already. On any error the place in the queue is given up (as
  // far as the server can be reached; else it goes with the session).
  //   kDeadlineExceeded     `deadline` passed first
  //   kFailedPrecondition   "mutex: session is expired": the session was lost, before or while waiting
  //   others                as Kv::Commit, but the outcome is known: not held
  absl::Status Lock(absl::Time deadline = absl::InfiniteFuture());
  // True if it is ours now; false if somebody else has it. Never waits for another holder.
  absl::StatusOr<bool> TryLock(absl::Time deadline = absl::InfiniteFuture());
  // kFailedPrecondition "mutex: lock has already been released" if not locked. On other errors held() is false all the
  // same; the key then goes with the session, or with another Unlock().
  absl::Status Unlock();

  // False before anyone else can hold the lock: the answer goes by the session's clock (see Session), not by messages.
  // Between the answer and what is done with it time passes; only the token or Guard() closes that gap.
  bool held() const;
  // Grows with every holder of this name, for ever, also over deletions and restarts (it is the create_revision of the
  // key). 0 if never locked. The number of the last lock stays readable after it was lost.
  int64_t fencing_token() const;
  const std::string& key() const;
  // Of the response that made it ours.
  ResponseHeader header() const;

  // Holds if and only if the lock is still ours at the moment a transaction executes.
  Compare IsOwner() const;
  // The transaction with IsOwner() added to its conditions: a deposed holder changes nothing.
  Txn Guard(Txn txn) const;

 private:
  std::unique_ptr<client::Turn> turn_;
};

}  // namespace keel
