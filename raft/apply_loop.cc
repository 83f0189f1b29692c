#include "raft/apply_loop.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/thread_name.h"

namespace keel::raft {

ApplyLoop::ApplyLoop(Limits limits, Index applied, StateMachine* state_machine, StableStore* store,
                     LogWriter* log_writer, Mailbox* mailbox, AppliedWaiters* waiters, Failure* failure,
                     const Pace* pace)
    : limits_(limits),
      state_machine_(*state_machine),
      store_(*store),
      log_writer_(*log_writer),
      mailbox_(*mailbox),
      waiters_(*waiters),
      failure_(*failure),
      pace_(*pace),
      applied_(applied.value()),
      thread_([this] { Run(); }) {}

ApplyLoop::~ApplyLoop() { Stop(); }

void ApplyLoop::Apply(ApplyWork work) { queue_.Push(std::move(work)); }

void ApplyLoop::Install(SnapshotMeta meta) { queue_.Push(std::move(meta)); }

void ApplyLoop::Stop() {
  stopping_ = true;
  queue_.Close();
  if (thread_.joinable()) thread_.join();
}

void ApplyLoop::Run() {
  NameThread("apply");
  std::vector<Job> jobs;
  while (queue_.PopAll(&jobs)) {
    pace_.Follow();
    for (Job& job : jobs) {
      if (!Execute(job)) break;
    }
    if (!failure_.failed() && !stopping_) ApplyGroup();
    group_.clear();
    group_bytes_ = 0;
    jobs.clear();
  }
}

bool ApplyLoop::Execute(Job& job) {
  if (stopping_ || failure_.failed()) return false;
  if (auto* const work = std::get_if<ApplyWork>(&job)) {
    if (work->entries.empty()) return ExecuteFromLog(work->first, work->last);
    for (Entry& entry : work->entries) {
      if (!AddToGroup(std::move(entry))) return false;
    }
    return true;
  }
  if (!ApplyGroup()) return false;
  SnapshotMeta& meta = std::get<SnapshotMeta>(job);
  if (const absl::Status status = state_machine_.Install(meta); !status.ok()) {
    failure_.Report(absl::Status(status.code(), absl::StrCat("cannot install a snapshot: ", status.message())));
    return false;
  }
  const Index last = meta.last.index;
  // The core learns of it when the log has been cut, too.
  log_writer_.Reset(std::move(meta));
  SetApplied(last);
  return true;
}

bool ApplyLoop::ExecuteFromLog(Index first, Index last) {
  while (first <= last) {
    if (stopping_ || failure_.failed()) return false;
    absl::StatusOr<std::vector<Entry>> entries = store_.Read(first, last, limits_.batch_bytes_max);
    if (!entries.ok() || entries->empty()) {
      const absl::Status status = entries.ok() ? absl::DataLossError("the log has no such entry") : entries.status();
      failure_.Report(absl::Status(status.code(), absl::StrCat("cannot read committed entry ", first.value(),
                                                               " from the Raft log: ", status.message())));
      return false;
    }
    for (Entry& entry : *entries) {
      first = entry.id.index + 1;
      if (!AddToGroup(std::move(entry))) return false;
    }
  }
  return true;
}

bool ApplyLoop::AddToGroup(Entry entry) {
  if (!group_.empty() && group_bytes_ + entry.bytes() > limits_.batch_bytes_max && !ApplyGroup()) return false;
  group_bytes_ += entry.bytes();
  group_.push_back(std::move(entry));
  return group_.size() < limits_.batch_entries_max || ApplyGroup();
}

bool ApplyLoop::ApplyGroup() {
  if (group_.empty()) return true;
  if (stopping_ || failure_.failed()) return false;
  if (const absl::Status status = state_machine_.Apply(group_); !status.ok()) {
    failure_.Report(
        absl::Status(status.code(), absl::StrCat("cannot apply entries ", group_.front().id.index.value(), " to ",
                                                 group_.back().id.index.value(), ": ", status.message())));
    return false;
  }
  const Index last = group_.back().id.index;
  group_.clear();
  group_bytes_ = 0;
  mailbox_.PostApplied(last);
  SetApplied(last);
  return true;
}

void ApplyLoop::SetApplied(Index index) {
  applied_.store(index.value(), std::memory_order_release);
  waiters_.Advance(index);
}

}  // namespace keel::raft
