#pragma once

// A place in the queue below a name: what Mutex and Election have in common.

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/src/ledger.h"
#include "client/src/patience.h"
#include "client/src/session_core.h"
#include "keel/client.h"
#include "keel/kv.h"
#include "keel/txn.h"

namespace keel::client {

// The key is name + "/" + hex(lease), attached to the lease. Whoever has the lowest create_revision below name + "/"
// has the turn; everybody else watches the key just before their own, so that a departure wakes one. What creates or
// changes the key goes through the Ledger, what deletes it names its create_revision: sent again, or delivered late,
// neither does anything to a later place. Thread-safe; `client` must outlive it.
class Turn {
 public:
  // `recipe` begins the texts of errors: "mutex" or "election".
  Turn(Client& client, std::shared_ptr<SessionCore> session, std::string_view name, std::string_view recipe);

  // Whether to stay in the queue when somebody is before us.
  enum class Wait { kYes, kNo };

  // Queues up with `value` in the key, and waits for the turn. True: it is ours. False: it is not, and Wait::kNo was
  // given. On false and on errors the place in the queue has been given up as far as the server could be reached.
  absl::StatusOr<bool> Take(std::string_view value, Wait wait, absl::Time deadline);
  // Puts another value into the key, provided that the turn is still ours.
  absl::Status Replace(std::string_view value, absl::Time deadline);
  // Gives up the turn, provided that the queue's next is `key`: then it is theirs, and nobody else's can come between.
  absl::Status HandTo(std::string_view key, absl::Time deadline);
  // Gives up the turn or the place in the queue; a waiting Take() returns kCancelled. False if there was neither.
  absl::StatusOr<bool> Leave();

  // By the session's clock; see Session.
  bool has_turn() const;
  int64_t token() const { return token_.load(std::memory_order_acquire); }
  const std::string& key() const { return key_; }
  ResponseHeader header() const;
  // Holds as long as the key of this turn exists.
  Compare IsOurs() const { return CreateRevisionOf(key_) == token(); }

 private:
  struct Place {
    int64_t revision = 0;  // create_revision of our key; 0: it does not exist.
    bool is_first = false;
    ResponseHeader header;
  };

  // On errors `place` tells what there is to give up.
  absl::Status Enqueue(std::string_view value, absl::Time deadline, Place* place);
  // Into our key, if it has this create_revision. kFailedPrecondition: it has not.
  absl::Status PutValue(std::string_view value, int64_t revision, absl::Time deadline);
  // Until nobody is before `place`. Returns the header of the answer that showed it.
  absl::StatusOr<ResponseHeader> WaitForTurn(const Place& place, absl::Time deadline);
  // Who is before us, and our own key. At `revision` if a member has it at once; else, and for 0, now, with `revision`
  // set to 0.
  absl::StatusOr<TxnResponse> Look(const Place& place, int64_t& revision, absl::Time deadline);
  // The revision at which it was deleted, or 0: look anew.
  absl::StatusOr<int64_t> WaitForDelete(const std::string& key, int64_t from_revision, absl::Time deadline);
  // Deletes our key if it has this create_revision.
  absl::Status DeleteKey(int64_t revision);
  // Deletes our key, if there is one, whoever made it for us.
  absl::Status DeleteWhatThereIs();
  LeaseId lease() const { return patience_.session()->lease(); }
  bool session_lost() const { return patience_.session_lost(); }
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !taking_; }

  Patience patience_;         // Called off: Leave() came while some thread was in Take().
  const std::string prefix_;  // name + "/"
  const std::string key_;
  Ledger ledger_;

  std::atomic<int64_t> token_ = 0;  // create_revision of the last turn we had.
  mutable absl::Mutex mu_;
  bool taking_ ABSL_GUARDED_BY(mu_) = false;  // Some thread is in Take().
  bool ours_ ABSL_GUARDED_BY(mu_) = false;
  int64_t queued_ ABSL_GUARDED_BY(mu_) = 0;  // create_revision of our key, which may exist; 0: it does not.
  ResponseHeader header_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::client
