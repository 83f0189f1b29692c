#include "client/src/housekeeping.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "client/src/convert.h"
#include "client/src/unary_call.h"
#include "keel/cluster.h"

namespace keel::client {
namespace {

// How long a member may take to say whether it leads.
constexpr absl::Duration kStatusTimeout = absl::Seconds(1);
// At least between two rounds, however many endpoints fail.
constexpr absl::Duration kRoundPause = absl::Milliseconds(250);

// Asks every endpoint now and then whether it leads, sooner when one has failed. Of several that claim it, the one of
// the newest term is believed. Thread-safe; kept alive by the timer or the round that is pending. `core` outlives both.
class LeaderFinder final : public std::enable_shared_from_this<LeaderFinder> {
 public:
  explicit LeaderFinder(Core& core) : core_(core) {}

  void Round() {
    const std::vector<std::string> endpoints = core_.endpoints();
    {
      absl::MutexLock lock(&mu_);
      timer_.reset();
      running_ = true;
      nudged_ = false;
      pending_ = endpoints.size();
      term_ = 0;
      leader_.clear();
    }
    constexpr CallTraits kOneAttempt = {
        .call_class = CallClass::kRepeatable, .is_write = false, .attempts_max = 1, .counts = false};
    for (const std::string& endpoint : endpoints) {
      StartCall<&Connection::maintenance, &etcdserverpb::Maintenance::Stub::AsyncStatus, StatusResponse>(
          core_, kOneAttempt, {.timeout = kStatusTimeout, .endpoint = endpoint},
          [](etcdserverpb::StatusRequest*) { return absl::OkStatus(); }, kByFromProto,
          [self = shared_from_this(), endpoint](const absl::StatusOr<StatusResponse>& status) {
            self->Answered(endpoint, status);
          });
    }
  }

  // An endpoint has failed: perhaps somebody else leads now.
  void Nudge() {
    absl::MutexLock lock(&mu_);
    if (nudged_) return;
    nudged_ = true;
    if (!running_) ScheduleIn(kRoundPause);
  }

 private:
  void Answered(const std::string& endpoint, const absl::StatusOr<StatusResponse>& status) {
    absl::MutexLock lock(&mu_);
    if (status.ok() && status->is_leader() && status->raft_term >= term_) {
      term_ = status->raft_term;
      leader_ = endpoint;
      core_.SetLeader(leader_);  // Those who take their time need not be waited for.
    }
    if (--pending_ > 0) return;
    if (leader_.empty()) core_.SetLeader("");
    running_ = false;
    ScheduleIn(nudged_ ? kRoundPause : core_.options().leader_refresh);
  }

  void ScheduleIn(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (core_.stopping()) return;
    if (timer_) core_.timers().Cancel(*timer_);
    timer_ = core_.timers().Schedule(delay, [self = shared_from_this()](TimerThread::Outcome outcome) {
      if (outcome == TimerThread::Outcome::kFired) self->Round();
    });
  }

  Core& core_;
  absl::Mutex mu_;
  std::optional<TimerThread::Id> timer_ ABSL_GUARDED_BY(mu_);
  bool running_ ABSL_GUARDED_BY(mu_) = false;  // A round.
  bool nudged_ ABSL_GUARDED_BY(mu_) = false;   // A round is wanted soon.
  size_t pending_ ABSL_GUARDED_BY(mu_) = 0;    // Answers of the round.
  uint64_t term_ ABSL_GUARDED_BY(mu_) = 0;     // Of the leader it has found.
  std::string leader_ ABSL_GUARDED_BY(mu_);
};

void SyncIn(Core& core, absl::Duration delay) {
  core.timers().Schedule(delay, [&core, delay](TimerThread::Outcome outcome) {
    if (outcome == TimerThread::Outcome::kStopped) return;
    Cluster(core).ListAsync({}, {}, [&core, delay](const absl::StatusOr<MembersResponse>& members) {
      // What does not work now is tried again after the interval; the endpoints stay as they are until then.
      if (members.ok()) TakeEndpoints(core, *members).IgnoreError();
      if (!core.stopping()) SyncIn(core, delay);
    });
  });
}

}  // namespace

absl::Status TakeEndpoints(Core& core, const MembersResponse& members) {
  std::vector<std::string> endpoints;
  for (const Member& member : members.members) {
    if (!member.is_started() || member.is_learner) continue;
    endpoints.insert(endpoints.end(), member.client_urls.begin(), member.client_urls.end());
  }
  if (endpoints.empty()) return absl::FailedPreconditionError("no started member says where clients find it");
  return core.SetEndpoints(endpoints);
}

void StartHousekeeping(Core& core) {
  if (core.options().balance == Balance::kLeader) {
    const auto finder = std::make_shared<LeaderFinder>(core);
    core.set_on_failure([finder] { finder->Nudge(); });
    finder->Round();
  }
  if (core.options().sync_interval < absl::InfiniteDuration()) SyncIn(core, core.options().sync_interval);
}

}  // namespace keel::client
