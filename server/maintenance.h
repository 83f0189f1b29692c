#pragma once

// The housekeeping thread: removes compacted history in small steps, makes the state durable so that the log can be
// cut, compacts by itself when configured to, and takes back this member's NOSPACE alarm when there is room again.

#include <functional>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "raft/node.h"
#include "server/auto_compactor.h"
#include "server/config.h"
#include "server/proposer.h"
#include "server/space_alarm.h"
#include "storage/log/raft_log.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Thread-safe.
class Maintenance {
 public:
  struct Options {
    AutoCompactionMode auto_compaction_mode = AutoCompactionMode::kPeriodic;
    AutoCompactionRetention auto_compaction;
    uint64_t unflushed_log_bytes_max = 64u << 20;  // Of entries that only the log holds durably.
    absl::Duration unflushed_age_max = absl::Minutes(5);
    int64_t revisions_per_step = 1000;  // Of history looked at in one go.
    absl::Duration pause_between_steps = absl::Milliseconds(10);
    absl::Duration poll_interval = absl::Milliseconds(100);
    absl::Duration request_timeout = absl::Seconds(7);
    std::function<void(absl::Duration took)> saved = [](absl::Duration) {};  // The state was made durable.
    // One step of removing compacted history; `ended`: that was the last one, and all of it took so long.
    std::function<void(absl::Duration took, std::optional<absl::Duration> ended)> compacted =
        [](absl::Duration, std::optional<absl::Duration>) {};
  };

  // Starts the thread. Everything passed outlives it. `on_fatal` gets the error of a failed write, on that thread; it
  // must not call Stop().
  static std::unique_ptr<Maintenance> Start(const Options& options, const Clock* clock, storage::StateStore* store,
                                            const storage::RaftLog* log, raft::Node* node, Proposer* proposer,
                                            SpaceAlarm* space_alarm, std::function<void(absl::Status)> on_fatal);
  virtual ~Maintenance() = default;

  // Ends the thread after the step it is at; idempotent, blocks.
  virtual void Stop() = 0;
};

}  // namespace keel::server
