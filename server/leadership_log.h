#pragma once

// Turns leadership events into the log lines operators look for, and into metrics.

#include "raft/types.h"
#include "server/metrics.h"

namespace keel::server {

// Owned by the raft thread.
class LeadershipLog {
 public:
  explicit LeadershipLog(Metrics* metrics) : metrics_(*metrics) {}

  void Changed(raft::Role role, raft::Term term, raft::MemberId leader);

 private:
  Metrics& metrics_;
  raft::MemberId leader_ = raft::kNobody;
  raft::Term led_term_;  // The last term this member led.
};

}  // namespace keel::server
