#include "server/proposer.h"

#include <array>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "base/random.h"
#include "base/thread_name.h"

namespace keel::server {
namespace {

absl::Status StoppedError() { return absl::UnavailableError("etcdserver: server stopped"); }
absl::Status TooManyRequests() { return absl::ResourceExhaustedError("etcdserver: too many requests"); }

// Waiting calls live in shards by request id, so that the RPC threads and the apply thread rarely meet. Deadlines are
// found by a scan of a shard whose earliest one has passed: calls nearly always end long before, so a heap would be
// full of the dead, while a scan happens about once per request timeout.
class ProposerImpl final : public Proposer {
 public:
  ProposerImpl(const Options& options, uint64_t member_id, const Clock* clock)
      : options_(options), clock_(clock), first_id_(FirstId(options, member_id)), next_id_(first_id_) {
    if (options_.drive == Drive::kThread) timer_ = std::thread([this] { RunTimer(); });
  }
  ~ProposerImpl() override { Stop(); }

  void Attach(raft::Node* node) override { node_ = node; }

  void Submit(command::Command command, absl::Time deadline, Done done) override {
    KEEL_CHECK(node_ != nullptr) << "Submit before Attach";
    const uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
    command.set_request_id(id);
    std::string bytes = command.SerializeAsString();
    if (bytes.size() > options_.request_bytes_max) {
      done(absl::InvalidArgumentError("etcdserver: request is too large"));
      return;
    }
    if (absl::Status status = Register(id, deadline, &done); !status.ok()) {
      done(std::move(status));
      return;
    }
    const absl::Status proposed = node_->Propose(raft::Payload(std::move(bytes)), deadline);
    if (proposed.ok()) return;
    // Stop() or the timer may have answered meanwhile.
    if (Done refused = Take(id)) {
      refused(absl::IsUnavailable(proposed) ? StoppedError() : TooManyRequests());
    }
  }

  absl::StatusOr<uint64_t> Await(absl::Time deadline, Done done) override {
    const uint64_t id = next_id_.fetch_add(1, std::memory_order_relaxed);
    if (absl::Status status = Register(id, deadline, &done); !status.ok()) return status;
    return id;
  }

  void Abandon(uint64_t request_id, const absl::Status& why) override {
    if (Done done = Take(request_id)) done(why);
  }

  bool IsWaiting(uint64_t request_id) const override {
    if (!IsOurs(request_id)) return false;
    const Shard& shard = ShardOf(request_id);
    absl::MutexLock lock(&shard.mutex);
    return shard.calls.contains(request_id);
  }

  void Complete(uint64_t request_id, ApplyResult result) override {
    if (!IsOurs(request_id)) return;
    if (Done done = Take(request_id)) done(std::move(result));
  }

  void OnLeadership(raft::Role /*role*/, raft::Term /*term*/, raft::MemberId leader) override {
    const absl::Time now = clock_->Now();
    absl::MutexLock lock(&leader_mutex_);
    if (leader == leader_) return;
    leader_ = leader;
    if (leader == raft::kNobody) {
      leaderless_since_ = now;
      return;
    }
    if (leader_since_ != absl::InfinitePast()) give_up_at_ = now + options_.election_timeout / 2;
    leader_since_ = now;
  }

  void Poll() override {
    const absl::Time lost_before = LostBefore();
    for (Shard& shard : shards_) EndOverdue(&shard, lost_before);
  }

  void Stop() override {
    {
      absl::MutexLock lock(&timer_mutex_);
      stopping_ = true;
    }
    if (timer_.joinable()) timer_.join();
    for (Shard& shard : shards_) {
      absl::flat_hash_map<uint64_t, Call> calls;
      {
        absl::MutexLock lock(&shard.mutex);
        shard.closed = true;
        calls.swap(shard.calls);
      }
      waiting_.fetch_sub(calls.size(), std::memory_order_relaxed);
      for (auto& [id, call] : calls) call.done(StoppedError());
    }
  }

 private:
  struct Call {
    absl::Time submitted;
    absl::Time deadline;
    Done done;
  };
  struct Shard {
    mutable absl::Mutex mutex;
    absl::flat_hash_map<uint64_t, Call> calls ABSL_GUARDED_BY(mutex);
    // No call's deadline is earlier.
    absl::Time earliest ABSL_GUARDED_BY(mutex) = absl::InfiniteFuture();
    bool closed ABSL_GUARDED_BY(mutex) = false;
  };
  static constexpr size_t kShards = 8;

  // A random number for this incarnation of the process in the upper half and a counter in the lower one. The counter
  // may run over into the upper half: what matters is that nobody else counts there.
  static uint64_t FirstId(const Options& options, uint64_t member_id) {
    Random random((options.seed.has_value() ? *options.seed : Random::EntropySeed()) ^ member_id);
    return (random.Below(uint64_t{1} << 32) << 32) | 1;
  }
  bool IsOurs(uint64_t id) const { return id - first_id_ < next_id_.load(std::memory_order_relaxed) - first_id_; }

