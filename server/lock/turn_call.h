#pragma once

#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "server/lock/ownership_queue.h"
#include "server/lock/queue_core.h"

namespace keel::server {

// One caller on its way to its turn: grant a lease, queue the key, wait for those ahead, confirm. Everything but
// Cancel() runs on the queue's thread.
class TurnCall final : public QueueCall {
 public:
  using Done = absl::AnyInvocable<void(absl::StatusOr<Turn>)>;

  TurnCall(QueueCore* core, TurnRequest request, Done done)
      : QueueCall(core), request_(std::move(request)), done_(std::move(done)) {}

  void Begin() override;
  void Abort(absl::Status why) override;

 private:
  std::shared_ptr<TurnCall> Self() { return std::static_pointer_cast<TurnCall>(shared_from_this()); }

  void OnLeaseGranted(const absl::StatusOr<ApplyResult>& result);
  void Queue();
  void OnQueued(const absl::StatusOr<ApplyResult>& result);
  void ReplaceValue();
  // Looks who is ahead; watches the nearest one, or goes on.
  void Look();
  void Confirm();
  void OnConfirmed(const absl::Status& status);
  void StopWatching();
  void Finish(absl::StatusOr<Turn> turn);
  // Takes back what it has put into the keyspace.
  void Withdraw();

  TurnRequest request_;
  Done done_;  // Empty once it has ended.
  bool granted_here_ = false;
  bool queued_ = false;
  bool waited_ = false;
  Turn turn_;
  int64_t ahead_watch_ = 0;
  int64_t own_watch_ = 0;
};

}  // namespace keel::server
