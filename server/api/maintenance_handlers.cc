#include "server/api/maintenance_handlers.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "raft/membership.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

// One line of StatusResponse.errors, as the protobuf text format of an AlarmMember has it: what is zero is left out.
std::string AlarmLine(const etcdserverpb::AlarmMember& alarm) {
  const std::string member = alarm.memberid() == 0 ? "" : absl::StrCat("memberID:", alarm.memberid(), " ");
  return absl::StrCat(member, "alarm:", etcdserverpb::AlarmType_Name(alarm.alarm()), " ");
}

absl::Status NotLeader() { return absl::FailedPreconditionError("etcdserver: not leader"); }

}  // namespace

void MaintenanceHandlers::Alarm(const Call& call, const etcdserverpb::AlarmRequest& request,
                                etcdserverpb::AlarmResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  if (auto status = CheckAlarm(request); !status.ok()) return done(std::move(status));
  if (request.action() != etcdserverpb::AlarmRequest::GET) {
    command::Command command;
    *command.mutable_alarm() = request;
    return Propose(*base_->member, call, std::move(command), response, std::move(done));
  }
  auto list = [member = base_->member, wanted = request.alarm(), response,
               done = std::move(done)](absl::Status readable) mutable {
    if (!readable.ok()) return done(std::move(readable));
    for (etcdserverpb::AlarmMember& alarm : member->store->alarms()) {
      if (wanted == etcdserverpb::NONE || wanted == alarm.alarm()) *response->add_alarms() = std::move(alarm);
    }
    member->FillHeader(member->store->current_revision().value(), response->mutable_header());
    done(absl::OkStatus());
  };
  AwaitReadable(*base_->member, call, std::move(list));
}

void MaintenanceHandlers::Status(const Call& call, const etcdserverpb::StatusRequest&,
                                 etcdserverpb::StatusResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call, CallClass::kLearnersToo); !status.ok()) {
    return done(std::move(status));
  }
  const Member& member = *base_->member;
  const raft::CoreStatus core = member.node->status().core;
  const storage::StateSizes sizes = member.store->sizes();
  response->set_version(kProtocolVersion);
  response->set_dbsize(sizes.allocated_bytes);
  response->set_dbsizeinuse(sizes.in_use_bytes);
  const int64_t quota = member.limits.quota_bytes;
  response->set_dbsizequota(quota < 0 ? quota : QuotaLimit(quota));
  response->set_leader(core.leader.value());
  response->set_raftindex(core.commit.value());
  response->set_raftterm(core.term.value());
  response->set_raftappliedindex(core.applied.value());
  response->set_islearner(member.IsLearner());
  response->set_storageversion(kProtocolClusterVersion);
  response->mutable_downgradeinfo();  // Present and all false: no downgrade is under way.
  if (core.leader == raft::kNobody) response->add_errors("etcdserver: no leader");
  for (const auto& alarm : member.store->alarms()) response->add_errors(AlarmLine(alarm));
  member.FillHeader(member.store->current_revision().value(), response->mutable_header());
  done(absl::OkStatus());
}

void MaintenanceHandlers::Defragment(const Call& call, const etcdserverpb::DefragmentRequest&,
                                     etcdserverpb::DefragmentResponse*, Done done) const {
  done(base_->admission->Admit(call));
}

void MaintenanceHandlers::Hash(const Call& call, const etcdserverpb::HashRequest&, etcdserverpb::HashResponse* response,
                               Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  base_->readers->Run([member = base_->member, response, done = std::move(done)]() mutable {
    auto hash = member->store->HashKv(storage::Revision{0});
    if (!hash.ok()) return done(std::move(hash).status());
    response->set_hash(hash->hash);
    member->FillHeader(member->store->current_revision().value(), response->mutable_header());
    done(absl::OkStatus());
  });
}

void MaintenanceHandlers::HashKV(const Call& call, const etcdserverpb::HashKVRequest& request,
                                 etcdserverpb::HashKVResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  base_->readers->Run([member = base_->member, &request, response, done = std::move(done)]() mutable {
    auto hash = member->store->HashKv(storage::Revision{request.revision()});
    if (!hash.ok()) return done(std::move(hash).status());
    response->set_hash(hash->hash);
    response->set_compact_revision(hash->compact_revision.value());
    response->set_hash_revision(hash->hash_revision.value());
    member->FillHeader(member->store->current_revision().value(), response->mutable_header());
    done(absl::OkStatus());
  });
}

absl::StatusOr<std::shared_ptr<SnapshotPager>> MaintenanceHandlers::Snapshot(
    const Call& call, const etcdserverpb::SnapshotRequest&) const {
  if (auto status = base_->admission->Admit(call, CallClass::kLearnersToo); !status.ok()) return status;
  return SnapshotPager::Create(base_, call, snapshot_slots_);
}

void MaintenanceHandlers::MoveLeader(const Call& call, const etcdserverpb::MoveLeaderRequest& request,
                                     etcdserverpb::MoveLeaderResponse*, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  const Member& member = *base_->member;
  if (member.node->leader() != raft::MemberId(member.member_id)) return done(NotLeader());
  member.node->TransferLeadership(
      raft::MemberId(request.targetid()), call.deadline, [done = std::move(done)](const absl::Status& status) mutable {
        if (status.ok()) return done(absl::OkStatus());
        if (absl::IsNotFound(status)) {
          return done(absl::FailedPreconditionError("etcdserver: bad leader transferee"));
        }
        if (absl::IsFailedPrecondition(status) && status.message() == raft::kNotLeader) return done(NotLeader());
        done(absl::UnknownError("etcdserver: request timed out, leader transfer took too long"));
      });
}

void MaintenanceHandlers::Downgrade(const Call& call, const etcdserverpb::DowngradeRequest&,
                                    etcdserverpb::DowngradeResponse*, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  done(absl::UnimplementedError("etcdserver: downgrades are not supported by this release"));
}

}  // namespace keel::server