  Shard& ShardOf(uint64_t id) { return shards_[id % kShards]; }
  const Shard& ShardOf(uint64_t id) const { return shards_[id % kShards]; }

  // Takes `*done` only when it returns OK.
  absl::Status Register(uint64_t id, absl::Time deadline, Done* done) {
    if (waiting_.fetch_add(1, std::memory_order_relaxed) >= options_.waiting_max) {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      return TooManyRequests();
    }
    const absl::Time now = clock_->Now();
    Shard& shard = ShardOf(id);
    absl::MutexLock lock(&shard.mutex);
    if (shard.closed) {
      waiting_.fetch_sub(1, std::memory_order_relaxed);
      return StoppedError();
    }
    shard.calls.emplace(id, Call{.submitted = now, .deadline = deadline, .done = std::move(*done)});
    shard.earliest = std::min(shard.earliest, deadline);
    return absl::OkStatus();
  }

  // Empty when nobody waits for it (any more).
  Done Take(uint64_t id) {
    Shard& shard = ShardOf(id);
    Done done;
    {
      absl::MutexLock lock(&shard.mutex);
      auto it = shard.calls.find(id);
      if (it == shard.calls.end()) return nullptr;
      done = std::move(it->second.done);
      shard.calls.erase(it);
    }
    waiting_.fetch_sub(1, std::memory_order_relaxed);
    return done;
  }

  void RunTimer() {
    NameThread("proposer");
    absl::MutexLock lock(&timer_mutex_);
    while (!timer_mutex_.AwaitWithTimeout(absl::Condition(&stopping_), options_.timer_tick)) {
      timer_mutex_.Unlock();
      Poll();
      timer_mutex_.Lock();
    }
  }

  // What was sent to a leader that has been succeeded is nearly always lost with it, and who waits for it should not
  // wait for the whole of its deadline: when the new leader has had its time to answer what it did get, calls from
  // before it end. Everything from before this was sent to such a leader.
  absl::Time LostBefore() {
    absl::MutexLock lock(&leader_mutex_);
    if (clock_->Now() < give_up_at_) return absl::InfinitePast();
    give_up_at_ = absl::InfiniteFuture();
    return leader_since_;
  }

  void EndOverdue(Shard* shard, absl::Time lost_before) {
    const absl::Time now = clock_->Now();
    std::map<uint64_t, Call> overdue;  // In the order of their submission.
    {
      absl::MutexLock lock(&shard->mutex);
      if (shard->earliest > now && lost_before == absl::InfinitePast()) return;
      shard->earliest = absl::InfiniteFuture();
      for (auto it = shard->calls.begin(); it != shard->calls.end();) {
        auto call = it++;
        if (call->second.deadline <= now || call->second.submitted < lost_before) {
          overdue.emplace(call->first, std::move(call->second));
          shard->calls.erase(call);
        } else {
          shard->earliest = std::min(shard->earliest, call->second.deadline);
        }
      }
    }
    waiting_.fetch_sub(overdue.size(), std::memory_order_relaxed);
    for (auto& [id, call] : overdue) call.done(call.deadline <= now ? WhyLate(call.submitted) : LeaderFailure());
  }

  absl::Status WhyLate(absl::Time submitted) const {
    absl::MutexLock lock(&leader_mutex_);
    if (leader_ == raft::kNobody) {
      // There was nobody to propose to in all this time, or it went to the leader that was lost.
      return leaderless_since_ <= submitted ? absl::DeadlineExceededError("context deadline exceeded")
                                            : LeaderFailure();
    }
    // Sent around the time of a change of leaders: the one that took it failed before it was done with it.
    if (submitted < leader_since_ && submitted > leader_since_ - 2 * options_.election_timeout) return LeaderFailure();
    return absl::UnavailableError("etcdserver: request timed out");
  }
  static absl::Status LeaderFailure() {
    return absl::UnavailableError("etcdserver: request timed out, possibly due to previous leader failure");
  }

  const Options options_;
  const Clock* const clock_;
  const uint64_t first_id_;
  raft::Node* node_ = nullptr;

  std::atomic<uint64_t> next_id_;
  std::atomic<size_t> waiting_{0};
  std::array<Shard, kShards> shards_;

  mutable absl::Mutex leader_mutex_;
  raft::MemberId leader_ ABSL_GUARDED_BY(leader_mutex_) = raft::kNobody;
  absl::Time leaderless_since_ ABSL_GUARDED_BY(leader_mutex_) = absl::InfinitePast();
  absl::Time leader_since_ ABSL_GUARDED_BY(leader_mutex_) = absl::InfinitePast();
  absl::Time give_up_at_ ABSL_GUARDED_BY(leader_mutex_) = absl::InfiniteFuture();  // See LostBefore().

  absl::Mutex timer_mutex_;
  bool stopping_ ABSL_GUARDED_BY(timer_mutex_) = false;
  std::thread timer_;
};

}  // namespace

std::unique_ptr<Proposer> Proposer::Create(const Options& options, uint64_t member_id, const Clock* clock) {
  return std::make_unique<ProposerImpl>(options, member_id, clock);
}

}  // namespace keel::server
