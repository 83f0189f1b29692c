#include "keel/mutex.h"

#include <utility>

#include "base/status_macros.h"
#include "client/src/turn.h"

namespace keel {

using client::Turn;

Mutex::Mutex(Client& client, Session& session, std::string_view name)
    : turn_(std::make_unique<Turn>(client, session.core(), name, "mutex")) {}

Mutex::~Mutex() = default;

absl::Status Mutex::Lock(absl::Time deadline) { return turn_->Take("", Turn::Wait::kYes, deadline).status(); }

absl::StatusOr<bool> Mutex::TryLock(absl::Time deadline) { return turn_->Take("", Turn::Wait::kNo, deadline); }

absl::Status Mutex::Unlock() {
  KEEL_ASSIGN_OR_RETURN(const bool was_locked, turn_->Leave());
  return was_locked ? absl::OkStatus() : absl::FailedPreconditionError("mutex: lock has already been released");
}

bool Mutex::held() const { return turn_->has_turn(); }

int64_t Mutex::fencing_token() const { return turn_->token(); }

const std::string& Mutex::key() const { return turn_->key(); }

ResponseHeader Mutex::header() const { return turn_->header(); }

Compare Mutex::IsOwner() const { return turn_->IsOurs(); }

Txn Mutex::Guard(Txn txn) const { return std::move(txn).If(IsOwner()); }

}  // namespace keel
