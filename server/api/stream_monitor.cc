#include "server/api/stream_monitor.h"
#include "base/thread_name.h"

#include <algorithm>
#include <utility>

namespace keel::server {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(5);
constexpr absl::Duration kStopGrace = absl::Milliseconds(500);

absl::Status Stopped() { return absl::UnavailableError("etcdserver: server stopped"); }

}  // namespace

StreamMonitor::StreamMonitor(const Member* member, absl::Duration election_timeout, std::function<void()> on_tick)
    : member_(member),
      leaderless_max_(3 * election_timeout),
      interval_(std::clamp(election_timeout / 4, absl::Milliseconds(5), absl::Milliseconds(250))),
      on_tick_(std::move(on_tick)) {}

StreamMonitor::~StreamMonitor() { Stop(); }

void StreamMonitor::Start() {
  leader_seen_ = member_->clock->Now();
  thread_ = std::thread([this] { Run(); });
}

void StreamMonitor::Stop() {
  {
    absl::MutexLock lock(&mu_);
    if (stopping_) return;
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
  for (const auto& stream : Streams(/*only_requiring_leader=*/false)) stream->End(Stopped());
  if (WaitForNone()) return;
  for (const auto& stream : Streams(/*only_requiring_leader=*/false)) stream->Abort();
  WaitForNone();
}

bool StreamMonitor::WaitForNone() {
  absl::MutexLock lock(&mu_);
  auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return streams_.empty(); };
  return mu_.AwaitWithTimeout(absl::Condition(&none), kStopGrace);
}

StreamMonitor::Id StreamMonitor::Add(std::weak_ptr<OpenStream> stream, bool requires_leader) {
  std::shared_ptr<OpenStream> late;
  Id id;
  {
    absl::MutexLock lock(&mu_);
    id = next_id_++;
    if (stopping_) late = stream.lock();
    streams_.emplace(id, Entry{std::move(stream), requires_leader});
  }
  if (late != nullptr) late->End(Stopped());
  return id;
}

void StreamMonitor::Remove(Id id) {
  absl::MutexLock lock(&mu_);
  streams_.erase(id);
}

void StreamMonitor::Poll(Call call, absl::AnyInvocable<bool()> reached, Done done) {
  {
    absl::MutexLock lock(&mu_);
    if (!stopping_) {
      waits_.push_back({std::move(call), std::move(reached), std::move(done)});
      return;
    }
  }
  done(Stopped());
}

void StreamMonitor::Run() {
  NameThread("streams");
  bool stopping = false;
  while (!stopping) {
    if (on_tick_) on_tick_();
    CheckLeader();
    CheckWaits();
    absl::MutexLock lock(&mu_);
    if (waits_.empty()) {
      mu_.AwaitWithTimeout(absl::Condition(this, &StreamMonitor::HasWork), interval_);
    } else {
      mu_.AwaitWithTimeout(absl::Condition(&stopping_), kPollInterval);
    }
    stopping = stopping_;
  }
  std::vector<Wait> waits;
  {
    absl::MutexLock lock(&mu_);
    waits.swap(waits_);
  }
  for (Wait& wait : waits) wait.done(Stopped());
}

void StreamMonitor::CheckLeader() {
  const absl::Time now = member_->clock->Now();
  if (member_->node->leader() != raft::kNobody) {
    leader_seen_ = now;
    return;
  }
  if (now - leader_seen_ < leaderless_max_) return;
  for (const auto& stream : Streams(/*only_requiring_leader=*/true)) {
    stream->End(absl::UnavailableError("etcdserver: no leader"));
  }
}

void StreamMonitor::CheckWaits() {
  std::vector<Wait> waits;
  {
    absl::MutexLock lock(&mu_);
    waits.swap(waits_);
  }
  std::vector<Wait> remaining;
  for (Wait& wait : waits) {
    if (wait.reached()) {
      wait.done(absl::OkStatus());
    } else if (wait.call.is_cancelled()) {
      wait.done(absl::CancelledError("context canceled"));
    } else if (member_->clock->Now() >= wait.call.client_deadline) {
      wait.done(absl::DeadlineExceededError("context deadline exceeded"));
    } else {
      remaining.push_back(std::move(wait));
    }
  }
  absl::MutexLock lock(&mu_);
  for (Wait& wait : remaining) waits_.push_back(std::move(wait));
}

std::vector<std::shared_ptr<OpenStream>> StreamMonitor::Streams(bool only_requiring_leader) {
  std::vector<std::shared_ptr<OpenStream>> streams;
  absl::MutexLock lock(&mu_);
  for (const auto& [id, entry] : streams_) {
    if (only_requiring_leader && !entry.requires_leader) continue;
    if (auto stream = entry.stream.lock()) streams.push_back(std::move(stream));
  }
  return streams;
}

}  // namespace keel::server
