#include "client/src/retry_policy.h"

#include <algorithm>

namespace keel::client {
namespace {

constexpr std::string_view kLearnerText = "etcdserver: rpc not supported for learner";

bool IsLearnerRefusal(const AttemptResult& result) {
  // Its code differs between releases; the text does not.
  return result.message == kLearnerText;
}

// The member stopped before it could say; another member can.
bool IsTransient(const AttemptResult& result) {
  switch (result.code) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:  // Of the attempt, or of the server; the call's own ends all retries.
      return true;
    case absl::StatusCode::kInternal:
      return true;  // A stream reset; servers of this protocol have no use of their own for this code.
    case absl::StatusCode::kUnknown:
      return result.message == "not a primary lessor" || result.message == "raft proposal dropped";
    default:
      return false;
  }
}

}  // namespace

bool SurelyNotExecuted(const AttemptResult& result) {
  if (!result.sent || IsLearnerRefusal(result)) return true;
  return result.code == absl::StatusCode::kUnavailable &&
         (result.message == "etcdserver: no leader" || result.message == "etcdserver: not capable" ||
          result.message == "etcdserver: unhealthy cluster");
}

Decision Decide(const CallState& call, const AttemptResult& result) {
  Decision decision;
  decision.code = result.code;
  if (result.code == absl::StatusCode::kOk) return decision;

  const bool transient = IsTransient(result);
  const bool not_executed = SurelyNotExecuted(result);
  const bool learner = IsLearnerRefusal(result);
  decision.blame_endpoint = transient || learner;

  bool may_retry = call.call_class == CallClass::kRepeatable ? transient : (transient && not_executed);
  // Nobody else to ask: a learner will not change its mind soon, and a cluster's health is no matter of the endpoint.
  if (learner) may_retry = call.endpoints > 1 && call.attempts < call.endpoints;
  if (result.message == "etcdserver: unhealthy cluster") may_retry = false;
  if (call.attempts_max > 0 && call.attempts >= call.attempts_max) may_retry = false;
  if (call.fail_fast && call.attempts >= call.endpoints) may_retry = false;
  if (call.unreachable_for && *call.unreachable_for >= call.patience) may_retry = false;
  if (may_retry) {
    const int round = call.attempts / std::max(call.endpoints, 1);
    const bool round_is_over = call.attempts % std::max(call.endpoints, 1) == 0;
    decision.delay = round_is_over ? RoundBackoff(round, call.jitter) : absl::ZeroDuration();
    decision.retry = decision.delay < call.remaining;
    if (decision.retry) return decision;
  }

  // The codes that end up with the caller say what is known, not what the last attempt happened to meet.
  if (transient) {
    const bool maybe = call.is_write && (call.maybe_executed || !not_executed);
    if (maybe) {
      if (result.code != absl::StatusCode::kDeadlineExceeded) decision.code = absl::StatusCode::kUnknown;
    } else if (not_executed) {
      decision.code = absl::StatusCode::kUnavailable;
    }
  }
  return decision;
}

bool IsWorthAnotherTry(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

absl::Duration AttemptTimeout(CallClass call_class, int endpoints, absl::Duration remaining) {
  if (call_class == CallClass::kOnce || endpoints <= 1) return remaining;
  return std::min(remaining, std::max(remaining / 2, absl::Milliseconds(500)));
}

absl::Duration RoundBackoff(int round, double jitter) {
  const int doublings = std::clamp(round - 1, 0, 10);
  const absl::Duration base = std::min(absl::Milliseconds(25) * (int64_t{1} << doublings), absl::Seconds(1));
  return base * (0.9 + 0.2 * jitter);
}

}  // namespace keel::client
