#pragma once

// One member with its disk and state machine, as a value that is never changed: an input makes another one. Equal ones
// are kept once and named by a number; so are the messages. Owned by one search.

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "raft/core.h"
#include "tests/explorer/explorer.h"
#include "tests/scenarios/oracle.h"

namespace keel::explorer {

using raft::AppendWork;
using raft::Core;
using raft::CoreStatus;
using raft::Entry;
using raft::EntryId;
using raft::EntryType;
using raft::FollowerStatus;
using raft::HardState;
using raft::Index;
using raft::MemberId;
using raft::Membership;
using raft::Message;
using raft::Role;
using raft::SnapshotMeta;
using raft::Term;
using raft::scenario::LogImage;

using Number = uint32_t;

// A message, or a snapshot of this state.
struct Parcel {
  MemberId from;
  MemberId to;
  Term term;
  std::variant<Message, SnapshotMeta> what;
};
// As scripts write it.
std::string Text(const Parcel& parcel);

struct Machine {
  EntryId applied;
  Membership membership;
};

struct Member {
  std::unique_ptr<Core> core;
  HardState hard_state;  // Durable.
  LogImage durable;
  LogImage written;  // With what is on its way to the disk.
  struct Write {
    std::optional<AppendWork> append;
    std::vector<Number> parcels;  // Leave when it is durable.
  };
  std::deque<Write> writes;
  Machine machine;
  Machine durable_machine;
  // Facts of the core, read once.
  CoreStatus status;
  std::vector<FollowerStatus> followers;
};

enum class Input : uint8_t { kDeliver, kTimeout, kBeat, kSync, kCrash, kPropose, kChange, kSnapshot };

class Members {
 public:
  explicit Members(const World& world);

  struct Step {
    Number member;
    std::vector<Number> sent;  // In the order of sending.
  };

  // As the world begins.
  Number First(MemberId id);
  // What `input` makes of a member; `argument`: the parcel, or which command is proposed. Remembered.
  const Step& Do(Number member, Input input, Number argument = 0);

  const Member& at(Number member) const { return *members_[member]; }
  const Parcel& parcel(Number parcel) const { return parcels_[parcel]; }
  size_t size() const { return members_.size(); }
  size_t executed() const { return executed_; }

 private:
  std::unique_ptr<Member> Copy(const Member& member) const;
  std::unique_ptr<Core> Start(const Member& member, MemberId id) const;
  // Carries out what the core wants; `sent` may leave now.
  void Settle(Member* member, std::vector<Number>* sent);
  void SyncOne(Member* member, std::vector<Number>* sent);
  void Install(Member* member, const SnapshotMeta& meta);
  void PassTime(Member* member, std::vector<Number>* sent);
  Number Keep(std::unique_ptr<Member> member);
  Number Keep(Parcel parcel);

  const World& world_;
  std::vector<std::unique_ptr<Member>> members_;
  std::unordered_map<std::string, Number> numbers_;
  std::vector<Parcel> parcels_;
  std::unordered_map<std::string, Number> parcel_numbers_;
  std::unordered_map<uint64_t, Step> steps_;
  size_t executed_ = 0;
};

}  // namespace keel::explorer
