#pragma once

// Transactions that are executed once, or not at all, and whose outcome is known.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/src/patience.h"
#include "keel/txn.h"

namespace keel::client {

// A write whose answer is lost may have been executed, or may still be: sent again it could be executed twice, and
// believed lost it could come later, when its effect has been undone already (an item taken, a place given up). So each
// transaction goes through a key of this object's own, a *page*: it is conditional on the page's mod_revision and puts
// its own mark there. Sent any number of times it is executed at most once; the page tells whether it was; and when we
// give up, turning the page makes sure that it never will be.
//
// Pages are "__" + name + "/" + a random number, and belong to a lease, the session's or one of our own, so that they
// go when we do. Transactions at the same time use pages of their own, which are used again. Thread-safe.
class Ledger {
 public:
  // `patience` must outlive it. Without a session it grants leases itself, as long as it is used.
  Ledger(Patience& patience, std::string_view name);
  // Has the pages deleted, without waiting for it; what cannot be goes with the lease.
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  struct Outcome {
    bool succeeded = false;      // The conditions held, and the Then branch was executed.
    ResponseHeader header = {};  // header.revision: when succeeded, of the transaction.
    // Of the branch that ran, as Kv::Commit gives them; unset when it succeeded and its answer was lost.
    std::optional<std::vector<OpResponse>> responses = std::nullopt;
  };

  // As Kv::Commit of `txn`, whose Else branch must not write. After kUnknown the outcome is unknown, which takes that
  // no server could be reached until some time after the deadline; after every other error nothing has been executed,
  // nor will be. Codes of Patience::Try. kNotFound: a lease named in `txn` is gone, or the session's.
  absl::StatusOr<Outcome> Commit(const Txn& txn, absl::Time deadline);

 private:
  struct Page {
    std::string key;
    int64_t revision = 0;    // mod_revision; 0: it does not exist.
    bool is_certain = true;  // That `revision` is right.
    // Something that is conditional on its absence may still be on its way, so it must not be deleted.
    bool must_stay = false;
  };

  // Owned by the caller until it is put back.
  std::unique_ptr<Page> TakePage();
  absl::StatusOr<LeaseId> Lease(absl::Time deadline);
  absl::StatusOr<Outcome> CommitOn(Page& page, LeaseId lease, const Txn& txn, absl::Time deadline);
  // Makes sure that nothing that is conditional on the page as it was will be executed any more. True if what had
  // `mark` has been executed before. Leaves the page certain on success.
  absl::StatusOr<bool> Turn(Page& page, LeaseId lease, const std::string& mark, absl::Time deadline);
  std::string NewMark();

  Patience& patience_;
  const std::string prefix_;

  absl::Mutex mu_;
  std::vector<std::unique_ptr<Page>> free_ ABSL_GUARDED_BY(mu_);
  uint64_t marks_ ABSL_GUARDED_BY(mu_) = 0;
  const uint64_t random_;
  LeaseId lease_ ABSL_GUARDED_BY(mu_) = 0;  // Our own.
  absl::Time granted_ ABSL_GUARDED_BY(mu_) = absl::InfinitePast();
};

}  // namespace keel::client
