#pragma once

// A number of places among processes: so many may be inside at once.
//
//   keel::Semaphore downloads(client, session, "limits/downloads", 3);
//   if (auto s = downloads.Acquire(absl::Now() + absl::Seconds(30)); !s.ok()) return s;
//   auto counted = client.kv().Commit(
//       downloads.Guard(keel::Txn().Then(keel::Put("downloads/last", std::to_string(downloads.fencing_token())))));
//   if (counted.ok() && !counted->succeeded) return LostTheLock();  // Our place has gone to somebody else.
//   return downloads.Release();

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
class Places;
}  // namespace client

// The places are the keys name + "/places/0" up to places - 1, attached to the session of their holder: there cannot be
// more holders than keys. Who finds none free, or others waiting, queues up at name + "/queue/" + a number. Those who
// wait watch the one before them; only the first watches the places, so that a release wakes one waiter, who on
// entering wakes the next to become the first. All participants agree on the number by the key name + "/limit", which
// the first of them creates and which stays; delete it, while nobody takes part, to choose another. The recipe and its
// keys are Keel's own.
//
// Each object has one place. A helper key "__" + name + "/" + number goes with it, or with the session. Thread-safe;
// `client` and `session` must outlive it. The destructor does not release: the place goes with Release() or with the
// session.
class Semaphore {
 public:
  static constexpr int kPlacesMax = 4096;

  // REQUIRES nothing: a number of places outside [1, kPlacesMax] is reported by Acquire.
  Semaphore(Client& client, Session& session, std::string_view name, int places);
  ~Semaphore();
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;

  // Blocks until a place is ours; OK at once if one is already. On any error the place in the queue is given up (as far
  // as a server can be reached; else it goes with the session).
  //   kInvalidArgument      the number of places is out of range
  //   kFailedPrecondition   the others count another number of places; or "semaphore: session is expired"
  //   kDeadlineExceeded     `deadline` passed first
  //   kCancelled            another thread called Release() meanwhile
  //   others                as Kv::Commit, but the outcome is known: not held
  absl::Status Acquire(absl::Time deadline = absl::InfiniteFuture());
  // True if a place is ours now; false if all are taken, or others wait. Does not queue up.
  absl::StatusOr<bool> TryAcquire(absl::Time deadline = absl::InfiniteFuture());
  // kFailedPrecondition "semaphore: place has already been released" if none was held. On other errors it is not held
  // any more; the key then goes with the session, or with another Release().
  absl::Status Release();

  // False before anyone else can have our place (see Mutex::held()).
  bool held() const;
  // Grows with every holder of any place of this name, for ever. 0 if never held. Stays readable after it was lost.
  int64_t fencing_token() const;
  // Of the last place; empty if never held.
  std::string key() const;
  // Of the response that made it ours.
  ResponseHeader header() const;

  // Holds if and only if the place is still ours at the moment a transaction executes.
  Compare IsOwner() const;
  // The transaction with IsOwner() added to its conditions: a deposed holder changes nothing.
  Txn Guard(Txn txn) const;

 private:
  std::unique_ptr<client::Places> places_;
};

}  // namespace keel
