#include "server/http/health.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "server/metrics.h"

namespace keel::server {
namespace {

// "ALARM NOSPACE" for the first alarm that is not excluded; empty when there is none.
std::string AlarmReason(const std::vector<etcdserverpb::AlarmMember>& alarms,
                        const std::vector<std::string>& excluded) {
  for (const etcdserverpb::AlarmMember& alarm : alarms) {
    if (alarm.alarm() == etcdserverpb::NONE) continue;
    const std::string name =
        etcdserverpb::AlarmType_IsValid(alarm.alarm()) ? etcdserverpb::AlarmType_Name(alarm.alarm()) : "UNKNOWN";
    if (std::find(excluded.begin(), excluded.end(), name) == excluded.end()) return absl::StrCat("ALARM ", name);
  }
  return "";
}

}  // namespace

const char* NameOf(ProbeKind kind) { return kind == ProbeKind::kLive ? "livez" : "readyz"; }

const char* NameOf(ProbeCheck check) {
  switch (check) {
    case ProbeCheck::kDataCorruption:
      return "data_corruption";
    case ProbeCheck::kSerializableRead:
      return "serializable_read";
    case ProbeCheck::kLinearizableRead:
      return "linearizable_read";
    case ProbeCheck::kNonLearner:
      return "non_learner";
  }
  return "";
}

std::vector<ProbeCheck> ChecksOf(ProbeKind kind) {
  if (kind == ProbeKind::kLive) return {ProbeCheck::kSerializableRead};
  return {ProbeCheck::kDataCorruption, ProbeCheck::kSerializableRead, ProbeCheck::kLinearizableRead,
          ProbeCheck::kNonLearner};
}

absl::Status HealthChecks::ReadLocally() const {
  etcdserverpb::RangeRequest request;
  request.set_key(std::string(1, '\0'));
  request.set_range_end(std::string(1, '\0'));
  request.set_limit(1);
  request.set_keys_only(true);
  etcdserverpb::RangeResponse response;
  return member_.store->View().Range(request, &response);
}

void HealthChecks::ReadLinearizably(absl::AnyInvocable<void(absl::Status)> done) const {
  const absl::Time deadline = member_.clock->Now() + member_.limits.request_timeout;
  member_.node->ReadIndex(deadline, [this, done = std::move(done)](absl::Status status, raft::Index) mutable {
    if (absl::IsDeadlineExceeded(status)) status = absl::DeadlineExceededError("etcdserver: request timed out");
    done(status.ok() ? ReadLocally() : status);
  });
}

void HealthChecks::Check(const Query& query, absl::AnyInvocable<void(std::string)> done) const {
  const bool serializable = query.First("serializable") == "true";
  std::string reason = AlarmReason(member_.store->alarms(), query.All("exclude"));
  if (reason.empty() && !serializable && member_.node->leader() == raft::kNobody) reason = "RAFT NO LEADER";
  if (!reason.empty()) return done(std::move(reason));

  auto report = [done = std::move(done)](const absl::Status& status) mutable {
    done(status.ok() ? "" : absl::StrCat("RANGE ERROR:", status.message()));
  };
  if (serializable) {
    report(ReadLocally());
  } else {
    ReadLinearizably(std::move(report));
  }
}

absl::Status HealthChecks::RunLocal(ProbeCheck check) const {
  switch (check) {
    case ProbeCheck::kDataCorruption:
      for (const etcdserverpb::AlarmMember& alarm : member_.store->alarms()) {
        if (alarm.alarm() == etcdserverpb::CORRUPT) return absl::InternalError("alarm activated: CORRUPT");
      }
      return absl::OkStatus();
    case ProbeCheck::kSerializableRead:
      return ReadLocally();
    case ProbeCheck::kNonLearner:
      if (member_.node->status().core.membership.IsLearner(raft::MemberId{member_.member_id})) {
        return absl::FailedPreconditionError("not supported for learner");
      }
      return absl::OkStatus();
    case ProbeCheck::kLinearizableRead:
      break;
  }
  return absl::OkStatus();
}

void HealthChecks::Probe(ProbeKind kind, std::vector<ProbeCheck> checks, std::vector<std::string> excluded,
                         absl::AnyInvocable<void(ProbeResult)> done) const {
  ProbeResult result;
  // The member outlives every call; `this` may not outlive a slow read.
  auto add = [metrics = member_.metrics, kind](ProbeCheck check, const absl::Status& status, ProbeResult* out) {
    metrics->ProbeChecked(NameOf(kind), NameOf(check), status.ok());
    if (status.ok()) {
      absl::StrAppend(&out->lines, "[+]", NameOf(check), " ok\n");
    } else {
      absl::StrAppend(&out->lines, "[-]", NameOf(check), " failed: ", status.message(), "\n");
      out->ok = false;
    }
  };
  bool read_linearizably = false;
  for (const ProbeCheck check : checks) {
    if (std::find(excluded.begin(), excluded.end(), NameOf(check)) != excluded.end()) {
      absl::StrAppend(&result.lines, "[+]", NameOf(check), " excluded: ok\n");
    } else if (check == ProbeCheck::kLinearizableRead) {
      read_linearizably = true;  // Last, because it waits.
    } else {
      add(check, RunLocal(check), &result);
    }
  }
  if (!read_linearizably) return done(std::move(result));
  ReadLinearizably([add, result = std::move(result), done = std::move(done)](const absl::Status& status) mutable {
    add(ProbeCheck::kLinearizableRead, status, &result);
    done(std::move(result));
  });
}

}  // namespace keel::server
