#pragma once

// The algorithms of TaskQueue and Task; see there for the keys.

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "client/src/ledger.h"
#include "client/src/patience.h"
#include "keel/task_queue.h"

namespace keel::client {

// The names of the keys. A value.
class TaskKeys {
 public:
  explicit TaskKeys(std::string_view name) : name_(name) {}

  std::string Todo(std::string_view id = "") const { return Key("todo/", id); }
  std::string Doing(std::string_view id = "") const { return Key("doing/", id); }
  std::string Owner(std::string_view id = "") const { return Key("owner/", id); }
  std::string Attempts(std::string_view id = "") const { return Key("attempts/", id); }
  std::string Dead(std::string_view id = "") const { return Key("dead/", id); }

 private:
  std::string Key(std::string_view folder, std::string_view id) const;

  std::string name_;
};

// One taking of a task. Thread-safe.
class TaskClaim {
 public:
  struct Facts {
    std::string id;
    std::string payload;
    int attempt = 0;
    int64_t token = 0;  // create_revision of the owner's key.
  };

  TaskClaim(Client& client, std::shared_ptr<SessionCore> session, const TaskKeys& keys, Facts facts);

  const Facts& facts() const { return facts_; }
  bool held() const;
  Compare IsOwner() const;
  // Executes `ops` and lets go of the task, if it is still ours.
  absl::Status End(std::vector<Op> ops, absl::Time deadline);
  const TaskKeys& keys() const { return keys_; }

 private:
  Patience patience_;
  const TaskKeys keys_;
  const Facts facts_;

  mutable absl::Mutex mu_;
  bool ending_ ABSL_GUARDED_BY(mu_) = false;    // Some thread is at it.
  bool in_doubt_ ABSL_GUARDED_BY(mu_) = false;  // It may have been ended.
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  bool IsIdle() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !ending_; }
};

// Thread-safe.
class TaskBoard {
 public:
  TaskBoard(Client& client, Session& session, std::string_view name, const TaskQueueOptions& options);

  absl::StatusOr<std::string> Add(std::string_view payload, absl::Time deadline);
  absl::StatusOr<Task> Take(absl::Time deadline);
  // nullopt: there was none at `*revision`.
  absl::StatusOr<std::optional<Task>> TryTake(absl::Time deadline, int64_t* revision);
  void Cancel() { patience_.CallOff(); }
  absl::StatusOr<TaskCounts> Counts(absl::Time deadline);
  absl::StatusOr<std::vector<DeadTask>> Dead(int64_t limit, absl::Time deadline);
  absl::Status Revive(std::string_view id, absl::Time deadline);

 private:
  // A task that nobody has, as the keys showed it.
  struct Free {
    std::string id;
    std::string key;           // Where it stands: todo/ID, or doing/ID of a worker that died.
    int64_t mod_revision = 0;  // Of that key.
    bool is_orphan = false;
  };
  struct View {
    std::vector<Free> free;                  // In the order to take them.
    std::map<std::string, KeyValue> owners;  // By id.
    int64_t revision = 0;
  };

  absl::StatusOr<View> Look(absl::Time deadline);
  // nullopt: somebody else was quicker, or it was buried.
  absl::StatusOr<std::optional<Task>> Claim(const Free& task, absl::Time deadline);
  absl::StatusOr<Task> Claimed(const std::string& id, int64_t token, absl::Time deadline);
  // Puts a task that has had its attempts among the dead.
  absl::Status BuryWorn(const Free& task, const KeyValue& found, const KeyValue& attempts, absl::Time deadline);
  LeaseId lease() const { return patience_.session()->lease(); }

  Client& client_;
  Patience patience_;
  Ledger ledger_;
  const TaskKeys keys_;
  const TaskQueueOptions options_;

  absl::Mutex mu_;
  // Takings whose outcome is unknown: the id and the mark that its owner's key then has.
  std::map<std::string, std::string> lost_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::client
