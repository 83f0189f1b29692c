#include "keel/task_queue.h"

#include <utility>

#include "client/src/task_board.h"

namespace keel {

using client::TaskBoard;
using client::TaskClaim;

Task::Task(std::shared_ptr<TaskClaim> claim) : claim_(std::move(claim)) {}

const std::string& Task::id() const { return claim_->facts().id; }

const std::string& Task::payload() const { return claim_->facts().payload; }

int Task::attempt() const { return claim_->facts().attempt; }

bool Task::held() const { return claim_->held(); }

int64_t Task::fencing_token() const { return claim_->facts().token; }

Compare Task::IsOwner() const { return claim_->IsOwner(); }

Txn Task::Guard(Txn txn) const { return std::move(txn).If(IsOwner()); }

absl::Status Task::Complete(std::vector<Op> also, absl::Time deadline) {
  also.push_back(keel::Delete(claim_->keys().Attempts(id())));
  return claim_->End(std::move(also), deadline);
}

absl::Status Task::GiveBack(absl::Time deadline) {
  return claim_->End({keel::Put(claim_->keys().Todo(id()), payload())}, deadline);
}

absl::Status Task::Bury(absl::Time deadline) {
  return claim_->End({keel::Delete(claim_->keys().Attempts(id())), keel::Put(claim_->keys().Dead(id()), payload())},
                     deadline);
}

TaskQueue::TaskQueue(Client& client, Session& session, std::string_view name, const TaskQueueOptions& options)
    : board_(std::make_unique<TaskBoard>(client, session, name, options)) {}

TaskQueue::~TaskQueue() = default;

absl::StatusOr<std::string> TaskQueue::Add(std::string_view payload, absl::Time deadline) {
  return board_->Add(payload, deadline);
}

absl::StatusOr<Task> TaskQueue::Take(absl::Time deadline) { return board_->Take(deadline); }

absl::StatusOr<std::optional<Task>> TaskQueue::TryTake(absl::Time deadline) {
  int64_t revision = 0;
  return board_->TryTake(deadline, &revision);
}

void TaskQueue::Cancel() { board_->Cancel(); }

absl::StatusOr<TaskCounts> TaskQueue::Counts(absl::Time deadline) { return board_->Counts(deadline); }

absl::StatusOr<std::vector<DeadTask>> TaskQueue::Dead(int64_t limit, absl::Time deadline) {
  return board_->Dead(limit, deadline);
}

absl::Status TaskQueue::Revive(std::string_view id, absl::Time deadline) { return board_->Revive(id, deadline); }

}  // namespace keel
