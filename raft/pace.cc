#include "raft/pace.h"

#include <sched.h>

namespace keel::raft {

thread_local bool Pace::followed_ = false;
thread_local bool Pace::is_ours_ = false;

void Pace::Adopt(bool busy) {
  followed_ = busy;
  const sched_param parameters{};
  if (busy && sched_getscheduler(0) == SCHED_OTHER) {
    is_ours_ = sched_setscheduler(0, SCHED_BATCH, &parameters) == 0;
  } else if (!busy && is_ours_) {
    is_ours_ = sched_setscheduler(0, SCHED_OTHER, &parameters) != 0;
  }
}

}  // namespace keel::raft
