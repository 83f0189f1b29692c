#pragma once

// One simulated member: the production core, log and truncation policy, a state machine, and in place of the threads of
// raft::Node a model of them. The raft thread reacts at once; the log writer takes everything queued, as the real one
// does, and needs simulated time for it; the apply thread and the log reader come when they come. A crash hits the log
// writer between any two operations of its disk.
//
// Owned by one thread (the world's).

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/random.h"
#include "raft/core.h"
#include "raft/truncation_policy.h"
#include "storage/log/raft_log.h"
#include "tests/sim/disk.h"
#include "tests/sim/ledger.h"
#include "tests/sim/log_mirror.h"
#include "tests/sim/machine.h"
#include "tests/sim/options.h"
#include "tests/sim/world.h"

namespace keel::sim {

class Member;

// The world around a member. The On... calls report what has just happened or is about to, for whoever checks.
class MemberHost {
 public:
  virtual ~MemberHost() = default;

  // False: lost at once, and the member's connection shows it.
  virtual bool Send(const Member& from, const raft::Message& message) = 0;
  // `report` is told how it ended, once.
  virtual void SendSnapshot(const Member& from, const raft::SnapshotWork& work, const raft::SnapshotMeta& meta,
                            std::string bytes, std::function<void(absl::Status)> report) = 0;

  // The log has recovered, and the mirrors still hold what was true before the crash.
  virtual void OnRecovered(const Member& member, storage::RaftLog& log) = 0;
  virtual void OnStarted(const Member& member) = 0;
  // Before the core is gone.
  virtual void OnStopping(const Member& member) = 0;
  // It is given up for good: its data is damaged.
  virtual void OnLost(const Member& member, const absl::Status& why) = 0;
  // It handed out a write, before the mirror knows.
  virtual void OnWrite(const Member& member, const raft::AppendWork& work) = 0;
  virtual void OnHandedToApply(const Member& member, const raft::ApplyWork& work) = 0;
  virtual void OnApplied(const Member& member, std::span<const raft::Entry> entries) = 0;
  virtual void OnInstalled(const Member& member) = 0;
  // Its core was given a message.
  virtual void OnStepped(const Member& member, const raft::Message& message, const absl::Status& status) = 0;
  // After every input and all that followed from it.
  virtual void OnEvent(const Member& member) = 0;
};

class Member {
 public:
  // OK: everything that was committed when the read began is applied on this member. Called once, unless the member
  // ends before.
  using ReadDone = std::function<void(const absl::Status&)>;

  Member(World* world, Ledger* ledger, const SimOptions* options, raft::MemberId id, std::unique_ptr<Machine> machine,
         MemberHost* host);
  ~Member();

  // --- Its life.

  // From what its disk holds. Does nothing when it is up or lost.
  void Start();
  // The process ends, or its machine does.
  void Kill();
  void PowerCut(SimDisk::Loss loss);
  // Stands still until then, and then goes on as if nothing had been.
  void PauseUntil(SimTime time) { paused_until_ = std::max(paused_until_, time); }
  void StallDiskUntil(SimTime time) { stalled_until_ = std::max(stalled_until_, time); }
  // All it has on its disk, and back to that. Restore and Wipe: REQUIRES: !is_up().
  struct Directory {
    std::shared_ptr<const SimDisk::Image> log;
    std::string state;
    raft::Index last;
  };
  std::optional<Directory> Save();
  void Restore(const Directory& directory);
  void Wipe();
  // From now on it is not slow, and its clock is right.
  void EndFaults();

  bool is_up() const { return core_ != nullptr; }
  // Grows with every start and end.
  uint64_t life() const { return life_; }
  bool is_paused() const { return paused_until_ > world_.now(); }
  // Damaged data; it does not come back.
  bool is_lost() const { return lost_; }

  // --- Inputs. REQUIRES: is_up().

  void Deliver(raft::Message message);
  absl::Status Propose(std::vector<raft::Payload> payloads);
  void Read(ReadDone done);
  // A complete snapshot has arrived. `decided` is told how it ended, as SendSnapshot's `report`.
  void OfferSnapshot(raft::MemberId from, raft::Term term, const raft::SnapshotMeta& meta, std::string bytes,
                     std::function<void(absl::Status)> decided);
  // Anything else.
  void Input(const std::function<void(raft::Core&)>& input);
  // The state becomes durable, and the log before it may go.
  void FlushAndTruncate();

