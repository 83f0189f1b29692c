// The commands about members: alarms, and what a member says of itself.

#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/status_macros.h"
#include "server/apply/command_executor.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

void AddAlarm(uint64_t member_id, etcdserverpb::AlarmType type, etcdserverpb::AlarmResponse* response) {
  etcdserverpb::AlarmMember* alarm = response->add_alarms();
  alarm->set_memberid(member_id);
  alarm->set_alarm(type);
}

}  // namespace

absl::Status CommandExecutor::Alarm(const etcdserverpb::AlarmRequest& request, Step* step) {
  KEEL_RETURN_IF_ERROR(CheckAlarm(request));
  const uint64_t member_id = request.memberid();
  const etcdserverpb::AlarmType type = request.alarm();
  etcdserverpb::AlarmResponse response;
  switch (request.action()) {
    case etcdserverpb::AlarmRequest::ACTIVATE:
      if (type == etcdserverpb::NONE) break;
      step->batch->RaiseAlarm(member_id, type);
      if (alarms_.Raise(member_id, type)) {
        KEEL_LOG_WARN("alarm raised", {{"alarm", etcdserverpb::AlarmType_Name(type)}, {"alarm-member", member_id}});
      }
      AddAlarm(member_id, type, &response);
      break;
    case etcdserverpb::AlarmRequest::DEACTIVATE:
      step->batch->DisarmAlarm(member_id, type);
      if (!alarms_.Disarm(member_id, type)) break;
      KEEL_LOG_WARN("alarm disarmed", {{"alarm", etcdserverpb::AlarmType_Name(type)}, {"alarm-member", member_id}});
      AddAlarm(member_id, type, &response);
      break;
    default:  // GET; CheckAlarm() has let nothing else pass.
      for (const auto& [raised_for, raised] : alarms_.raised()) {
        if (type == etcdserverpb::NONE || type == raised) AddAlarm(raised_for, raised, &response);
      }
      break;
  }
  if (step->wants_response) step->result->response = std::move(response);
  return absl::OkStatus();
}

absl::Status CommandExecutor::MemberAttributes(const command::MemberAttributes& attributes, Step* step) {
  step->effects->members = true;
  return step->batch->SetMemberAttributes(
      attributes.member_id(), attributes.name(),
      std::vector<std::string>(attributes.client_urls().begin(), attributes.client_urls().end()),
      {.id = attributes.directory_id(), .starts = attributes.starts()});
}

}  // namespace keel::server
