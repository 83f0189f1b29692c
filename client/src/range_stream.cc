// Kv::GetStream: a range of any size in bounded memory.

#include <algorithm>
#include <string>
#include <utility>

#include "absl/strings/match.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "client/src/convert.h"
#include "client/src/core.h"
#include "client/src/paged_range.h"
#include "client/src/stream_call.h"
#include "keel/kv.h"

namespace keel {
namespace {

using client::Connection;
using etcdserverpb::RangeRequest;
using etcdserverpb::RangeStreamResponse;
using RangeCall = client::StreamCall<RangeRequest, RangeStreamResponse>;

// A refusal of a sort or a filter is Unimplemented as well; it has a text of its own.
bool HasNoStreams(const absl::Status& status) {
  return absl::IsUnimplemented(status) && !absl::StartsWith(status.message(), "RangeStream does not support");
}

}  // namespace

void Kv::GetStreamAsync(std::string_view key, const RangeOptions& options, AsyncRangeSink sink, const CallOptions& call,
                        Callback<RangeResponse> done) {
  struct State {
    std::shared_ptr<client::Core> core;
    std::string key;
    RangeOptions options;
    AsyncRangeSink sink;
    CallOptions call;
    Callback<RangeResponse> done;
    RangeResponse end;  // What the last piece says beside its pairs.
  };
  const auto state = std::make_shared<State>(State{.core = core_.shared_from_this(),
                                                   .key = std::string(key),
                                                   .options = options,
                                                   .sink = std::move(sink),
                                                   .call = call,
                                                   .done = std::move(done),
                                                   .end = {}});
  const absl::Time deadline = call.timeout ? absl::Now() + *call.timeout : absl::InfiniteFuture();
  auto stream = std::make_unique<RangeCall>(
      state->core, call,
      [](Connection& connection, grpc::ClientContext* context, const RangeRequest& request,
         grpc::CompletionQueue* queue) { return connection.kv->PrepareAsyncRangeStream(context, request, queue); },
      [state](RangeStreamResponse& piece, Taken taken) {
        state->core->key_prefix().Leave(piece.mutable_range_response());
        state->end = client::FromProto(*piece.mutable_range_response());
        std::vector<KeyValue> kvs = std::exchange(state->end.kvs, {});
        if (kvs.empty()) return taken(absl::OkStatus());
        state->sink(std::move(kvs), std::move(taken));
      },
      [state, deadline](absl::Status status, bool any_piece) {
        if (status.ok()) return state->done(std::move(state->end));
        if (any_piece || !HasNoStreams(status)) return state->done(std::move(status));
        client::ReadByPages(state->core, state->key, state->options, std::move(state->sink), state->call, deadline,
                            std::move(state->done));
      });
  absl::Status status = client::ToProto(key, options, &stream->request());
  if (status.ok()) status = core_.key_prefix().Enter(&stream->request());
  RangeCall* const running = stream.release();  // It owns itself from here.
  if (status.ok()) {
    running->Start();
  } else {
    running->Reject(std::move(status));
  }
}

absl::StatusOr<RangeResponse> Kv::GetStream(std::string_view key, const RangeOptions& options, const RangeSink& sink,
                                            const CallOptions& call) {
  return client::AwaitStream<std::vector<KeyValue>, absl::StatusOr<RangeResponse>>(
      [&](auto async_sink, auto done) { GetStreamAsync(key, options, std::move(async_sink), call, std::move(done)); },
      sink);
}

}  // namespace keel
