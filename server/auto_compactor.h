#pragma once

// When to drop old revisions without being asked, and which (--auto-compaction-mode, operations.md section 1.2).

#include <cstdint>
#include <deque>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/config.h"
#include "storage/revision.h"

namespace keel::server {

struct AutoCompactionRetention {
  absl::Duration period = absl::ZeroDuration();  // Periodic mode; zero: off.
  int64_t revisions = 0;                         // Revision mode; zero: off.
};

// --auto-compaction-retention: a duration or whole hours in periodic mode, a count in revision mode; "0" is off.
// kInvalidArgument says what is accepted.
absl::StatusOr<AutoCompactionRetention> ParseRetention(AutoCompactionMode mode, std::string_view text);

// The policy alone: told the time and the current revision, says what to compact. No thread, clock or I/O. Every member
// samples, so that a new leader knows the past; only the leader compacts.
//
// Periodic: the revision is sampled every tenth of min(period, 1 h). The first compaction comes one period after the
// start, the next ones every min(period, 1 h), each to the revision of one period ago.
// Revision: every 5 minutes to the current revision less the retention.
//
// Owned by one thread.
class AutoCompactor {
 public:
  AutoCompactor(AutoCompactionMode mode, const AutoCompactionRetention& retention, absl::Time now);

  bool enabled() const { return interval_ > absl::ZeroDuration(); }

  // Cheap when nothing is due. A revision that is returned is to be compacted now and answered with Compacted() when
  // that has succeeded; without it, the next sample tries again.
  std::optional<storage::Revision> Poll(absl::Time now, storage::Revision current, bool is_leader);
  void Compacted(storage::Revision revision, absl::Time now);

 private:
  struct Sample {
    absl::Time at;
    storage::Revision revision;
  };

  std::optional<storage::Revision> Target(absl::Time now, storage::Revision current) const;

  const AutoCompactionMode mode_;
  const AutoCompactionRetention retention_;
  const absl::Duration interval_;      // Between compactions; zero: off.
  const absl::Duration sample_every_;  // Also between attempts.
  absl::Time next_sample_;
  absl::Time not_before_;       // No compaction until then.
  std::deque<Sample> samples_;  // Oldest first; the oldest is the newest that is at least one period old.
  storage::Revision last_{0};   // Compacted to.
};

}  // namespace keel::server
