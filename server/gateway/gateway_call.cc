#include "server/gateway/gateway_call.h"

#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "base/grpc_status.h"

namespace keel::server {
namespace {

// A deadline farther away is none: gRPC's clock would overflow.
constexpr absl::Duration kTimeoutMax = absl::Hours(24 * 365 * 10);

absl::Status DeadlineExceeded() { return absl::DeadlineExceededError("context deadline exceeded"); }

}  // namespace

bool OpenCalls::Add(GatewayCall* call, std::weak_ptr<GatewayCall> weak) {
  absl::MutexLock lock(&mu_);
  if (stopped_) return false;
  calls_.emplace(call, std::move(weak));
  return true;
}

void OpenCalls::Remove(GatewayCall* call) {
  absl::MutexLock lock(&mu_);
  calls_.erase(call);
}

void OpenCalls::Stop() {
  std::vector<std::shared_ptr<GatewayCall>> calls;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    for (const auto& [raw, weak] : calls_) {
      if (auto call = weak.lock()) calls.push_back(std::move(call));
    }
  }
  for (const auto& call : calls) call->Cancel();
  calls.clear();
  absl::MutexLock lock(&mu_);
  auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_.empty(); };
  mu_.Await(absl::Condition(&none));
}

absl::Status SetHeaders(const CallHeaders& headers, grpc::ClientContext* context) {
  for (const auto& [name, value] : headers.metadata) context->AddMetadata(name, value);
  const absl::Time now = absl::Now();
  if (headers.deadline <= now) return DeadlineExceeded();
  if (headers.deadline - now < kTimeoutMax) context->set_deadline(absl::ToChronoTime(headers.deadline));
  return absl::OkStatus();
}

absl::Status StatusOf(const grpc::Status& status) {
  // The caller's own deadline is noticed by whoever looks first; it reads the same either way.
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return DeadlineExceeded();
  }
  return FromGrpc(status);
}

grpc::ByteBuffer ToBuffer(const std::string& wire) {
  const grpc::Slice slice(wire);
  return grpc::ByteBuffer(&slice, 1);
}

absl::StatusOr<std::string> FromBuffer(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  // An empty message comes as a buffer that was never made.
  if (buffer.Valid() && !buffer.Dump(&slices).ok()) return absl::InternalError("the answer cannot be read");
  std::string wire;
  wire.reserve(buffer.Valid() ? buffer.Length() : 0);
  for (const grpc::Slice& slice : slices) wire.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return wire;
}

absl::Status GatewayStopped() { return absl::UnavailableError("etcdserver: server stopped"); }

}  // namespace keel::server
