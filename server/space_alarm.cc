#include "server/space_alarm.h"

#include <limits>
#include <utility>

#include "base/log.h"
#include "server/apply/request_check.h"

namespace keel::server {
namespace {

int64_t LowWater(int64_t quota_bytes) {
  if (quota_bytes < 0) return std::numeric_limits<int64_t>::max();  // No quota, so always room.
  return QuotaLimit(quota_bytes) / 10 * 9;
}

}  // namespace

SpaceAlarm::SpaceAlarm(const Options& options, const Clock* clock, const storage::StateStore* store, Proposer* proposer)
    : options_(options),
      low_water_bytes_(LowWater(options.quota_bytes)),
      clock_(*clock),
      store_(*store),
      proposer_(*proposer),
      about_space_(IsRaised()),
      stood_(about_space_) {}

void SpaceAlarm::Raise() {
  {
    absl::MutexLock lock(&mu_);
    about_space_ = true;
    if (IsRaised() || proposed_->exchange(true)) return;
  }
  KEEL_LOG_WARN("database space exceeded, raising the NOSPACE alarm",
                {{"quota-bytes", QuotaLimit(options_.quota_bytes)}});
  Propose(etcdserverpb::AlarmRequest::ACTIVATE);
}

void SpaceAlarm::Poll() {
  int64_t in_use = 0;
  {
    absl::MutexLock lock(&mu_);
    // Whether the alarm stands is about to change.
    if (proposed_->load()) return;
    // Only an alarm that goes ends what Raise() said: one whose proposal timed out may still come.
    if (std::exchange(stood_, IsRaised()) && !stood_) about_space_ = false;
    if (!stood_) return;
    in_use = store_.sizes().in_use_bytes;
    const bool has_room = in_use < low_water_bytes_;
    about_space_ |= !has_room;
    if (!has_room || !about_space_ || proposed_->exchange(true)) return;
  }
  KEEL_LOG_INFO("there is room again, disarming the space alarm",
                {{"in-use-bytes", in_use}, {"low-water-bytes", low_water_bytes_}});
  Propose(etcdserverpb::AlarmRequest::DEACTIVATE);
}

bool SpaceAlarm::IsRaised() const {
  for (const etcdserverpb::AlarmMember& alarm : store_.alarms()) {
    if (alarm.memberid() == options_.member_id && alarm.alarm() == etcdserverpb::NOSPACE) return true;
  }
  return false;
}

void SpaceAlarm::Propose(etcdserverpb::AlarmRequest::AlarmAction action) {
  command::Command command;
  etcdserverpb::AlarmRequest* alarm = command.mutable_alarm();
  alarm->set_action(action);
  alarm->set_memberid(options_.member_id);
  alarm->set_alarm(etcdserverpb::NOSPACE);
  proposer_.Submit(std::move(command), clock_.Now() + options_.request_timeout,
                   [proposed = proposed_](const absl::StatusOr<ApplyResult>& /*result*/) { proposed->store(false); });
}

}  // namespace keel::server
