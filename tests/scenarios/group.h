#pragma once

// Members of a Raft group in the hands of a script: production cores, the production log on disks in memory, and a
// network that delivers what and when it is told. Nothing happens by itself; Stabilize() and Run() do what a healthy
// world would do. An oracle checks every step.
//
// What happened is told in notes, in the words of the expected output. Owned by one thread.

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "raft/core.h"
#include "storage/log/raft_log.h"
#include "tests/scenarios/memory_disk.h"
#include "tests/scenarios/oracle.h"

namespace keel::raft::scenario {

// What the replicated commands have built: the commands, in order.
struct Machine {
  EntryId last;
  Membership membership;
  std::vector<std::string> commands;
};

struct Snapshot {
  Term term;  // The sender's.
  Machine state;
};

// Something on its way from one member to another.
struct Parcel {
  uint64_t number = 0;
  MemberId from;
  MemberId to;
  std::variant<Message, Snapshot> what;
};

enum class Held { kDisk, kApply, kTicks, kAll };  // What of a member Stabilize() and Run() leave alone.

// What stands at `index` in a log that a script begins with.
Entry StoredEntry(Index index, Term term);

class Group {
 public:
  struct NewMember {
    MemberId id;
    Membership membership;
    CoreOptions core;
    std::vector<uint64_t> log;  // Terms of entries that are on its disk from the start.
    std::optional<Term> term;   // Default: that of the last entry.
    MemberId vote = kNobody;
    Index commit;  // Also applied.
    Index base;    // The state was written as of this index, in term 1, and the log begins after it.
    uint64_t segment_bytes = 64 << 10;
    bool blank = false;  // Knows nobody: it will be served a snapshot.
  };

  // Starts it at once.
  absl::Status Add(const NewMember& options);
  std::vector<MemberId> ids() const;
  bool Knows(MemberId id) const { return members_.contains(id); }
  bool IsUp(MemberId id) const;
  // REQUIRES: it is up.
  Core& core(MemberId id) { return *members_.at(id).core; }
  const Machine& machine(MemberId id) const { return members_.at(id).machine; }
  const LogImage& durable_log(MemberId id) const { return members_.at(id).durable; }
  const LogImage& written_log(MemberId id) const { return members_.at(id).written; }
  HardState hard_state(MemberId id) const { return members_.at(id).hard_state; }
  MemoryDisk& disk(MemberId id) { return *members_.at(id).disk; }
  size_t queued_writes(MemberId id) const { return members_.at(id).writes.size(); }

  // Any input to a core; what follows from it is collected. REQUIRES: it is up.
  void Input(MemberId id, const std::function<void(Core&)>& input);
  void Read(MemberId id, const std::string& name);

  // The oldest `n` queued writes become durable, in one go. False: the disk failed and the member went down.
  bool Sync(MemberId id, size_t n = SIZE_MAX);
  void Apply(MemberId id);
  // Receives the snapshot it was offered.
  void Install(MemberId id);
  void Fetch(MemberId id);
  // The state machine becomes durable.
  void Flush(MemberId id);
  void Truncate(MemberId id, Index through);
  // Loses everything that is not durable; `torn`: of the oldest queued write, this many bytes survive.
  void Crash(MemberId id, std::optional<size_t> torn = std::nullopt);
  absl::Status Restart(MemberId id);
  // It ends, and its disk is empty: it is as a member that was never started.
  void Wipe(MemberId id);

  const std::deque<Parcel>& network() const { return network_; }
  // Takes it from the network; nullopt: there is none of this number.
  std::optional<Parcel> Take(uint64_t number);
  void Deliver(Parcel parcel);
  void Duplicate(const Parcel& parcel);
  // Parcels on a link that is down are lost when they would arrive.
  void SetLink(MemberId from, MemberId to, bool up);
  void HealAll() { cut_.clear(); }

  void Hold(MemberId id, Held what) { members_.at(id).held.insert(what); }
  void Release(MemberId id) { members_.at(id).held.clear(); }
  // Delivers, syncs, applies, installs until nothing is left to do among `only` (empty: everybody).
  void Stabilize(const std::set<MemberId>& only = {});
  // Every member ticks, then everything settles; `rounds` times.
  void Run(int rounds);
  // The leader of the newest term that anybody leads; kNobody.
  MemberId leader() const;

  // Notes made since the last call.
  std::vector<std::string> TakeNotes();
  void ShowMessages(bool show) { show_messages_ = show; }
  const Oracle& oracle() const { return oracle_; }

 private:
  struct Write {
    std::optional<AppendWork> append;
    std::vector<Message> messages;
  };
  struct Member {
    NewMember options;
    std::unique_ptr<MemoryDisk> disk;
    std::unique_ptr<storage::RaftLog> log;
    std::unique_ptr<Core> core;  // Null: down.
    uint64_t starts = 0;
    HardState hard_state;  // Durable.
    LogImage durable;
    LogImage written;
    std::deque<Write> writes;
    std::deque<ApplyWork> applies;
    std::optional<SnapshotMeta> install;
    std::optional<Machine> offered;
    MemberId offered_by;
    std::deque<FetchWork> fetches;
    Machine machine;
    Machine durable_machine;
    std::map<ReadId, std::string> reads;
    std::map<ReadId, Index> committed_before;
    std::set<Held> held;
    std::string summary;  // As last noted.
    std::string membership;
  };

  absl::Status Start(Member& member);
  absl::Status OpenLog(Member& member);
  void Drain(Member& member);
  void Execute(Member& member, Ready ready);
  void Send(const Member& member, const std::vector<Message>& messages);
  View ViewOf(const Member& member) const;
  void NoteChange(Member& member);
  void DeliverSnapshot(Member& to, MemberId from, Snapshot snapshot);
  void ReportSnapshot(MemberId sender, MemberId to, const absl::Status& status, EntryId last);
  bool WorkOn(Member& member);
  void Note(std::string text) { notes_.push_back(std::move(text)); }

  std::map<MemberId, Member> members_;
  std::deque<Parcel> network_;
  std::set<std::pair<MemberId, MemberId>> cut_;
  Oracle oracle_;
  std::vector<std::string> notes_;
  bool show_messages_ = false;
  uint64_t next_parcel_ = 1;
  uint64_t next_read_ = 1;
  uint64_t next_start_ = 1;
};

}  // namespace keel::raft::scenario
