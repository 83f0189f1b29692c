#include "keel/maintenance.h"

#include <utility>

#include "base/status_macros.h"
#include "client/src/convert.h"
#include "client/src/snapshot_file.h"
#include "client/src/stream_call.h"
#include "client/src/unary_call.h"

namespace keel {
namespace {

using client::Await;
using client::Connection;
using client::kRead;
using client::kWrite;
using etcdserverpb::AlarmRequest;
using etcdserverpb::DowngradeRequest;
using Stub = etcdserverpb::Maintenance::Stub;

CallOptions At(std::string_view endpoint, const CallOptions& call) {
  CallOptions at = call;
  if (!endpoint.empty()) at.endpoint = std::string(endpoint);
  return at;
}

template <auto kRpc, typename Response, typename Fill, typename Convert>
void CallMaintenance(client::Core& core, const client::CallTraits& traits, const CallOptions& options, Fill fill,
                     Convert convert, Callback<Response> done) {
  client::StartCall<&Connection::maintenance, kRpc, Response>(
      core, traits, options,
      [&](auto* request) {
        fill(request);
        return absl::OkStatus();
      },
      convert, std::move(done));
}

void CallAlarm(client::Core& core, AlarmRequest::AlarmAction action, const Alarm& alarm, const CallOptions& call,
               Callback<AlarmResponse> done) {
  // Setting or clearing an alarm twice is the same as once, and the answer of the second tells too.
  CallMaintenance<&Stub::AsyncAlarm, AlarmResponse>(
      core, action == AlarmRequest::GET ? kRead : client::kHarmlessWrite, call,
      [&](AlarmRequest* request) {
        request->set_action(action);
        request->set_memberid(alarm.member_id);
        request->set_alarm(static_cast<etcdserverpb::AlarmType>(alarm.type));
      },
      client::kByFromProto, std::move(done));
}

}  // namespace

void Maintenance::StatusAsync(std::string_view endpoint, const CallOptions& call, Callback<StatusResponse> done) {
  CallMaintenance<&Stub::AsyncStatus, StatusResponse>(
      core_, kRead, At(endpoint, call), [](etcdserverpb::StatusRequest*) {}, client::kByFromProto, std::move(done));
}

void Maintenance::HashKvAsync(std::string_view endpoint, int64_t revision, const CallOptions& call,
                              Callback<HashKvResponse> done) {
  CallMaintenance<&Stub::AsyncHashKV, HashKvResponse>(
      core_, kRead, At(endpoint, call), [&](etcdserverpb::HashKVRequest* request) { request->set_revision(revision); },
      [](etcdserverpb::HashKVResponse& r) {
        return HashKvResponse{.header = client::FromProto(r.header()),
                              .hash = r.hash(),
                              .compact_revision = r.compact_revision(),
                              .hash_revision = r.hash_revision()};
      },
      std::move(done));
}

void Maintenance::HashAsync(std::string_view endpoint, const CallOptions& call, Callback<HashResponse> done) {
  CallMaintenance<&Stub::AsyncHash, HashResponse>(
      core_, kRead, At(endpoint, call), [](etcdserverpb::HashRequest*) {},
      [](etcdserverpb::HashResponse& r) {
        return HashResponse{.header = client::FromProto(r.header()), .hash = r.hash()};
      },
      std::move(done));
}

void Maintenance::DefragmentAsync(std::string_view endpoint, const CallOptions& call,
                                  Callback<DefragmentResponse> done) {
  CallMaintenance<&Stub::AsyncDefragment, DefragmentResponse>(
      core_, kWrite, At(endpoint, call), [](etcdserverpb::DefragmentRequest*) {},
      [](etcdserverpb::DefragmentResponse& r) { return DefragmentResponse{.header = client::FromProto(r.header())}; },
      std::move(done));
}

void Maintenance::AlarmsAsync(const CallOptions& call, Callback<AlarmResponse> done) {
  CallAlarm(core_, AlarmRequest::GET, Alarm{}, call, std::move(done));
}

void Maintenance::ActivateAlarmAsync(const Alarm& alarm, const CallOptions& call, Callback<AlarmResponse> done) {
  CallAlarm(core_, AlarmRequest::ACTIVATE, alarm, call, std::move(done));
}

void Maintenance::DisarmAlarmAsync(const Alarm& alarm, const CallOptions& call, Callback<AlarmResponse> done) {
  CallAlarm(core_, AlarmRequest::DEACTIVATE, alarm, call, std::move(done));
}

void Maintenance::MoveLeaderAsync(std::string_view endpoint, uint64_t target_member, const CallOptions& call,
                                  Callback<MoveLeaderResponse> done) {
  CallMaintenance<&Stub::AsyncMoveLeader, MoveLeaderResponse>(
      core_, client::kHarmlessWrite, At(endpoint, call),
      [&](etcdserverpb::MoveLeaderRequest* request) { request->set_targetid(target_member); },
      [](etcdserverpb::MoveLeaderResponse& r) { return MoveLeaderResponse{.header = client::FromProto(r.header())}; },
      std::move(done));
}

void Maintenance::DowngradeAsync(DowngradeAction action, std::string_view version, const CallOptions& call,
                                 Callback<DowngradeResponse> done) {
  CallMaintenance<&Stub::AsyncDowngrade, DowngradeResponse>(
      core_, kWrite, call,
      [&](DowngradeRequest* request) {
        request->set_action(static_cast<DowngradeRequest::DowngradeAction>(action));
        request->set_version(std::string(version));
      },
      [](etcdserverpb::DowngradeResponse& r) {
        return DowngradeResponse{.header = client::FromProto(r.header()), .version = r.version()};
      },
      std::move(done));
}

absl::StatusOr<StatusResponse> Maintenance::Status(std::string_view endpoint, const CallOptions& call) {
  return Await<StatusResponse>([&](auto done) { StatusAsync(endpoint, call, std::move(done)); });
}

absl::StatusOr<HashKvResponse> Maintenance::HashKv(std::string_view endpoint, int64_t revision,
                                                   const CallOptions& call) {
  return Await<HashKvResponse>([&](auto done) { HashKvAsync(endpoint, revision, call, std::move(done)); });
}

absl::StatusOr<HashResponse> Maintenance::Hash(std::string_view endpoint, const CallOptions& call) {
  return Await<HashResponse>([&](auto done) { HashAsync(endpoint, call, std::move(done)); });
}

absl::StatusOr<DefragmentResponse> Maintenance::Defragment(std::string_view endpoint, const CallOptions& call) {
  return Await<DefragmentResponse>([&](auto done) { DefragmentAsync(endpoint, call, std::move(done)); });
}

absl::StatusOr<AlarmResponse> Maintenance::Alarms(const CallOptions& call) {
  return Await<AlarmResponse>([&](auto done) { AlarmsAsync(call, std::move(done)); });
}

absl::StatusOr<AlarmResponse> Maintenance::ActivateAlarm(const Alarm& alarm, const CallOptions& call) {
  return Await<AlarmResponse>([&](auto done) { ActivateAlarmAsync(alarm, call, std::move(done)); });
}

absl::StatusOr<AlarmResponse> Maintenance::DisarmAlarm(const Alarm& alarm, const CallOptions& call) {
  return Await<AlarmResponse>([&](auto done) { DisarmAlarmAsync(alarm, call, std::move(done)); });
}

absl::StatusOr<MoveLeaderResponse> Maintenance::MoveLeader(std::string_view endpoint, uint64_t target_member,
                                                           const CallOptions& call) {
  return Await<MoveLeaderResponse>([&](auto done) { MoveLeaderAsync(endpoint, target_member, call, std::move(done)); });
}

absl::StatusOr<DowngradeResponse> Maintenance::Downgrade(DowngradeAction action, std::string_view version,
                                                         const CallOptions& call) {
  return Await<DowngradeResponse>([&](auto done) { DowngradeAsync(action, version, call, std::move(done)); });
}

void Maintenance::SnapshotAsync(std::string_view endpoint, std::function<void(SnapshotChunk, Taken)> sink,
                                const CallOptions& call, std::function<void(absl::Status)> done) {
  using Call = client::StreamCall<etcdserverpb::SnapshotRequest, etcdserverpb::SnapshotResponse>;
  auto stream = std::make_unique<Call>(
      core_.shared_from_this(), At(endpoint, call),
      [](Connection& connection, grpc::ClientContext* context, const etcdserverpb::SnapshotRequest& request,
         grpc::CompletionQueue* queue) {
        return connection.maintenance->PrepareAsyncSnapshot(context, request, queue);
      },
      [sink = std::move(sink)](etcdserverpb::SnapshotResponse& piece, Taken taken) {
        sink(SnapshotChunk{.remaining_bytes = piece.remaining_bytes(),
                           .blob = std::move(*piece.mutable_blob()),
                           .version = piece.version()},
             std::move(taken));
      },
      [done = std::move(done)](absl::Status status, bool) { done(std::move(status)); });
  stream.release()->Start();  // It owns itself from here.
}

absl::Status Maintenance::Snapshot(std::string_view endpoint,
                                   const std::function<absl::Status(const SnapshotChunk&)>& sink,
                                   const CallOptions& call) {
  return client::AwaitStream<SnapshotChunk, absl::Status>(
      [&](auto async_sink, auto done) { SnapshotAsync(endpoint, std::move(async_sink), call, std::move(done)); }, sink);
}

absl::StatusOr<SavedSnapshot> Maintenance::SaveSnapshot(std::string_view endpoint, const std::string& path,
                                                        const SnapshotProgress& progress, const CallOptions& call) {
  client::SnapshotFile file(path);
  KEEL_RETURN_IF_ERROR(file.Open());
  SavedSnapshot saved;
  KEEL_RETURN_IF_ERROR(Snapshot(
      endpoint,
      [&](const SnapshotChunk& chunk) {
        if (!chunk.version.empty()) saved.version = chunk.version;
        const absl::Status appended = file.Append(chunk.blob);
        if (appended.ok() && progress) progress(file.bytes(), chunk.remaining_bytes);
        return appended;
      },
      call));
  KEEL_RETURN_IF_ERROR(file.Finish());
  saved.bytes = file.bytes();
  return saved;
}

}  // namespace keel
