#pragma once

// What must hold of the whole group, seen from outside and from above: the checker knows every disk and every message.
// The five safety properties of the paper (Raft fig. 3), durability before promises, and real-time order of what
// clients saw. The first violation is kept; nothing after it means anything.

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "raft/core.h"
#include "tests/sim/sim_disk.h"

namespace keel::raft::sim {

// The replicated state: how many commands were applied, and a hash of all of them in order.
struct MachineState {
  EntryId last;
  uint64_t revision = 0;
  uint64_t hash = 0;
};

struct Violation {
  std::string text;
};

class Checker {
 public:
  explicit Checker(int members) : members_(static_cast<size_t>(members)), seen_(members_ + 1) {}

  // Throws Violation, as all below.
  static void Require(bool condition, const std::string& text) {
    if (!condition) throw Violation{text};
  }

  // A member (re)starts from its disk.
  void OnStart(MemberId id, const SimDisk& disk);
  void OnCrash(MemberId id, const SimDisk& disk);
  // It handed out a write, before it is queued.
  void OnWrite(MemberId id, const SimDisk& disk, const AppendWork& work);
  // A message leaves it.
  void OnSend(const Message& message, const SimDisk& disk, const SimDisk& leader_disk);
  // After every event. `disks` by member id, 0 unused; `cores` null where down.
  void OnEvent(MemberId id, const Core& core, const std::vector<SimDisk>& disks);
  // It executed `entry`; `state` is after it.
  void OnApply(MemberId id, const Entry& entry, const MachineState& state);
  void OnInstall(const MachineState& state);

  // Real-time order of clients' operations by revision.
  uint64_t StartOperation() const { return newest_revision_; }
  void FinishRead(uint64_t started_at, uint64_t revision);
  void FinishWrite(uint64_t started_at, uint64_t revision);

  const std::vector<EntryId>& committed() const { return committed_; }

 private:
  // What was last seen of a member.
  struct Seen {
    Term term;
    MemberId vote = kNobody;
    Index commit;
    Index applied;
    Term leads;         // The term it was last seen to lead.
    Index leader_last;  // Its last index then.
  };
  struct EntryFacts {
    EntryId prev;
    uint64_t hash;
  };

  void CheckCommit(MemberId id, const CoreStatus& status, const std::vector<SimDisk>& disks);
  void CheckLeader(MemberId id, const Core& core, const CoreStatus& status, const std::vector<SimDisk>& disks);
  size_t DurableOn(EntryId id, const std::vector<SimDisk>& disks) const;

  size_t members_;
  std::vector<Seen> seen_;
  std::map<Term, MemberId> leaders_;
  std::map<std::pair<Term, MemberId>, Index> matches_;    // What a term's leader has counted on a follower.
  std::map<std::pair<MemberId, Term>, MemberId> votes_;   // Ever sent.
  std::map<std::pair<Index, Term>, EntryFacts> entries_;  // Ever written by anybody.
  std::vector<Term> commit_terms_{Term(0)};               // In whose term it was committed, by index.
  std::vector<EntryId> committed_{EntryId{}};             // By index.
  std::vector<MachineState> applied_{MachineState{}};     // By index.
  uint64_t newest_revision_ = 0;
};

uint64_t HashOf(std::string_view bytes, uint64_t seed);

}  // namespace keel::raft::sim
