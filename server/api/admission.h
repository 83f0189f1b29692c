#pragma once

// The one choke point before every call: whatever decides whether a caller may go on at all decides it here, in the
// order of rpc.md section 2.1.

#include <atomic>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/time/time.h"
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
  // `member` outlives it. Clients that are told "no leader" end their watch for good, so a leader whose loss is younger
  // than `election_timeout` still counts as there (a follower hears of a leader's death at once, and of the next leader
  // some milliseconds later), and so does one that a member which has just started has not heard of yet.
  Admission(const Member* member, absl::Duration election_timeout);

  // Before every unary call and at the opening of every stream.
  //   kUnavailable         server stopped | no leader (only when the caller requires one)
  //   kFailedPrecondition  rpc not supported for learner; one that is joining serves nothing
  //   kInvalidArgument     invalid client api version
  absl::Status Admit(const Call& call, CallClass call_class = CallClass::kOrdinary) const;

  // Before the validation of Put, Txn and LeaseGrant: do `cost` more bytes fit? kResourceExhausted when not; the
  // member then also raises its own NOSPACE alarm.
  absl::Status AdmitBytes(int64_t cost);

  // Looks up again what is too dear to look up per call: the bytes in use, whether this member is a learner, and
  // whether it has a state at all; and whether there is a leader. By one thread, several times a second.
  void Refresh();
  // From now on nobody is admitted.
  void Stop() { stopped_.store(true, std::memory_order_release); }

 private:
  bool IsLeaderless() const;

  const Member* const member_;
  const absl::Duration election_timeout_;
  std::atomic<bool> stopped_{false};
  std::atomic<bool> learner_{false};
  std::atomic<bool> joining_{false};
  // When the last look found a leader, as absl::ToUnixNanos(); at first, the start.
  std::atomic<int64_t> leader_seen_nanos_;
  // Bytes in use as of the last look, plus what was admitted since. Apply checks exactly; this keeps what cannot fit
  // out of the log.
  std::atomic<int64_t> bytes_estimate_{0};
};

}  // namespace keel::server
