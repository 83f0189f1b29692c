// Kv::GetStream: a range of any size in bounded memory.

#include <algorithm>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/grpc_status.h"
#include "base/status_macros.h"
#include "client/src/convert.h"
#include "client/src/core.h"
#include "client/src/retry_policy.h"
#include "client/src/tour.h"
#include "client/src/unary_call.h"
#include "keel/kv.h"
#include "keel/range_pager.h"

namespace keel {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeStreamResponse;

// How one attempt ended.
struct Attempt {
  grpc::Status status;
  absl::Status sink_status;
  bool any_piece = false;  // The sink, or the caller, has had something of it.
  bool sent = true;
  RangeResponse end;
};

Attempt ReadOnce(client::Core& core, const client::Route& route, const RangeRequest& request, const RangeSink& sink,
                 absl::Time deadline, const CallOptions& call) {
  Attempt attempt;
  grpc::ClientContext context;
  if (deadline < absl::InfiniteFuture()) context.set_deadline(absl::ToChronoTime(deadline));
  if (call.require_leader) context.AddMetadata("hasleader", "true");
  client::BlockingStream activity(&context);
  const std::stop_callback on_cancel(call.cancel, [&context] { context.TryCancel(); });
  if (!core.Register(&activity)) {
    attempt.sink_status = client::Core::ClosedError();
    return attempt;
  }
  {
    const auto reader = route.connection->kv->RangeStream(&context, request);
    RangeStreamResponse piece;
    while (attempt.sink_status.ok() && reader->Read(&piece)) {
      attempt.any_piece = true;
      core.key_prefix().Leave(piece.mutable_range_response());
      attempt.end = client::FromProto(*piece.mutable_range_response());
      std::vector<KeyValue> kvs = std::exchange(attempt.end.kvs, {});
      if (!kvs.empty()) attempt.sink_status = sink(std::move(kvs));
    }
    if (!attempt.sink_status.ok()) context.TryCancel();
    attempt.status = reader->Finish();
    attempt.sent = attempt.status.ok() || !route.connection->FailedToConnect(context, attempt.status);
  }
  core.Unregister(&activity);
  if (core.stopping() && !attempt.status.ok()) attempt.sink_status = client::Core::ClosedError();
  if (call.cancel.stop_requested() && !attempt.status.ok()) {
    attempt.sink_status = absl::CancelledError("cancelled by the caller");
  }
  return attempt;
}

// For servers that have no streams.
absl::StatusOr<RangeResponse> ReadPages(Kv& kv, std::string_view key, const RangeOptions& options,
                                        const RangeSink& sink, const CallOptions& call, absl::Time deadline) {
  RangePager pages(kv, key, options);
  CallOptions one = call;
  const auto time_left = [&] {
    if (deadline < absl::InfiniteFuture()) one.timeout = std::max(deadline - absl::Now(), absl::ZeroDuration());
    return one;
  };
  while (pages.Next(time_left())) KEEL_RETURN_IF_ERROR(sink(std::move(pages.page())));
  KEEL_RETURN_IF_ERROR(pages.status());
  return RangeResponse{.header = pages.header(), .more = pages.more(), .count = pages.count()};
}

}  // namespace

absl::StatusOr<RangeResponse> Kv::GetStream(std::string_view key, const RangeOptions& options, const RangeSink& sink,
                                            const CallOptions& call) {
  RangeRequest request;
  KEEL_RETURN_IF_ERROR(client::ToProto(key, options, &request));
  KEEL_RETURN_IF_ERROR(core_.key_prefix().Enter(&request));
  const absl::Time deadline = call.timeout ? absl::Now() + *call.timeout : absl::InfiniteFuture();
  // How long to look for a server that begins to answer.
  const absl::Time begin_by = std::min(deadline, absl::Now() + core_.options().timeout);
  client::Route route;
  client::Tour tour;
  for (int attempts = 1;; ++attempts) {
    if (call.endpoint.empty()) {
      route = tour.Next(core_);
    } else {
      KEEL_ASSIGN_OR_RETURN(route, core_.PickExactly(call.endpoint));
    }
    Attempt attempt = ReadOnce(core_, route, request, sink, deadline, call);
    if (!attempt.sink_status.ok()) return attempt.sink_status;
    if (attempt.status.ok()) {
      core_.Succeeded(route);
      return std::move(attempt.end);
    }
    if (attempt.any_piece) return FromGrpc(attempt.status);
    // A refusal of a sort or a filter is Unimplemented as well; it has a text of its own.
    if (attempt.status.error_code() == grpc::StatusCode::UNIMPLEMENTED &&
        attempt.status.error_message().rfind("RangeStream does not support", 0) != 0) {
      return ReadPages(*this, key, options, sink, call, deadline);
    }
    const std::string message = attempt.status.error_message();
    const size_t endpoints = call.endpoint.empty() ? core_.endpoint_count() : 1;
    const absl::Time now = absl::Now();
    if (attempt.sent) {
      tour.Reached();
      core_.NoteConnected();
    } else {
      tour.Refused(route.connection->endpoint, message, now);
    }
    const client::Decision decision = client::Decide(
        {.call_class = client::CallClass::kRepeatable,
         .attempts = attempts,
         .attempts_max = call.endpoint.empty() ? 0 : 1,
         .endpoints = static_cast<int>(endpoints),
         .fail_fast = call.fail_fast,
         .unreachable_for = tour.UnreachableFor(endpoints, now),
         .patience = core_.Patience(call),
         .remaining = begin_by - now,
         .jitter = core_.Jitter()},
        {.code = static_cast<absl::StatusCode>(attempt.status.error_code()), .message = message, .sent = attempt.sent});
    if (decision.blame_endpoint) core_.Failed(route);
    if (!decision.retry) return absl::Status(decision.code, attempt.sent ? message : tour.Explanation(endpoints));
    absl::SleepFor(std::max(decision.delay, absl::ZeroDuration()));
  }
}

}  // namespace keel
