#pragma once

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "proto/etcdserver_maintenance.pb.h"

namespace keel::server {

// The alarms in force, as of the entry being applied: the apply thread's own copy of what the state store keeps, so
// that every command can be gated without a look-up there. Owned by the apply thread.
class AlarmBoard {
 public:
  void Reset(const std::vector<etcdserverpb::AlarmMember>& alarms) {
    raised_.clear();
    for (const etcdserverpb::AlarmMember& alarm : alarms) raised_.emplace(alarm.memberid(), alarm.alarm());
  }

  // False when it was so already.
  bool Raise(uint64_t member_id, etcdserverpb::AlarmType alarm) { return raised_.emplace(member_id, alarm).second; }
  bool Disarm(uint64_t member_id, etcdserverpb::AlarmType alarm) { return raised_.erase({member_id, alarm}) > 0; }

  // On any member.
  bool IsRaised(etcdserverpb::AlarmType alarm) const {
    for (const auto& raised : raised_) {
      if (raised.second == alarm) return true;
    }
    return false;
  }
  bool IsRaisedFor(uint64_t member_id, etcdserverpb::AlarmType alarm) const {
    return raised_.contains({member_id, alarm});
  }

  // Ascending by member and type.
  const std::set<std::pair<uint64_t, etcdserverpb::AlarmType>>& raised() const { return raised_; }

 private:
  std::set<std::pair<uint64_t, etcdserverpb::AlarmType>> raised_;
};

}  // namespace keel::server
