#pragma once

// The one choke point before every call: whatever decides whether a caller may go on at all decides it here, in the
// order of rpc.md section 2.1.

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "server/api/call.h"
#include "server/member.h"

namespace keel::server {

// What a call is, as far as its admission depends on it.
enum class CallClass {
  kOrdinary,
  kLearnersToo,  // Answered by learners: Status, serializable Range, Snapshot.
};

// Thread-safe. Cheap: a few atomic reads per call.
class Admission {
 public:
  // `member` outlives it.
  explicit Admission(const Member* member) : member_(member) {}

  // Before every unary call and at the opening of every stream.
  //   kUnavailable         server stopped | no leader (only when the caller requires one)
  //   kFailedPrecondition  rpc not supported for learner; one that is joining serves nothing
  //   kInvalidArgument     invalid client api version
  absl::Status Admit(const Call& call, CallClass call_class = CallClass::kOrdinary) const;

  // Before the validation of Put, Txn and LeaseGrant: do `cost` more bytes fit? kResourceExhausted when not; the
  // member then also raises its own NOSPACE alarm.
  absl::Status AdmitBytes(int64_t cost);

  // Looks up again what is too dear to look up per call: the bytes in use, whether this member is a learner, and
  // whether it has a state at all. By one thread, several times a second.
  void Refresh();
  // From now on nobody is admitted.
  void Stop() { stopped_.store(true, std::memory_order_release); }

 private:
  bool IsLearner() const;

  const Member* const member_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> learner_{false};
  std::atomic<bool> joining_{false};
  // Bytes in use as of the last look, plus what was admitted since. Apply checks exactly; this keeps what cannot fit
  // out of the log.
  std::atomic<int64_t> bytes_estimate_{0};
};

}  // namespace keel::server
