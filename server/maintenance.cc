#include "server/maintenance.h"

#include <atomic>
#include <optional>
#include <thread>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "base/log.h"

namespace keel::server {
namespace {

class MaintenanceImpl final : public Maintenance {
 public:
  MaintenanceImpl(const Options& options, const Clock* clock, storage::StateStore* store, const storage::RaftLog* log,
                  raft::Node* node, Proposer* proposer, SpaceAlarm* space_alarm,
                  std::function<void(absl::Status)> on_fatal)
      : options_(options),
        clock_(*clock),
        store_(*store),
        log_(*log),
        node_(*node),
        proposer_(*proposer),
        space_alarm_(*space_alarm),
        on_fatal_(std::move(on_fatal)),
        auto_compactor_(options.auto_compaction_mode, options.auto_compaction, clock->Now()),
        last_flush_(clock->Now()),
        thread_([this] { Run(); }) {}

  ~MaintenanceImpl() override { Stop(); }

  void Stop() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    absl::MutexLock lock(&join_mu_);
    if (thread_.joinable()) thread_.join();
  }

 private:
  // What the answer to a proposed compaction leaves; shared, since it may come after the end.
  struct Proposed {
    absl::Mutex mu;
    bool in_flight ABSL_GUARDED_BY(mu) = false;
    std::optional<storage::Revision> done ABSL_GUARDED_BY(mu);
  };

  void Run() {
    while (true) {
      bool more = false;
      if (const absl::Status status = Turn(&more); !status.ok()) return on_fatal_(status);
      absl::MutexLock lock(&mu_);
      const absl::Duration pause = more ? options_.pause_between_steps : options_.poll_interval;
      if (mu_.AwaitWithTimeout(absl::Condition(&stopping_), pause)) return;
    }
  }

  absl::Status Turn(bool* more) {
    if (store_.compacted_physically() < store_.compact_revision()) {
      const absl::Time begin = clock_.Now();
      if (!compacting_since_) compacting_since_ = begin;
      const absl::StatusOr<bool> step = store_.CompactStep(options_.revisions_per_step);
      if (!step.ok()) return step.status();
      *more = *step;
      const absl::Time end = clock_.Now();
      options_.compacted(end - begin, *more ? std::nullopt : std::optional(end - *compacting_since_));
      if (!*more) compacting_since_.reset();
    }
    const absl::StatusOr<bool> step = store_.CheckpointIndexStep();
    if (!step.ok()) return step.status();
    *more |= *step;
    PollAutoCompaction();
    space_alarm_.Poll();
    return FlushWhenDue();
  }

  absl::Status FlushWhenDue() {
    const absl::Time now = clock_.Now();
    const uint64_t durable = store_.durable_applied().index;
    if (store_.applied().index <= durable) {
      last_flush_ = now;
      return absl::OkStatus();
    }
    if (now - last_flush_ < options_.unflushed_age_max &&
        log_.BytesAfter(raft::Index{durable}) <= options_.unflushed_log_bytes_max) {
      return absl::OkStatus();
    }
    const absl::Status status = store_.Flush();
    last_flush_ = clock_.Now();
    if (status.ok()) options_.saved(last_flush_ - now);
    return status;
  }

  void PollAutoCompaction() {
    if (!auto_compactor_.enabled()) return;
    const absl::Time now = clock_.Now();
    {
      absl::MutexLock lock(&proposed_->mu);
      if (proposed_->done) auto_compactor_.Compacted(*std::exchange(proposed_->done, std::nullopt), now);
      if (proposed_->in_flight) return;
    }
    const bool leads = node_.status().core.role == raft::Role::kLeader;
    const std::optional<storage::Revision> target = auto_compactor_.Poll(now, store_.current_revision(), leads);
    if (target) Propose(*target, now);
  }

  void Propose(storage::Revision target, absl::Time now) {
    {
      absl::MutexLock lock(&proposed_->mu);
      proposed_->in_flight = true;
    }
    command::Command command;
    command.mutable_compaction()->set_revision(target.value());
    KEEL_LOG_INFO("starting auto compaction", {{"revision", target}});
    proposer_.Submit(std::move(command), now + options_.request_timeout,
                     [proposed = proposed_, target](absl::StatusOr<ApplyResult> result) {
                       const absl::Status status = result.ok() ? result->status : result.status();
                       // Out of range: somebody has compacted further already.
                       if (!status.ok() && !absl::IsOutOfRange(status)) {
                         KEEL_LOG_WARN("failed auto compaction", {{"revision", target}, {"error", status}});
                       }
                       absl::MutexLock lock(&proposed->mu);
                       proposed->in_flight = false;
                       if (status.ok() || absl::IsOutOfRange(status)) proposed->done = target;
                     });
  }

  const Options options_;
  const Clock& clock_;
  storage::StateStore& store_;
  const storage::RaftLog& log_;
  raft::Node& node_;
  Proposer& proposer_;
  SpaceAlarm& space_alarm_;
  const std::function<void(absl::Status)> on_fatal_;

  // The thread's own.
  AutoCompactor auto_compactor_;
  std::optional<absl::Time> compacting_since_;  // The first step of the removal that is under way.
  absl::Time last_flush_;                       // Or when there last was nothing to flush.
  const std::shared_ptr<Proposed> proposed_ = std::make_shared<Proposed>();

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  absl::Mutex join_mu_;  // Never held by the thread.
  std::thread thread_ ABSL_GUARDED_BY(join_mu_);
};

}  // namespace

std::unique_ptr<Maintenance> Maintenance::Start(const Options& options, const Clock* clock, storage::StateStore* store,
                                                const storage::RaftLog* log, raft::Node* node, Proposer* proposer,
                                                SpaceAlarm* space_alarm, std::function<void(absl::Status)> on_fatal) {
  return std::make_unique<MaintenanceImpl>(options, clock, store, log, node, proposer, space_alarm,
                                           std::move(on_fatal));
}

}  // namespace keel::server
