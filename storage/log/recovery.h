#pragma once

// What the files of a log directory say, read at open. Rules: storage/README.md.

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "storage/disk.h"
#include "storage/log/raft_log.h"
#include "storage/log/segment.h"

namespace keel::storage {

struct RecoveredLog {
  SegmentList segments;  // Empty: there is no log yet.
  RaftLog::Recovered facts;
  uint64_t next_sequence = 1;
  std::vector<std::string> obsolete;  // Paths of segments that a reset or a truncation made void, oldest first.
  std::vector<std::string> spares;    // Paths of files ready for reuse.
};

// Reads every segment, checks it, cuts a torn tail, and makes sure that the last write is on the disk. Removes
// unfinished spares. kDataLoss and kFailedPrecondition as RaftLog::Open.
absl::StatusOr<RecoveredLog> RecoverLog(Disk& disk, const std::string& dir);

}  // namespace keel::storage
