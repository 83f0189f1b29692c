#include "keel/barrier.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/src/ledger.h"
#include "client/src/patience.h"

namespace keel {
namespace client {

// Thread-safe.
class Gate {
 public:
  Gate(Client& client, std::string_view name)
      : key_(name), patience_(client, nullptr, "barrier"), ledger_(patience_, name) {}

  absl::Status Hold(absl::Time deadline) {
    KEEL_ASSIGN_OR_RETURN(const Ledger::Outcome held,
                          ledger_.Commit(Txn().If(VersionOf(key_) == 0).Then(Put(key_, "")), deadline));
    if (held.succeeded) return absl::OkStatus();
    return absl::AlreadyExistsError(absl::StrCat("barrier: '", key_, "' is held already"));
  }

  absl::Status Release(absl::Time deadline) {
    KEEL_ASSIGN_OR_RETURN(const RangeResponse found, patience_.TryGet(key_, {.keys_only = true}, deadline));
    if (found.kvs.empty()) return absl::OkStatus();
    // Guarded, so that a late repetition does not open a gate that was closed anew.
    return patience_
        .TryCommit(Txn().If(CreateRevisionOf(key_) == found.kvs[0].create_revision).Then(Delete(key_)), deadline)
        .status();
  }

  absl::Status Wait(absl::Time deadline) {
    KEEL_ASSIGN_OR_RETURN(RangeResponse found, patience_.TryGet(key_, {.keys_only = true}, deadline));
    while (!found.kvs.empty()) {
      KEEL_ASSIGN_OR_RETURN(
          const WatchResponse gone,
          patience_.AwaitChange(key_, {.start_revision = found.header.revision + 1, .without_puts = true}, deadline));
      // It was open for a moment, whatever it is now.
      if (!gone.events.empty()) return absl::OkStatus();
      KEEL_ASSIGN_OR_RETURN(found, patience_.TryGet(key_, {.keys_only = true}, deadline));
    }
    return absl::OkStatus();
  }

  void Cancel() { patience_.CallOff(); }

 private:
  const std::string key_;
  Patience patience_;
  Ledger ledger_;
};

}  // namespace client

Barrier::Barrier(Client& client, std::string_view name) : gate_(std::make_unique<client::Gate>(client, name)) {}

Barrier::~Barrier() = default;

absl::Status Barrier::Hold(absl::Time deadline) { return gate_->Hold(deadline); }

absl::Status Barrier::Release(absl::Time deadline) { return gate_->Release(deadline); }

absl::Status Barrier::Wait(absl::Time deadline) { return gate_->Wait(deadline); }

void Barrier::Cancel() { gate_->Cancel(); }

}  // namespace keel
