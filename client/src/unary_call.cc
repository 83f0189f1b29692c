#include "client/src/unary_call.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "base/grpc_status.h"

namespace keel::client {
namespace {

// A wait for a connection cannot be cancelled, so it is cut into pieces: what Shutdown() may have to wait for.
constexpr absl::Duration kConnectSlice = absl::Milliseconds(100);

}  // namespace

CallBase::CallBase(std::shared_ptr<Core> core, const CallTraits& traits, const CallOptions& options)
    : core_(std::move(core)), traits_(traits), options_(options) {}

void CallBase::Start() {
  deadline_ = absl::Now() + options_.timeout.value_or(core_->options().timeout);
  registered_ = core_->Register(this);
  if (!registered_) return End(Core::ClosedError());
  Attempt();
}

void CallBase::Attempt() {
  if (!options_.endpoint.empty()) {
    absl::StatusOr<Route> route = core_->PickExactly(options_.endpoint);
    if (!route.ok()) return End(route.status());
    route_ = *std::move(route);
  } else {
    route_ = core_->Pick(attempts_ == 0 ? std::nullopt : route_.endpoint);
  }
  ++attempts_;
  DropAttempt();
  const bool may_go_on = core_->ChangeUnlessStopping([this] { context_.emplace(); });
  if (!may_go_on) return End(Core::ClosedError());

  const absl::Duration remaining = deadline_ - absl::Now();
  const int endpoints = route_.endpoint ? static_cast<int>(core_->endpoint_count()) : 1;
  const CallClass call_class = options_.repeat == Repeat::kAlways ? CallClass::kRepeatable : traits_.call_class;
  attempt_deadline_ = absl::Now() + AttemptTimeout(call_class, endpoints, remaining);
  if (attempt_deadline_ < absl::InfiniteFuture()) context_->set_deadline(absl::ToChronoTime(attempt_deadline_));
  if (options_.require_leader) context_->AddMetadata("hasleader", "true");
  ConnectOrSend();
}

void CallBase::ConnectOrSend() {
  grpc::Channel& channel = *route_.connection->channel;
  const grpc_connectivity_state state = channel.GetState(true);
  // A channel that has just failed refuses at once, and says why.
  if (state == GRPC_CHANNEL_READY || state == GRPC_CHANNEL_TRANSIENT_FAILURE || state == GRPC_CHANNEL_SHUTDOWN) {
    connecting_ = false;
    return Send(*route_.connection, &*context_);
  }
  connecting_ = true;
  const absl::Time until = std::min(attempt_deadline_, absl::Now() + kConnectSlice);
  channel.NotifyOnStateChange(state, absl::ToChronoTime(until), route_.connection->queue, static_cast<QueueTag*>(this));
}

void CallBase::Done(bool ok) {
  if (connecting_) {
    if (core_->stopping()) return End(Core::ClosedError());
    if (absl::Now() < attempt_deadline_) return ConnectOrSend();
    const std::string text = "not connected to " + route_.connection->target + " before the deadline";
    return AttemptEnded(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, text), /*sent=*/false);
  }
  if (!Advance(ok)) return;
  if (status_.ok()) {
    core_->Succeeded(route_);
    return End(absl::OkStatus());
  }
  if (status_.error_code() == grpc::StatusCode::CANCELLED && core_->stopping()) return End(Core::ClosedError());
  AttemptEnded(status_, !route_.connection->FailedToConnect(*context_, status_));
}

void CallBase::AttemptEnded(const grpc::Status& status, bool sent) {
  const std::string message = status.error_message();
  const AttemptResult result = {
      .code = static_cast<absl::StatusCode>(status.error_code()), .message = message, .sent = sent};
  const Decision decision = Decide(
      {
          .call_class = options_.repeat == Repeat::kAlways ? CallClass::kRepeatable : traits_.call_class,
          .is_write = traits_.is_write,
          .maybe_executed = maybe_executed_,
          .attempts = attempts_,
          .attempts_max = options_.endpoint.empty() ? traits_.attempts_max : 1,
          .endpoints = options_.endpoint.empty() ? static_cast<int>(core_->endpoint_count()) : 1,
          .fail_fast = options_.fail_fast,
          .remaining = deadline_ - absl::Now(),
          .jitter = core_->Jitter(),
      },
      result);
  if (decision.blame_endpoint) core_->Failed(route_);
  maybe_executed_ = maybe_executed_ || !SurelyNotExecuted(result);
  if (!decision.retry) return End(absl::Status(decision.code, message));
  if (decision.delay <= absl::ZeroDuration()) return Attempt();
  core_->timers().Schedule(decision.delay, [this](TimerThread::Outcome outcome) {
    if (outcome == TimerThread::Outcome::kStopped) return End(Core::ClosedError());
    Attempt();
  });
}

void CallBase::CancelFromCore() {
  if (context_) context_->TryCancel();
}

void CallBase::End(absl::Status status) {
  const std::shared_ptr<Core> core = core_;  // Outlives us for Unregister.
  Finish(std::move(status));
  if (registered_) core->Unregister(this);
  delete this;
}

}  // namespace keel::client
