#pragma once

// The errors of the v3 protocol that the state machine itself gives, in their exact texts.

#include "absl/status/status.h"

namespace keel::storage {

inline absl::Status CompactedError() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted");
}
inline absl::Status FutureRevisionError() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision");
}
inline absl::Status LeaseNotFoundError() { return absl::NotFoundError("etcdserver: requested lease not found"); }
inline absl::Status LeaseExistsError() { return absl::FailedPreconditionError("etcdserver: lease already exists"); }
inline absl::Status KeyNotFoundError() { return absl::InvalidArgumentError("etcdserver: key not found"); }

}  // namespace keel::storage
