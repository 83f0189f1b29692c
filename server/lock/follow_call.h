#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "server/lock/ownership_queue.h"
#include "server/lock/queue_core.h"

namespace keel::server {

// Follows the oldest key under a prefix for one observer. Everything but Cancel() runs on the queue's thread.
class FollowCall final : public QueueCall {
 public:
  using Item = OwnershipQueue::Follower::Item;
  using NextDone = absl::AnyInvocable<void(absl::StatusOr<Item>)>;

  FollowCall(QueueCore* core, std::string prefix) : QueueCall(core), prefix_(std::move(prefix)) {}

  void Begin() override;
  void Abort(absl::Status why) override;

  // The only waiting one.
  void Next(NextDone done);

 private:
  std::shared_ptr<FollowCall> Self() { return std::static_pointer_cast<FollowCall>(shared_from_this()); }

  // Finds the oldest key; follows it, or waits for a first one.
  void Look();
  void FollowKey(const std::string& key, storage::Revision from);
  void AwaitFirst(storage::Revision from);
  void StopWatching();
  void Emit(mvccpb::KeyValue kv, storage::Revision revision);
  void Deliver();

  const std::string prefix_;
  int64_t watch_ = 0;
  // What has been emitted last, so that a second look does not repeat it.
  std::string last_key_;
  int64_t last_mod_revision_ = 0;

  std::deque<Item> items_;  // At most kItemsMax; the oldest give way.
  absl::Status end_;        // Not OK: it has ended.
  NextDone waiting_;
};

}  // namespace keel::server
