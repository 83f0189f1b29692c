#pragma once

// Keeps a copy of a prefix of one cluster in another: first what is there, then every change as it comes.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "keel/client.h"

namespace keel::ctl {

struct MirrorOptions {
  std::string prefix;
  std::string dest_prefix;     // Takes the place of `prefix` in the copy's keys.
  int64_t start_revision = 0;  // Not 0: only changes from this one on.
  size_t txn_ops_max = 128;    // Of the destination.
  // A key of the destination that holds the source's revision up to which the copy is complete; written in the same
  // transaction as what it speaks of, so that a mirror that starts again misses nothing and repeats nothing. Empty: no
  // memory.
  std::string position_key;
};

// Single-use; owned by one thread but for Cancel(). Both clients must outlive it.
class Mirror {
 public:
  // `copied` hears of every batch: keys written or deleted by it, and of how many in all for the first copy (0 later).
  using Progress = std::function<void(int64_t keys, int64_t total)>;

  Mirror(Client& source, Client& destination, MirrorOptions options, Progress copied);

  // Until something fails. kOutOfRange: the source has compacted what comes next; a copy from the start is needed.
  // `interrupted` is asked a few times a second; once it says yes, the mirror ends with kCancelled.
  absl::Status Run(const std::function<bool()>& interrupted);

 private:
  absl::StatusOr<int64_t> StoredPosition();
  // All pairs as of one revision, which is returned.
  absl::StatusOr<int64_t> CopyAll();
  absl::Status Follow(int64_t from_revision, const std::function<bool()>& interrupted);
  // `ops` in as few transactions as they fit in; the last one also notes that everything up to `position` is there.
  absl::Status Commit(std::vector<Op> ops, int64_t position);
  std::string DestinationKey(std::string_view key) const;

  Client& source_;
  Client& destination_;
  const MirrorOptions options_;
  const Progress copied_;
};

}  // namespace keel::ctl
