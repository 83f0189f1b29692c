#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/command.pb.h"
#include "server/proposer.h"
#include "storage/state/state_store.h"

namespace keel::server {

// This member's own NOSPACE alarm: raised when a write does not fit, taken back when there is room again, a tenth of
// the quota below it, so that it does not come back at once. An alarm that an operator raised by hand on a member with
// room stays until a hand takes it back. Both ways it is replicated state, hence proposals, one at a time; a lost one
// is repeated by the next refused write or the next poll.
//
// Thread-safe. What is passed outlives it.
class SpaceAlarm {
 public:
  struct Options {
    uint64_t member_id = 0;
    int64_t quota_bytes = 0;  // As configured: 0 means the default, negative none.
    absl::Duration request_timeout = absl::Seconds(7);
  };

  // An alarm that stands at the start of the process is taken for one about space.
  SpaceAlarm(const Options& options, const Clock* clock, const storage::StateStore* store, Proposer* proposer);

  // A write did not fit. From here on the alarm is about space, however soon there is room again.
  void Raise();

  // Takes the alarm back when it has done its work. Cheap; several times a second.
  void Poll();

  int64_t low_water_bytes() const { return low_water_bytes_; }

 private:
  bool IsRaised() const;
  void Propose(etcdserverpb::AlarmRequest::AlarmAction action);

  const Options options_;
  const int64_t low_water_bytes_;
  const Clock& clock_;
  const storage::StateStore& store_;
  Proposer& proposer_;
  absl::Mutex mu_;
  bool about_space_ ABSL_GUARDED_BY(mu_);
  bool stood_ ABSL_GUARDED_BY(mu_);  // At the last poll.
  // A proposal is on its way. Shared with its completion, which may come after this object's end.
  const std::shared_ptr<std::atomic<bool>> proposed_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace keel::server
