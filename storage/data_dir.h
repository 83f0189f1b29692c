#pragma once

// A member's directory on disk, and who it belongs to:
//
//   <data-dir>/            0700
//     MEMBER               identity: format, cluster id, member id, name, the directory's own id, and how many times a
//                          member was started on it (text; always replaced as a whole)
//     LOCK                 held while a process uses the directory
//     log/                 the Raft log
//     state/               the state machine
//     incoming/            snapshots on their way in; emptied at start

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::storage {

struct MemberIdentity {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  std::string name;
  // The directory's own: a random number that no other has, and a count of starts. Whoever is told them can tell this
  // directory from another under the same member id, and from an older copy of itself.
  uint64_t directory_id = 0;  // 0: not chosen yet.
  uint64_t starts = 0;

  friend bool operator==(const MemberIdentity&, const MemberIdentity&) = default;
};

// Owns the lock for as long as it lives.
class DataDir {
 public:
  // Creates the directory when missing (and nothing else in it but LOCK). kFailedPrecondition: another process holds
  // it, or it is of a newer format; kPermissionDenied, kResourceExhausted (disk full), kDataLoss (unreadable identity):
  // the message says which path and what to do.
  static absl::StatusOr<std::unique_ptr<DataDir>> Open(const std::string& path);
  virtual ~DataDir() = default;

  // nullopt: not bootstrapped yet.
  virtual const std::optional<MemberIdentity>& identity() const = 0;
  // Written last in a bootstrap: a directory without it is not a member's yet and may be bootstrapped again. Chooses
  // the directory's id when it is 0.
  virtual absl::Status WriteIdentity(const MemberIdentity& identity) = 0;
  // Counts one more start, durably. Before anything is promised to anybody.
  // REQUIRES: identity().
  virtual absl::Status CountStart() = 0;

  virtual std::string log_dir() const = 0;
  virtual std::string state_dir() const = 0;
  virtual std::string incoming_dir() const = 0;
  virtual const std::string& path() const = 0;
};

}  // namespace keel::storage
