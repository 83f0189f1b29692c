#include "server/integrity/integrity_checker.h"

#include <algorithm>
#include <map>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "base/log.h"
#include "server/integrity/compare.h"

namespace keel::server {
namespace {

std::string Hex(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

class IntegrityCheckerImpl final : public IntegrityChecker {
 public:
  IntegrityCheckerImpl(const Options& options, const Clock* clock, const storage::StateStore* store, raft::Node* node,
                       Proposer* proposer, std::unique_ptr<IntegrityPeers> peers)
      : options_(options),
        clock_(*clock),
        store_(*store),
        node_(*node),
        proposer_(*proposer),
        peers_(std::move(peers)),
        pause_(Pause(options)),
        next_check_(clock->Now() + options.interval),
        next_history_check_(clock->Now() + options.history_interval),
        thread_([this] { Run(); }) {}
  ~IntegrityCheckerImpl() override { Stop(); }

  Counts counts() const override {
    return {.checks = checks_.load(), .comparisons = comparisons_.load(), .mismatches = mismatches_.load()};
  }

  void Stop() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    peers_->Stop();
    absl::MutexLock lock(&join_mu_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  // How soon a member notices that it leads, or that it has been found to differ.
  static absl::Duration Pause(const Options& options) {
    absl::Duration pause = absl::Milliseconds(200);
    for (const absl::Duration interval : {options.interval, options.history_interval}) {
      if (interval > absl::ZeroDuration()) pause = std::min(pause, interval);
    }
    return pause;
  }

  void Run() {
    while (true) {
      Turn();
      absl::MutexLock lock(&mu_);
      if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), pause_)) return;
    }
  }

  void Turn() {
    TellOfOwnAlarm();
    if (node_.status().core.role != raft::Role::kLeader) return;
    const absl::Time now = clock_.Now();
    if (options_.interval > absl::ZeroDuration() && now >= next_check_) {
      next_check_ = now + options_.interval;
      CheckState();
    }
    if (options_.history_interval > absl::ZeroDuration() && now >= next_history_check_) {
      next_history_check_ = now + options_.history_interval;
      CheckHistory();
    }
  }

  void CheckState() {
    const std::vector<storage::MemberRecord> members = store_.members();
    std::vector<MemberHashes> said = {{.member_id = options_.member_id}};
    for (const storage::MemberRecord& member : members) {
      if (member.id == options_.member_id) continue;
      auto samples = peers_->StateHashes(member);
      if (!samples.ok()) {
        KEEL_LOG_DEBUG("a member did not tell its hashes", {{"peer", Hex(member.id)}, {"error", samples.status()}});
        continue;
      }
      said.push_back({.member_id = member.id, .samples = *std::move(samples)});
    }
    // Last, so that what the others have applied is applied here, too.
    said.front().samples = store_.hash_samples();
    Judge("running hash", CompareHashes(said, members.size()));
  }

  void CheckHistory() {
    const std::vector<storage::MemberRecord> members = store_.members();
    const auto own = store_.HashKv(storage::Revision(0));
    if (!own.ok()) {
      KEEL_LOG_WARN("cannot hash the own history", {{"error", own.status()}});
      return;
    }
    const int64_t revision = own->hash_revision.value();
    const auto sample = [&](uint32_t hash) {
      return std::vector<storage::HashSample>{{.index = static_cast<uint64_t>(revision), .hash = hash}};
    };
    std::vector<MemberHashes> said = {{.member_id = options_.member_id, .samples = sample(own->hash)}};
    for (const storage::MemberRecord& member : members) {
      if (member.id == options_.member_id) continue;
      const auto theirs = peers_->HistoryHash(member, revision);
      // Who has compacted differently hashes something else; the next round finds them at the same place.
      if (!theirs.ok() || theirs->compact_revision != own->compact_revision.value()) continue;
      said.push_back({.member_id = member.id, .samples = sample(theirs->hash)});
    }
    Judge("hash of the history", CompareHashes(said, members.size()));
  }

  void Judge(const char* what, const Verdict& verdict) {
    if (verdict.compared < 2) return;
    checks_.fetch_add(1);
    comparisons_.fetch_add(verdict.compared - 1);
    if (!verdict.differ) return;
    mismatches_.fetch_add(1);
    std::vector<uint64_t> suspects = verdict.suspects;
    if (suspects.empty()) suspects.push_back(0);  // Nobody knows who is right.
    for (const uint64_t suspect : suspects) {
      if (IsRaised(suspect)) continue;
      KEEL_LOG_ERROR("members differ in their state; raising an alarm", {{"compared", what},
                                                                         {"at", verdict.index},
                                                                         {"members-compared", verdict.compared},
                                                                         {"corrupt-member", Hex(suspect)}});
      Raise(suspect);
    }
  }

  bool IsRaised(uint64_t member_id) const {
    for (const etcdserverpb::AlarmMember& alarm : store_.alarms()) {
      if (alarm.memberid() == member_id && alarm.alarm() == etcdserverpb::CORRUPT) return true;
    }
    return false;
  }

  // If it fails, the next check finds the same again.
  void Raise(uint64_t member_id) {
    command::Command command;
    etcdserverpb::AlarmRequest* alarm = command.mutable_alarm();
    alarm->set_action(etcdserverpb::AlarmRequest::ACTIVATE);
    alarm->set_memberid(member_id);
    alarm->set_alarm(etcdserverpb::CORRUPT);
    proposer_.Submit(std::move(command), clock_.Now() + options_.request_timeout,
                     [](const absl::StatusOr<ApplyResult>& result) {
                       const absl::Status status = result.ok() ? result->status : result.status();
                       if (!status.ok()) KEEL_LOG_WARN("the alarm was not raised", {{"error", status}});
                     });
  }

  void TellOfOwnAlarm() {
    const bool raised = IsRaised(options_.member_id);
    if (raised && !told_) {
      KEEL_LOG_ERROR(
          "the state of this member differs from the other members'; remove it from the cluster, add it again with an "
          "empty data directory, then disarm the alarm",
          {{"member", Hex(options_.member_id)}});
    }
    told_ = raised;
  }

  const Options options_;
  const Clock& clock_;
  const storage::StateStore& store_;
  raft::Node& node_;
  Proposer& proposer_;
  const std::unique_ptr<IntegrityPeers> peers_;
  const absl::Duration pause_;
  std::atomic<uint64_t> checks_{0};
  std::atomic<uint64_t> comparisons_{0};
  std::atomic<uint64_t> mismatches_{0};

  // The thread's own.
  absl::Time next_check_;
  absl::Time next_history_check_;
  bool told_ = false;

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Mutex join_mu_;  // Never held by the thread.
  std::thread thread_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace

std::unique_ptr<IntegrityChecker> IntegrityChecker::Start(const Options& options, const Clock* clock,
                                                          const storage::StateStore* store, raft::Node* node,
                                                          Proposer* proposer, std::unique_ptr<IntegrityPeers> peers) {
  return std::make_unique<IntegrityCheckerImpl>(options, clock, store, node, proposer, std::move(peers));
}

}  // namespace keel::server
