#pragma once

// How recipes make calls and wait: for as long as the session lives, the deadline has not passed and nobody has called
// it off.

#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/src/retry_policy.h"
#include "client/src/session_core.h"
#include "keel/client.h"
#include "keel/kv.h"

namespace keel::client {

// For giving up a place, when the caller's own deadline may have passed already.
inline constexpr absl::Duration kLeaveTimeout = absl::Seconds(2);

// Thread-safe. `client` must outlive it.
class Patience {
 public:
  // `session` may be null: then only deadlines count. `recipe` begins the texts of errors.
  Patience(Client& client, std::shared_ptr<SessionCore> session, std::string_view recipe);

  // Forgets an earlier CallOff().
  void Begin();
  // Ends what waits, and what will wait until Begin(), with kCancelled.
  void CallOff();
  bool called_off() const;

  // Makes `call`, a function of CallOptions, until it succeeds or fails for good, whatever happens to connections and
  // leaders. The call must bear being executed twice. Errors of its own: Expired(), TooLate(), CalledOff().
  template <typename Call>
  auto Try(absl::Time deadline, Call call) -> decltype(call(CallOptions{})) {
    while (true) {
      absl::StatusOr<absl::Duration> timeout = AttemptTimeout(deadline);
      if (!timeout.ok()) return timeout.status();
      auto result = call(CallOptions{.timeout = *timeout, .repeat = Repeat::kAlways});
      if (StatusOf(result).ok() || !IsWorthAnotherTry(StatusOf(result))) return result;
      if (absl::Status paused = Pause(deadline); !paused.ok()) return paused;
    }
  }
  absl::StatusOr<TxnResponse> TryCommit(const Txn& txn, absl::Time deadline);
  absl::StatusOr<RangeResponse> TryGet(std::string_view key, const RangeOptions& options, absl::Time deadline);

  // Blocks until the watch tells of something that `counts`; an answer without events says that the caller must look
  // anew.
  absl::StatusOr<WatchResponse> AwaitChange(
      std::string_view key, const WatchOptions& options, absl::Time deadline,
      const std::function<bool(const WatchResponse&)>& counts = [](const WatchResponse&) { return true; });

  // kFailedPrecondition "RECIPE: session is expired"; also what a put with a lease that is gone means.
  absl::Status Expired() const;
  absl::Status TooLate() const;
  absl::Status CalledOff() const;
  absl::Status NoAnswerFits() const;  // The server's answer does not fit the request.

  bool session_lost() const { return session_ != nullptr && session_->state() == SessionState::kLost; }
  Client& client() const { return client_; }
  const std::shared_ptr<SessionCore>& session() const { return session_; }
  const std::string& recipe() const { return recipe_; }

 private:
  static const absl::Status& StatusOf(const absl::Status& status) { return status; }
  template <typename T>
  static const absl::Status& StatusOf(const absl::StatusOr<T>& result) {
    return result.status();
  }
  // How long one attempt may take; an error if there may be none.
  absl::StatusOr<absl::Duration> AttemptTimeout(absl::Time deadline) const;
  // Between attempts that failed at once.
  absl::Status Pause(absl::Time deadline);
  bool IsCalledOff() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return called_off_; }

  Client& client_;
  const std::shared_ptr<SessionCore> session_;
  const std::string recipe_;

  mutable absl::Mutex mu_;
  bool called_off_ ABSL_GUARDED_BY(mu_) = false;
  std::set<Watcher*> waiting_on_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::client