  // --- Facts.

  raft::MemberId id() const { return id_; }
  int node() const { return static_cast<int>(id_.value()); }
  const raft::Core& core() const { return *core_; }
  raft::CoreStatus status() const { return core_->status(); }
  Machine& machine() { return *machine_; }
  const Machine& machine() const { return *machine_; }
  SimDisk& disk() { return disk_; }
  const SimDisk& disk() const { return disk_; }
  // Everything handed out to be written; what is durable of it; and what the log writer was about to make durable
  // when the member ended.
  const LogMirror& written() const { return written_; }
  const LogMirror& durable() const { return durable_; }
  const raft::HardState& durable_hard_state() const { return durable_hard_state_; }
  const std::optional<raft::StableBatch>& interrupted() const { return interrupted_; }
  const std::optional<raft::EntryId>& interrupted_reset() const { return interrupted_reset_; }
  size_t waiting_reads() const { return reads_.size(); }
  // It has applied all it knows to be committed, and has nothing left to do for it.
  bool is_idle() const { return jobs_.empty() && running_.empty() && tasks_.empty(); }

 private:
  struct AppendJob {
    std::optional<raft::AppendTicket> ticket;
    raft::StableBatch batch;
    std::vector<raft::Message> after;
  };
  struct TruncateJob {
    raft::Index through;
  };
  struct ResetJob {
    raft::SnapshotMeta meta;
  };
  using Job = std::variant<AppendJob, TruncateJob, ResetJob>;
  struct ApplyTask {
    raft::ApplyWork work;  // From its `first` on, what is still to be done.
    std::optional<raft::SnapshotMeta> install;
  };
  struct PendingRead {
    ReadDone done;
    std::optional<raft::Index> index;  // Answered; waits for apply.
  };
  struct Offer {
    raft::SnapshotMeta meta;
    std::string bytes;
    std::function<void(absl::Status)> done;
  };

  // Void if the member has ended meanwhile; postponed while it is paused.
  void After(SimTime delay, std::function<void()> action);
  void Tick();
  void Pump();
  void Execute(raft::Ready ready);
  void SendAll(std::vector<raft::Message> messages);

  void StartWriting();
  void FinishWriting();
  // What the log writer does with its jobs; false when it failed, and the member has ended or will.
  absl::Status RunJobs(std::vector<Job>* jobs);
  absl::Status RunAppend(AppendJob* job);
  void StartApplying();
  void FinishApplying();
  absl::StatusOr<std::vector<raft::Entry>> NextGroup(const raft::ApplyWork& work) const;
  void FinishInstall(const raft::SnapshotMeta& meta);
  void Fetch(const raft::FetchWork& work);
  void StartSnapshot(const raft::SnapshotWork& work);
  void OnReadResult(const raft::ReadResult& result);
  void FinishReads();
  void MaybeTruncate();

  absl::Status Open();
  void Stop(Machine::CrashKind kind, const std::function<void()>& crash_disk);
  // The process ends because of this.
  void Fail(const absl::Status& status);

  World& world_;
  Ledger& ledger_;
  const SimOptions& options_;
  const raft::MemberId id_;
  MemberHost& host_;
  Random random_;
  std::unique_ptr<Machine> machine_;
  SimDisk disk_;
  double clock_rate_ = 1;
  bool faults_ = true;
  bool lost_ = false;
  uint64_t life_ = 0;  // Events of earlier ones are void.
  SimTime paused_until_ = 0;
  SimTime stalled_until_ = 0;

  LogMirror written_;
  LogMirror durable_;
  raft::HardState durable_hard_state_;
  std::optional<raft::StableBatch> interrupted_;
  std::optional<raft::EntryId> interrupted_reset_;

  // Of this life.
  std::unique_ptr<storage::RaftLog> log_;
  std::unique_ptr<raft::Core> core_;
  std::optional<raft::TruncationPolicy> truncation_;
  std::deque<Job> jobs_;      // Wait for the log writer.
  std::vector<Job> running_;  // It works on them.
  size_t outstanding_appends_ = 0;
  bool truncating_ = false;
  std::deque<ApplyTask> tasks_;
  bool applying_ = false;
  std::map<raft::ReadId, PendingRead> reads_;
  uint64_t next_read_ = 0;
  std::optional<Offer> offer_;  // The snapshot being installed.
};

}  // namespace keel::sim
