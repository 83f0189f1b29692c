#include "client/src/unary_call.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/grpc_status.h"
#include "client/src/connect_error.h"

namespace keel::client {
namespace {

// A wait for a connection cannot be cancelled, so it is cut into pieces: what Shutdown() may have to wait for. The same
// holds for the pause before another attempt, for calls that can be cancelled.
constexpr absl::Duration kConnectSlice = absl::Milliseconds(100);

}  // namespace

CallBase::CallBase(std::shared_ptr<Core> core, const CallTraits& traits, const CallOptions& options)
    : core_(std::move(core)), traits_(traits), options_(options) {}

void CallBase::Start() {
  const absl::Time now = absl::Now();
  const absl::Duration usual = core_->options().timeout;
  deadline_ = now + options_.timeout.value_or(traits_.is_stream ? absl::InfiniteDuration() : usual);
  retry_until_ = traits_.is_stream ? std::min(deadline_, now + usual) : deadline_;
  if (traits_.counts) {
    counted_ = core_->Enter();
    if (!counted_) {
      return End(absl::ResourceExhaustedError(
          absl::StrCat(core_->options().in_flight_max,
                       " calls are under way, as many as ClientOptions::in_flight_max allows; wait for some to end")));
    }
  }
  context_.emplace();  // Of the first attempt; nobody can cancel it yet.
  registered_ = core_->Register(this);
  if (!registered_) return End(Core::ClosedError());
  if (options_.cancel.stop_possible()) on_cancel_.emplace(options_.cancel, [this] { CancelFromCaller(); });
  Attempt(now);
}

void CallBase::Attempt(absl::Time now) {
  if (!options_.endpoint.empty()) {
    absl::StatusOr<Route> route = core_->PickExactly(options_.endpoint);
    if (!route.ok()) return End(route.status());
    route_ = *std::move(route);
  } else {
    route_ = tour_.Next(*core_);
  }
  if (++attempts_ > 1) {
    DropAttempt();
    const bool may_go_on = core_->ChangeUnlessStopping([this] { context_.emplace(); });
    if (!may_go_on) return End(Core::ClosedError());
  }
  if (cancelled_) return End(CancelledByCaller());

  const CallClass call_class = options_.repeat == Repeat::kAlways ? CallClass::kRepeatable : traits_.call_class;
  attempt_deadline_ = traits_.is_stream
                          ? deadline_
                          : now + AttemptTimeout(call_class, static_cast<int>(endpoint_count()), deadline_ - now);
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
    if (cancelled_) return End(CancelledByCaller());
    if (absl::Now() < attempt_deadline_) return ConnectOrSend();
    return AttemptEnded(grpc::Status(grpc::StatusCode::DEADLINE_EXCEEDED, "no connection in time"), /*sent=*/false);
  }
  if (!Advance(ok)) return;
  if (status_.ok()) {
    core_->Succeeded(route_);
    return End(absl::OkStatus());
  }
  const bool sent = !route_.connection->FailedToConnect(*context_, status_);
  if (status_.error_code() == grpc::StatusCode::CANCELLED && core_->stopping()) return End(Core::ClosedError());
  if (status_.error_code() == grpc::StatusCode::CANCELLED && cancelled_) {
    maybe_executed_ = maybe_executed_ || sent;
    return End(CancelledByCaller());
  }
  AttemptEnded(status_, sent);
}

void CallBase::AttemptEnded(const grpc::Status& status, bool sent) {
  const std::string message = NameStranger(route_.connection->endpoint, status.error_message());
  const absl::Time now = absl::Now();
  if (sent) {
    tour_.Reached();
    core_->NoteConnected();
  } else {
    tour_.Refused(route_.connection->endpoint, message, now);
  }
  const AttemptResult result = {
      .code = static_cast<absl::StatusCode>(status.error_code()), .message = message, .sent = sent};
  const Decision decision = Decide(
      {
          .call_class = options_.repeat == Repeat::kAlways ? CallClass::kRepeatable : traits_.call_class,
          .is_write = traits_.is_write,
          .maybe_executed = maybe_executed_,
          .attempts = attempts_,
          .attempts_max = options_.endpoint.empty() && MayBeRepeated() ? traits_.attempts_max : 1,
          .endpoints = static_cast<int>(endpoint_count()),
          .fail_fast = options_.fail_fast,
          .unreachable_for = tour_.UnreachableFor(endpoint_count(), now),
          .patience = core_->Patience(options_),
          .remaining = retry_until_ - now,
          .jitter = core_->Jitter(),
      },
      result);
  if (decision.blame_endpoint) core_->Failed(route_);
  maybe_executed_ = maybe_executed_ || !SurelyNotExecuted(result);
  if (!decision.retry) return End(absl::Status(decision.code, sent ? message : tour_.Explanation(endpoint_count())));
  if (decision.delay <= absl::ZeroDuration()) return Attempt(now);
  AttemptAfter(decision.delay);
}

void CallBase::AttemptAfter(absl::Duration delay) {
  const absl::Duration slice = on_cancel_ ? std::min(delay, kConnectSlice) : delay;
  core_->timers().Schedule(slice, [this, rest = delay - slice](TimerThread::Outcome outcome) {
    if (outcome == TimerThread::Outcome::kStopped) return End(Core::ClosedError());
    if (rest > absl::ZeroDuration() && !cancelled_) return AttemptAfter(rest);
    Attempt(absl::Now());  // Or the end, if it was cancelled.
  });
}

void CallBase::CancelFromCore() {
  if (context_) context_->TryCancel();
  OnCancel();
}

void CallBase::CancelFromCaller() {
  // While stopping, CancelFromCore does it.
  core_->ChangeUnlessStopping([this] {
    cancelled_ = true;
    if (context_) context_->TryCancel();
    OnCancel();
  });
}

absl::Status CallBase::CancelledByCaller() const {
  if (!traits_.is_write) return absl::CancelledError("cancelled by the caller");
  return absl::CancelledError(maybe_executed_ ? "cancelled by the caller after it was sent; it may have been executed"
                                              : "cancelled by the caller; it was not executed");
}

void CallBase::End(absl::Status status) {
  on_cancel_.reset();
  const std::shared_ptr<Core> core = core_;  // Outlives us for Unregister.
  if (counted_) core->Leave();               // Before Finish, which may start the next.
  Finish(std::move(status));
  if (registered_) core->Unregister(this);
  delete this;
}

}  // namespace keel::client
