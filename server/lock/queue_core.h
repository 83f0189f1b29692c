#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/random.h"
#include "proto/command.pb.h"
#include "server/apply/apply_result.h"
#include "server/lock/key_watches.h"
#include "server/lock/ownership_queue.h"
#include "server/lock/pending_call.h"
#include "server/lock/queue_thread.h"
#include "server/member.h"

namespace keel::server {

class QueueCore;

// A call in progress. The core keeps it alive until it has ended.
class QueueCall : public PendingCall, public std::enable_shared_from_this<QueueCall> {
 public:
  explicit QueueCall(QueueCore* core);

  void Cancel() final;

  // To the queue's thread; false when that has ended.
  bool Post(QueueThread::Task task) { return thread_->Post(std::move(task)); }

  // --- On the queue's thread.
  virtual void Begin() = 0;
  // Ends it with `why`, unless it has ended.
  virtual void Abort(absl::Status why) = 0;

 protected:
  QueueCore* const core_;  // On the queue's thread only.

 private:
  friend class QueueCore;

  const std::shared_ptr<QueueThread> thread_;
  bool entered_ = false;
};

// What the calls of an ownership queue share: the thread they run on, the watches, the way down to the keyspace.
// Members say from where they may be used.
class QueueCore {
 public:
  QueueCore(const Member* member, const OwnershipQueue::Options& options);
  ~QueueCore() { Stop(); }

  const Member& member() const { return *member_; }

  bool Poll() { return thread_->Poll(); }

  // --- Any thread.

  // Begin() follows on the queue's thread, or, when stopping or full, Abort() on this one.
  void Enter(std::shared_ptr<QueueCall> call);
  void Stop();
  // Outlives the core for those who call back late.
  const std::shared_ptr<QueueThread>& thread() const { return thread_; }

  // --- The queue's thread.

  void Leave(const std::shared_ptr<QueueCall>& call);
  KeyWatches* watches();
  Random* random() { return &random_; }

  // `then` runs on the queue's thread; not at all when that has ended meanwhile.
  void Submit(command::Command command, std::function<void(absl::StatusOr<ApplyResult>)> then);
  // Nobody waits for the outcome.
  void SubmitAndForget(command::Command command);
  // When everything committed by now can be read here.
  void ReadIndex(std::function<void(absl::Status)> then);

 private:
  absl::Time Deadline() const { return member_->clock->Now() + member_->limits.request_timeout; }

  const Member* const member_;
  const size_t calls_max_;
  std::atomic<size_t> call_count_{0};
  absl::flat_hash_set<std::shared_ptr<QueueCall>> calls_;
  std::unique_ptr<KeyWatches> watches_;  // Opened by the first that watches.
  Random random_;
  const std::shared_ptr<QueueThread> thread_ = std::make_shared<QueueThread>();
};

// The oldest key under `prefix`, as `view` shows it; nullopt: there is none. Not OK: the keyspace cannot be read.
absl::StatusOr<std::optional<mvccpb::KeyValue>> OldestUnder(const std::string& prefix,
                                                            const storage::KeyspaceReader& view);

}  // namespace keel::server
