#pragma once

// What one object of a recipe holds under its session, or is waiting for.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/src/patience.h"
#include "keel/txn.h"

namespace keel::client {

// The bookkeeping that locks have in common: one thread acquires at a time, another may call it off, and what is held
// counts only while the session lives. Thread-safe; `client` must outlive it.
class Grant {
 public:
  struct Held {
    std::string key;
    int64_t token = 0;  // create_revision of the key.
    int mode = 0;       // The recipe's own.
    ResponseHeader header;
  };

  Grant(Client& client, std::shared_ptr<SessionCore> session, std::string_view recipe)
      : patience_(client, std::move(session), recipe) {}

  // Unless something is held already: runs `acquire`, which may block, and keeps what it returns; nullopt: it is
  // somebody else's. On nullopt and errors `acquire` has left no place behind. True if held now. kFailedPrecondition if
  // held in another mode.
  absl::StatusOr<bool> Acquire(int mode, absl::Time deadline,
                               const std::function<absl::StatusOr<std::optional<Held>>()>& acquire);
  // Deletes the key of what is held, or calls off who acquires. False if there was neither. On errors nothing is held
  // any more, and another Release tries again to delete the key.
  absl::StatusOr<bool> Release();

  // By the session's clock; see Session.
  bool held() const;
  std::optional<int> mode() const;  // Of what is held; unset if nothing is.
  // Of what is or was held last.
  int64_t token() const;
  std::string key() const;
  ResponseHeader header() const;
  // Holds as long as the key of what was held last exists; never if nothing ever was.
  Compare IsOurs() const;

  // Deletes `key` if it has this create_revision (0: whichever), without much patience. OK when the session is lost,
  // which takes its keys along.
  absl::Status DeleteKey(const std::string& key, int64_t revision);

  Patience& patience() { return patience_; }

 private:
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !acquiring_; }

  Patience patience_;
  mutable absl::Mutex mu_;
  bool acquiring_ ABSL_GUARDED_BY(mu_) = false;
  bool called_off_ ABSL_GUARDED_BY(mu_) = false;  // Release() came while acquiring.
  bool ours_ ABSL_GUARDED_BY(mu_) = false;
  bool has_key_ ABSL_GUARDED_BY(mu_) = false;  // The key of last_ may exist.
  Held last_ ABSL_GUARDED_BY(mu_);
};

// A key that no other object has: unix nanoseconds, as other clients of these recipes use.
std::string UniqueName();

}  // namespace keel::client
