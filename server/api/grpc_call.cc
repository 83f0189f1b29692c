#include "server/api/grpc_call.h"

#include <algorithm>
#include <string_view>

namespace keel::server {
namespace {

std::string_view MetadataValue(const grpc::CallbackServerContext& context, const char* key) {
  const auto& metadata = context.client_metadata();
  const auto it = metadata.find(key);
  return it == metadata.end() ? std::string_view() : std::string_view(it->second.data(), it->second.size());
}

absl::Time ClientDeadline(const grpc::CallbackServerContext& context, absl::Time now) {
  const gpr_timespec deadline = context.raw_deadline();
  if (gpr_time_cmp(deadline, gpr_inf_future(deadline.clock_type)) == 0) return absl::InfiniteFuture();
  const gpr_timespec left = gpr_time_sub(deadline, gpr_now(deadline.clock_type));
  return now + absl::Seconds(left.tv_sec) + absl::Nanoseconds(left.tv_nsec);
}

}  // namespace

Call ReadCall(const grpc::CallbackServerContext& context, const Member& member, RpcKind kind) {
  const absl::Time now = member.clock->Now();
  Call call;
  call.client_deadline = ClientDeadline(context, now);
  call.deadline = std::min(call.client_deadline, now + member.limits.request_timeout);
  call.requires_leader = MetadataValue(context, "hasleader") == "true";
  call.client_api_version = MetadataValue(context, "client-api-version");
  if (member.metrics != nullptr) member.metrics->ClientCalled(kind, call.client_api_version);
  std::string_view token = MetadataValue(context, "token");
  if (token.empty()) {
    constexpr std::string_view kBearer = "Bearer ";
    token = MetadataValue(context, "authorization");
    if (token.starts_with(kBearer)) token.remove_prefix(kBearer.size());
  }
  call.token = token;
  return call;
}

RpcRecord::RpcRecord(const Member* member, RpcName name, RpcKind kind) : member_(member), name_(name), kind_(kind) {
  if (member_->metrics == nullptr) return;
  started_ = member_->clock->Now();
  member_->metrics->RpcStarted(name_.service, name_.method, kind_);
}

void RpcRecord::Received(size_t bytes) {
  if (member_->metrics != nullptr) member_->metrics->MessageReceived(name_.service, name_.method, bytes);
}

void RpcRecord::Sent(size_t bytes) {
  if (member_->metrics != nullptr) member_->metrics->MessageSent(name_.service, name_.method, bytes);
}

void RpcRecord::Handled(const absl::Status& status) {
  if (member_->metrics == nullptr) return;
  member_->metrics->RpcHandled(name_.service, name_.method, kind_, status.code(), member_->clock->Now() - started_);
}

void PatientReactor::SetPending(std::shared_ptr<PendingCall> pending) {
  {
    absl::MutexLock lock(&mu_);
    pending_ = pending;
  }
  if (cancelled_->load(std::memory_order_acquire) && pending != nullptr) pending->Cancel();
}

void PatientReactor::End(const absl::Status& status) {
  if (status.ok()) record_.Sent(response_->ByteSizeLong());
  record_.Handled(status);
  Finish(ToGrpc(status));
}

void PatientReactor::OnCancel() {
  cancelled_->store(true, std::memory_order_release);
  std::shared_ptr<PendingCall> pending;
  {
    absl::MutexLock lock(&mu_);
    pending = pending_;
  }
  if (pending != nullptr) pending->Cancel();
}

}  // namespace keel::server
