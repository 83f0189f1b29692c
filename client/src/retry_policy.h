#pragma once

// The one place that decides what happens after a failed attempt. Pure: no clock, no randomness but what is passed in.
//
// What "surely not executed" rests on:
//   - the attempt never got a transport. CallBase hands a call to gRPC only once its channel is connected, so time that
//     runs out before that is known; and a call that gRPC itself refuses for want of a connection ends with a text of
//     its own and without an answer from any server (Connection::FailedToConnect);
//   - or the server says so: it answered with an error that it gives before it proposes anything.
// Everything else that ends a sent write early (broken connection, the server's own time-out, leadership lost) leaves
// its outcome unknown, and is never reported as kUnavailable.

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace keel::client {

enum class CallClass {
  kRepeatable,  // Executing it twice is as good as once: reads, grants, renewals, and writes with Repeat::kAlways.
  kOnce,        // Writes.
};

struct AttemptResult {
  absl::StatusCode code = absl::StatusCode::kOk;
  std::string_view message = {};
  bool sent = false;  // It may have reached a transport.
};

struct CallState {
  CallClass call_class = CallClass::kOnce;
  bool is_write = false;        // Repeating does not make its outcome known.
  bool maybe_executed = false;  // Some earlier attempt may have been executed.
  int attempts = 1;             // Made so far, this one included.
  int attempts_max = 0;         // 0: no limit.
  int endpoints = 1;            // To choose from.
  bool fail_fast = false;       // At most one round over the endpoints.
  // For how long every endpoint has refused to be connected to. Unset: some has not, or has not been tried.
  std::optional<absl::Duration> unreachable_for = std::nullopt;
  absl::Duration patience = absl::InfiniteDuration();  // How long to go on then.
  absl::Duration remaining = absl::ZeroDuration();     // Until the call's deadline.
  double jitter = 0.5;                                 // Uniform in [0, 1).
};

struct Decision {
  bool retry = false;
  absl::Duration delay = absl::ZeroDuration();    // Before the retry, on another endpoint if there is one.
  bool blame_endpoint = false;                    // Prefer others for a while.
  absl::StatusCode code = absl::StatusCode::kOk;  // To report, when not retrying. The text is the server's.
};

// True if an attempt that ended so has certainly not been executed.
bool SurelyNotExecuted(const AttemptResult& result);

Decision Decide(const CallState& call, const AttemptResult& result);

// True if a call that has ended so may end otherwise when it is made anew, for those who can bear its being executed
// twice.
bool IsWorthAnotherTry(const absl::Status& status);

// How long one attempt may take. A repeatable call keeps time for another endpoint when this one hangs.
absl::Duration AttemptTimeout(CallClass call_class, int endpoints, absl::Duration remaining);

// Pause before round `round` (from 1) over the endpoints: 25 ms, doubled up to 1 s, 20 % jitter.
absl::Duration RoundBackoff(int round, double jitter);

}  // namespace keel::client
