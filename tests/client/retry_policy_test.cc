#include "client/src/retry_policy.h"

#include <gtest/gtest.h>

namespace keel::client {
namespace {

using Code = absl::StatusCode;

constexpr CallState kRead = {.call_class = CallClass::kRepeatable, .is_write = false};
constexpr CallState kPut = {.call_class = CallClass::kOnce, .is_write = true};

CallState With(CallState call, int attempts, int endpoints, absl::Duration remaining = absl::Seconds(5)) {
  call.attempts = attempts;
  call.endpoints = endpoints;
  call.remaining = remaining;
  return call;
}

TEST(RetryPolicyTest, Table) {
  struct Case {
    const char* name;
    CallState call;
    AttemptResult result;
    bool retry;
    Code code;  // Reported when not retrying.
  };
  const Case kCases[] = {
      {"success", With(kPut, 1, 3), {Code::kOk, "", true}, false, Code::kOk},
      {"read, connection lost", With(kRead, 1, 3), {Code::kUnavailable, "Socket closed", true}, true, {}},
      {"read, refused", With(kRead, 1, 3), {Code::kUnavailable, "refused", false}, true, {}},
      {"read, server timed out",
       With(kRead, 1, 3),
       {Code::kUnavailable, "etcdserver: request timed out", true},
       true,
       {}},
      {"read, attempt timed out", With(kRead, 1, 3), {Code::kDeadlineExceeded, "", true}, true, {}},
      {"read, no time left",
       With(kRead, 3, 3, absl::ZeroDuration()),
       {Code::kDeadlineExceeded, "", true},
       false,
       Code::kDeadlineExceeded},
      {"read, never sent, no time left",
       With(kRead, 3, 3, absl::ZeroDuration()),
       {Code::kDeadlineExceeded, "", false},
       false,
       Code::kUnavailable},
      {"read, wrong request",
       With(kRead, 1, 3),
       {Code::kInvalidArgument, "etcdserver: key is not provided", true},
       false,
       Code::kInvalidArgument},
      {"read, compacted", With(kRead, 1, 3), {Code::kOutOfRange, "compacted", true}, false, Code::kOutOfRange},
      {"write, refused", With(kPut, 1, 3), {Code::kUnavailable, "refused", false}, true, {}},
      {"write, refused, one endpoint", With(kPut, 7, 1), {Code::kUnavailable, "refused", false}, true, {}},
      {"write, member without leader", With(kPut, 1, 3), {Code::kUnavailable, "etcdserver: no leader", true}, true, {}},
      {"write, connection lost after sending",
       With(kPut, 1, 3),
       {Code::kUnavailable, "Socket closed", true},
       false,
       Code::kUnknown},
      {"write, stream reset", With(kPut, 1, 3), {Code::kInternal, "RST_STREAM", true}, false, Code::kUnknown},
      {"write, server gave up waiting",
       With(kPut, 1, 3),
       {Code::kUnavailable, "etcdserver: request timed out", true},
       false,
       Code::kUnknown},
      {"write, deadline after sending",
       With(kPut, 1, 3, absl::ZeroDuration()),
       {Code::kDeadlineExceeded, "", true},
       false,
       Code::kDeadlineExceeded},
      {"write, server's deadline",
       With(kPut, 1, 3),
       {Code::kDeadlineExceeded, "context deadline exceeded", true},
       false,
       Code::kDeadlineExceeded},
      {"write, deadline while dialling",
       With(kPut, 1, 3, absl::ZeroDuration()),
       {Code::kDeadlineExceeded, "", false},
       false,
       Code::kUnavailable},
      {"write, refused by quota",
       With(kPut, 1, 3),
       {Code::kResourceExhausted, "space", true},
       false,
       Code::kResourceExhausted},
      {"write, learner",
       With(kPut, 1, 3),
       {Code::kFailedPrecondition, "etcdserver: rpc not supported for learner", true},
       true,
       {}},
      {"learner is the only endpoint",
       With(kPut, 1, 1),
       {Code::kFailedPrecondition, "etcdserver: rpc not supported for learner", true},
       false,
       Code::kFailedPrecondition},
      {"member change, cluster not healthy",
       With(kPut, 1, 3),
       {Code::kUnavailable, "etcdserver: unhealthy cluster", true},
       false,
       Code::kUnavailable},
  };
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    const Decision decision = Decide(c.call, c.result);
    EXPECT_EQ(decision.retry, c.retry);
    if (!c.retry) {
      EXPECT_EQ(decision.code, c.code);
    }
  }
}

TEST(RetryPolicyTest, ARepeatedWriteThatMayHaveRunIsNeverCalledUnexecuted) {
  CallState call = With({.call_class = CallClass::kRepeatable, .is_write = true}, 3, 3, absl::ZeroDuration());
  call.maybe_executed = true;
  const Decision decision = Decide(call, {Code::kUnavailable, "refused", false});
  EXPECT_FALSE(decision.retry);
  EXPECT_EQ(decision.code, Code::kUnknown);
}

TEST(RetryPolicyTest, FailFastTriesEachEndpointOnce) {
  CallState call = With(kPut, 1, 2);
  call.fail_fast = true;
  EXPECT_TRUE(Decide(call, {Code::kUnavailable, "refused", false}).retry);
  call.attempts = 2;
  EXPECT_FALSE(Decide(call, {Code::kUnavailable, "refused", false}).retry);
}

TEST(RetryPolicyTest, NobodyReachableEndsTheCallWhenPatienceDoes) {
  const AttemptResult refused = {Code::kUnavailable, "refused", false};
  CallState call = With(kRead, 3, 3);
  call.unreachable_for = absl::Seconds(1);
  call.patience = absl::Seconds(2);
  EXPECT_TRUE(Decide(call, refused).retry);
  call.unreachable_for = absl::Seconds(2);
  EXPECT_FALSE(Decide(call, refused).retry);
  EXPECT_EQ(Decide(call, refused).code, Code::kUnavailable);
  call.unreachable_for = std::nullopt;
  EXPECT_TRUE(Decide(call, refused).retry);
}

TEST(RetryPolicyTest, PausesOnlyAfterARoundOverTheEndpointsAndLongerEachTime) {
  const AttemptResult refused = {Code::kUnavailable, "refused", false};
  EXPECT_EQ(Decide(With(kRead, 1, 3), refused).delay, absl::ZeroDuration());
  EXPECT_EQ(Decide(With(kRead, 2, 3), refused).delay, absl::ZeroDuration());
  EXPECT_EQ(Decide(With(kRead, 3, 3), refused).delay, absl::Milliseconds(25));
  EXPECT_EQ(Decide(With(kRead, 6, 3), refused).delay, absl::Milliseconds(50));
  EXPECT_EQ(RoundBackoff(1000, 0.5), absl::Seconds(1));
}

TEST(RetryPolicyTest, OnlyRepeatableCallsKeepTimeForAnotherEndpoint) {
  EXPECT_EQ(AttemptTimeout(CallClass::kOnce, 3, absl::Seconds(4)), absl::Seconds(4));
  EXPECT_EQ(AttemptTimeout(CallClass::kRepeatable, 1, absl::Seconds(4)), absl::Seconds(4));
  EXPECT_EQ(AttemptTimeout(CallClass::kRepeatable, 3, absl::Seconds(4)), absl::Seconds(2));
  EXPECT_EQ(AttemptTimeout(CallClass::kRepeatable, 3, absl::Milliseconds(600)), absl::Milliseconds(500));
  EXPECT_EQ(AttemptTimeout(CallClass::kRepeatable, 3, absl::Milliseconds(300)), absl::Milliseconds(300));
}

}  // namespace
}  // namespace keel::client
