#pragma once

// The Raft log on disk: append-only segment files with a checksum chained through their records.
// Format and recovery rules: storage/README.md. Thread contract: raft/stable_store.h.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "raft/core.h"
#include "raft/stable_store.h"

namespace keel::storage {

// Who fills and recycles spare segments. By the caller everything happens within the calls of the log, in one thread
// and so in one order: what a simulation needs.
enum class SpareWork { kOwnThread, kByCaller };

struct RaftLogOptions {
  std::string dir;  // Created when missing.
  uint64_t segment_bytes = 64u << 20;
  // Of a segment made when no spare is ready, the very first one included: it is filled while an append waits.
  uint64_t hasty_segment_bytes = 4u << 20;
  int spare_segments = 1;  // Zero-filled or recycled files kept ready, so that a sync changes no file metadata.
  SpareWork spare_work = SpareWork::kOwnThread;
  // Durations and bytes of writes, for metrics; may be null. Must outlive the log.
  class RaftLogObserver* observer = nullptr;
  // Where the files are; null: the machine's own disk. Must outlive the log.
  class Disk* disk = nullptr;
};

class RaftLogObserver {
 public:
  virtual ~RaftLogObserver() = default;
  // Bytes were written, which took `wrote`, and made durable, which took `synced`.
  virtual void OnSync(absl::Duration wrote, absl::Duration synced, size_t bytes) = 0;
};

class RaftLog : public raft::StableStore {
 public:
  // What recovery found.
  struct Recovered {
    raft::HardState hard_state;
    raft::EntryId start;  // The log begins after it; {0, 0} for a new one.
    std::vector<raft::TermRun> term_runs;
    std::vector<raft::MembershipRecord> memberships;  // Its membership entries, ascending.
    raft::Index last;
    uint64_t torn_bytes = 0;  // Bytes of an unfinished last write that were cut off.
  };

  // Opens or creates; cuts a torn tail. kDataLoss: damage before the tail; the message names file and offset and says
  // what to do. kFailedPrecondition: the format is newer. (A second process is kept out by DataDir's lock.)
  static absl::StatusOr<std::unique_ptr<RaftLog>> Open(const RaftLogOptions& options);
  ~RaftLog() override = default;

  virtual const Recovered& recovered() const = 0;
  virtual raft::Index first_index() const = 0;
  virtual raft::Index last_index() const = 0;
};

}  // namespace keel::storage
