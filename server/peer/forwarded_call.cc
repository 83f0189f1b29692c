#include "server/peer/forwarded_call.h"

#include <algorithm>
#include <utility>

#include "base/clock.h"
#include "base/grpc_status.h"

namespace keel::server {
namespace {

constexpr absl::Duration kForEver = absl::Hours(24);

}  // namespace

std::chrono::system_clock::time_point ToGrpcDeadline(absl::Time deadline) {
  const absl::Duration left = std::min(std::max(deadline - Clock::Real().Now(), absl::ZeroDuration()), kForEver);
  return std::chrono::system_clock::now() + absl::ToChronoMicroseconds(left);
}

absl::Time FromGrpcDeadline(std::chrono::system_clock::time_point deadline) {
  const auto now = std::chrono::system_clock::now();
  const absl::Time here = Clock::Real().Now();
  if (deadline - now > absl::ToChronoHours(kForEver)) return here + kForEver;
  return here + absl::FromChrono(deadline - now);
}

void ForwardedCall::Ending::End(const absl::Status& status, const std::function<void()>& fill) {
  absl::MutexLock lock(&mu_);
  if (call_ == nullptr) return;
  if (fill) fill();
  std::exchange(call_, nullptr)->Finish(ToGrpc(status));
}

bool CallsUnderWay::Add(grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  if (stopped_) return false;
  calls_.insert(context);
  return true;
}

void CallsUnderWay::Remove(grpc::ClientContext* context) {
  absl::MutexLock lock(&mu_);
  calls_.erase(context);
}

void CallsUnderWay::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
  for (grpc::ClientContext* context : calls_) context->TryCancel();
  auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_.empty(); };
  mu_.Await(absl::Condition(&quiet));
}

}  // namespace keel::server
