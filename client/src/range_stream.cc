// Kv::GetStream: a range of any size in bounded memory.

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "base/grpc_status.h"
#include "base/status_macros.h"
#include "client/src/convert.h"
#include "client/src/core.h"
#include "client/src/retry_policy.h"
#include "client/src/unary_call.h"
#include "keel/kv.h"

namespace keel {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeStreamResponse;

// How many pairs a page has at first; then about as many as fit kPageBytes.
constexpr int64_t kFirstPagePairs = 100;
constexpr int64_t kPagePairsMax = 10000;
constexpr int64_t kPageBytes = 1 << 20;

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
  if (!core.Register(&activity)) {
    attempt.sink_status = client::Core::ClosedError();
    return attempt;
  }
  {
    const auto reader = route.connection->kv->RangeStream(&context, request);
    RangeStreamResponse piece;
    while (attempt.sink_status.ok() && reader->Read(&piece)) {
      attempt.any_piece = true;
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
  return attempt;
}

// For servers that have no streams. Every page is of the first one's revision.
absl::StatusOr<RangeResponse> ReadPages(Kv& kv, std::string_view key, const RangeOptions& options,
                                        const RangeSink& sink, const CallOptions& call, absl::Time deadline) {
  if (options.sort_order == SortOrder::kDescend || options.sort_target != SortTarget::kKey) {
    return absl::UnimplementedError("pages of a range come in the order of its keys only");
  }
  RangeOptions page = options;
  // The interval must stay what it is while its first key moves on.
  KEEL_ASSIGN_OR_RETURN(client::KeySpan span,
                        client::MakeSpan(key, options.range_end, options.prefix, options.from_key));
  page.prefix = page.from_key = false;
  page.range_end = span.range_end;
  page.limit = kFirstPagePairs;
  std::optional<RangeResponse> end;
  for (int64_t delivered = 0;;) {
    if (options.limit > 0) page.limit = std::min(page.limit, options.limit - delivered);
    CallOptions one = call;
    if (deadline < absl::InfiniteFuture()) one.timeout = std::max(deadline - absl::Now(), absl::ZeroDuration());
    KEEL_ASSIGN_OR_RETURN(RangeResponse response, kv.Get(span.key, page, one));
    std::vector<KeyValue> kvs = std::exchange(response.kvs, {});
    const bool more = response.more;
    if (!end) {
      end = std::move(response);
      if (page.revision <= 0) page.revision = end->header.revision;
    }
    if (kvs.empty()) return *end;
    delivered += static_cast<int64_t>(kvs.size());
    size_t bytes = 0;
    for (const KeyValue& pair : kvs) bytes += pair.key.size() + pair.value.size();
    span.key = kvs.back().key + '\0';
    page.limit = std::clamp<int64_t>(kPageBytes * static_cast<int64_t>(kvs.size()) / static_cast<int64_t>(bytes), 1,
                                     kPagePairsMax);
    KEEL_RETURN_IF_ERROR(sink(std::move(kvs)));
    end->more = options.limit > 0 && end->count > options.limit;
    if (!more || (options.limit > 0 && delivered >= options.limit)) return *end;
  }
}

}  // namespace

absl::StatusOr<RangeResponse> Kv::GetStream(std::string_view key, const RangeOptions& options, const RangeSink& sink,
                                            const CallOptions& call) {
  RangeRequest request;
  KEEL_RETURN_IF_ERROR(client::ToProto(key, options, &request));
  const absl::Time deadline = call.timeout ? absl::Now() + *call.timeout : absl::InfiniteFuture();
  // How long to look for a server that begins to answer.
  const absl::Time begin_by = std::min(deadline, absl::Now() + core_.options().timeout);
  client::Route route;
  for (int attempts = 1;; ++attempts) {
    if (call.endpoint.empty()) {
      route = core_.Pick(attempts == 1 ? std::nullopt : route.endpoint);
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
    const int endpoints = call.endpoint.empty() ? static_cast<int>(core_.endpoint_count()) : 1;
    const client::Decision decision = client::Decide(
        {.call_class = client::CallClass::kRepeatable,
         .attempts = attempts,
         .attempts_max = call.endpoint.empty() ? 0 : 1,
         .endpoints = endpoints,
         .fail_fast = call.fail_fast,
         .remaining = begin_by - absl::Now(),
         .jitter = core_.Jitter()},
        {.code = static_cast<absl::StatusCode>(attempt.status.error_code()), .message = message, .sent = attempt.sent});
    if (decision.blame_endpoint) core_.Failed(route);
    if (!decision.retry) return absl::Status(decision.code, message);
    absl::SleepFor(std::max(decision.delay, absl::ZeroDuration()));
  }
}

}  // namespace keel
