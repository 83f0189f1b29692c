#pragma once

// The errors of the v3 protocol that the state machine itself gives, in their exact texts.

#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_format.h"

namespace keel::storage {

inline absl::Status CompactedError() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted");
}
inline absl::Status FutureRevisionError() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision");
}
inline absl::Status LeaseNotFoundError() { return absl::NotFoundError("etcdserver: requested lease not found"); }
inline absl::Status LeaseExistsError() { return absl::FailedPreconditionError("etcdserver: lease already exists"); }
inline absl::Status MemberNotFoundError() { return absl::NotFoundError("etcdserver: member not found"); }
inline absl::Status KeyNotFoundError() { return absl::InvalidArgumentError("etcdserver: key not found"); }

// Keel's own: a member that forgot what it promised.
inline absl::Status OtherDirectoryError(uint64_t member_id) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "member %x speaks from another data directory than the cluster knows it by: what it promised is lost; remove the "
      "member and add it again with an empty directory",
      member_id));
}
inline absl::Status OlderDirectoryError(uint64_t member_id) {
  return absl::FailedPreconditionError(absl::StrFormat(
      "the data directory of member %x is older than what the member has promised since; remove the member and add it "
      "again with an empty directory",
      member_id));
}

}  // namespace keel::storage
