#include "tests/differential/pair.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"

namespace keel::differential {
namespace {

// A sequence may name revisions this far below its base, and they must be positive.
constexpr int64_t kLowestBase = 100;

absl::Status Failed(const Side& side, const char* doing, const grpc::Status& status) {
  return absl::InternalError(
      absl::StrCat(side.process->name(), ": ", doing, ": ", status.error_code(), " ", status.error_message()));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Pair>> Pair::Start(const Options& options) {
  std::unique_ptr<Pair> pair(new Pair);
  KEEL_ASSIGN_OR_RETURN(pair->etcd().process,
                        ServerProcess::Start("etcd", options.etcd, {"--logger=zap", "--log-outputs=stderr"}));
  KEEL_ASSIGN_OR_RETURN(pair->keel().process, ServerProcess::Start("keeld", options.keeld));
  for (Side& side : pair->sides_) {
    side.connection = std::make_unique<Connection>(side.process->endpoint());
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (!side.connection->AwaitReady(absl::Seconds(1))) {
      if (side.process->Running() && absl::Now() < deadline) continue;
      return absl::UnavailableError(absl::StrCat(side.process->name(),
                                                 " does not answer (scripts/setup installs etcd); its log ends with:\n",
                                                 side.process->LogTail()));
    }
    etcdserverpb::StatusResponse response;
    const grpc::Status status = side.connection->Call("status", etcdserverpb::StatusRequest(), &response);
    if (!status.ok()) return Failed(side, "status", status);
    side.facts.cluster_id = response.header().cluster_id();
    side.facts.member_id = response.header().member_id();
  }
  return pair;
}

absl::Status Pair::Empty(Side* side) {
  etcdserverpb::AlarmRequest list;
  etcdserverpb::AlarmResponse alarms;
  if (const auto status = side->connection->Call("alarm", list, &alarms); !status.ok()) {
    return Failed(*side, "list alarms", status);
  }
  for (const etcdserverpb::AlarmMember& alarm : alarms.alarms()) {
    etcdserverpb::AlarmRequest disarm;
    disarm.set_action(etcdserverpb::AlarmRequest::DEACTIVATE);
    disarm.set_memberid(alarm.memberid());
    disarm.set_alarm(alarm.alarm());
    etcdserverpb::AlarmResponse ignored;
    if (const auto status = side->connection->Call("alarm", disarm, &ignored); !status.ok()) {
      return Failed(*side, "disarm", status);
    }
  }
  etcdserverpb::LeaseLeasesResponse leases;
  if (const auto status = side->connection->Call("leases", etcdserverpb::LeaseLeasesRequest(), &leases); !status.ok()) {
    return Failed(*side, "list leases", status);
  }
  for (const etcdserverpb::LeaseStatus& lease : leases.leases()) {
    etcdserverpb::LeaseRevokeRequest revoke;
    revoke.set_id(lease.id());
    etcdserverpb::LeaseRevokeResponse ignored;
    // Gone by itself meanwhile is gone too.
    const auto status = side->connection->Call("revoke", revoke, &ignored);
    if (!status.ok() && status.error_code() != grpc::StatusCode::NOT_FOUND) return Failed(*side, "revoke", status);
  }
  etcdserverpb::DeleteRangeRequest everything;
  everything.set_key(std::string(1, '\0'));
  everything.set_range_end(std::string(1, '\0'));
  etcdserverpb::DeleteRangeResponse deleted;
  if (const auto status = side->connection->Call("delete", everything, &deleted); !status.ok()) {
    return Failed(*side, "delete everything", status);
  }
  side->facts.symbols.now = deleted.header().revision();
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Pair::PutMarker(Side* side) {
  etcdserverpb::PutRequest put;
  put.set_key(kMarkerKey);
  etcdserverpb::PutResponse response;
  const auto status = side->connection->Call("put", put, &response);
  if (!status.ok()) return Failed(*side, "put", status);
  return response.header().revision();
}

absl::Status Pair::Level() {
  for (Side& side : sides_) KEEL_RETURN_IF_ERROR(Empty(&side));
  const int64_t target = std::max({etcd().facts.symbols.now, keel().facts.symbols.now, kLowestBase}) + 3;
  for (Side& side : sides_) {
    int64_t revision = side.facts.symbols.now;
    while (revision < target - 2) {
      KEEL_ASSIGN_OR_RETURN(revision, PutMarker(&side));
    }
    // The marker's present life begins at the target, whatever was put to get there.
    etcdserverpb::DeleteRangeRequest marker;
    marker.set_key(kMarkerKey);
    etcdserverpb::DeleteRangeResponse ignored;
    const auto deleted = side.connection->Call("delete", marker, &ignored);
    if (!deleted.ok()) return Failed(side, "delete the marker", deleted);
    KEEL_ASSIGN_OR_RETURN(revision, PutMarker(&side));
    if (revision != target) {
      return absl::InternalError(
          absl::StrCat(side.process->name(), " is at revision ", revision, " and should be at ", target));
    }
    etcdserverpb::CompactionRequest compact;
    compact.set_revision(target);
    etcdserverpb::CompactionResponse compacted;
    const auto status = side.connection->Call("compact", compact, &compacted);
    if (!status.ok()) return Failed(side, "compact", status);
    side.facts.symbols = {.now = target, .base = target};
  }
  return absl::OkStatus();
}

absl::Status Pair::Health() {
  for (Side& side : sides_) {
    if (!side.process->Running()) {
      return absl::InternalError(
          absl::StrCat(side.process->name(), " has ended; its log ends with:\n", side.process->LogTail()));
    }
  }
  return absl::OkStatus();
}

}  // namespace keel::differential
