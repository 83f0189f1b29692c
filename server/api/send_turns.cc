#include "server/api/send_turns.h"

#include <utility>

#include "absl/time/clock.h"

namespace keel::server {

void SendTurns::StepBack(absl::AnyInvocable<void()> go_on) {
  {
    absl::MutexLock lock(&mu_);
    waiting_.push_back(std::move(go_on));
    if (waiting_.size() > 1) return;  // The next turn is on its way.
  }
  senders_->Run([self = shared_from_this()] { self->NextTurn(); });
}

void SendTurns::NextTurn() {
  absl::SleepFor(kPause);
  std::vector<absl::AnyInvocable<void()>> waiting;
  {
    absl::MutexLock lock(&mu_);
    waiting = std::exchange(waiting_, {});
    left_.store(kMessagesPerTurn, std::memory_order_relaxed);
  }
  for (absl::AnyInvocable<void()>& go_on : waiting) go_on();
}

}  // namespace keel::server
