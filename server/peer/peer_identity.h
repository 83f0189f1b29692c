#pragma once

// Who speaks: every connection between members begins with a PeerHello. It is compared with what this member knows of
// the other, and a stranger, a removed member, and a member that has forgotten what it promised are refused.

#include <atomic>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "base/url.h"
#include "proto/raft.pb.h"
#include "raft/message.h"
#include "raft/types.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Version of what members say to each other.
inline constexpr uint32_t kPeerFormat = 2;

struct PeerAddress {
  raft::MemberId id;
  std::vector<Url> urls;  // Tried in turn.
};

// The URLs of `texts` that can be dialled.
std::vector<Url> UsableUrls(const std::vector<std::string>& texts);

// What this process says of itself to everybody.
struct PeerSelf {
  uint64_t cluster_id = 0;
  raft::MemberId id;
  storage::DirectoryRecord directory = {};  // With id 0: not said, and not compared.
  uint64_t process = 0;                     // Chosen at random by every process.
  raft::EntryId recovered;                  // Term and last index that this process found on its disk.
  std::vector<std::string> peer_urls = {};  // Where it can be reached.
};

// The members as the state has them.
struct PeerBook {
  uint64_t applied = 0;           // Log position of the state.
  uint64_t membership_index = 0;  // Of the newest change of members up to there.
  std::vector<storage::MemberRecord> members;
  std::vector<uint64_t> removed;
};

// Thread-safe. Nothing here blocks.
class PeerIdentity {
 public:
  explicit PeerIdentity(PeerSelf self) : self_(std::move(self)) {}

  uint64_t cluster_id() const { return self_.cluster_id; }
  raft::MemberId self() const { return self_.id; }
  const PeerSelf& own() const { return self_; }

  // From now on these are the members. Until the first call, when `joining`, everybody of the cluster is welcome: who
  // belongs to it is what this member is waiting to be told.
  void SetJoining();
  void SetBook(PeerBook book);
  // Log entry `index`, which is not applied yet, makes it a member; forgotten by a book from there or later.
  void Expect(raft::MemberId id, uint64_t index);
  bool Knows(raft::MemberId id) const;
  bool IsRemoved(raft::MemberId id) const;
  // Grows with every change of who is known.
  uint64_t epoch() const { return epoch_.load(std::memory_order_acquire); }

  raftpb::PeerHello HelloTo(raft::MemberId peer) const;

  struct Verdict {
    raftpb::PeerAck::Refusal refusal = raftpb::PeerAck::NONE;
    std::string reason;                   // Says both sides, and what to do.
    std::optional<PeerAddress> newcomer;  // One that this member had not heard of; accepted.
    uint64_t newcomer_index = 0;          // See Expect().

    bool accepted() const { return refusal == raftpb::PeerAck::NONE; }
    absl::Status status() const;  // kFailedPrecondition with the reason, or OK.
  };
  // Decides about a caller, and remembers what an accepted one has said.
  Verdict Greet(const raftpb::PeerHello& hello);
  // The same without remembering.
  Verdict Judge(const raftpb::PeerHello& hello) const;

  // A message of an accepted caller, whose hello named `process`: what it promises by it is remembered, so that a later
  // process on an older copy of its disk is known.
  void NotePromise(uint64_t process, const raft::Message& message);

 private:
  // What a member was seen to be and to promise.
  struct Seen {
    storage::DirectoryRecord directory;
    uint64_t process = 0;
    raft::Term term;      // Said in durable words.
    raft::EntryId acked;  // Durable there, it said.
  };

  Verdict JudgeLocked(const raftpb::PeerHello& hello) const ABSL_SHARED_LOCKS_REQUIRED(mu_);
  // Why `hello` cannot come from the member that `record` and `seen` are about; empty: it can.
  std::string WhyForgetful(const raftpb::PeerHello& hello) const ABSL_SHARED_LOCKS_REQUIRED(mu_);

  const PeerSelf self_;
  mutable absl::Mutex mu_;
  bool joining_ ABSL_GUARDED_BY(mu_) = false;
  uint64_t membership_index_ ABSL_GUARDED_BY(mu_) = 0;
  std::map<raft::MemberId, storage::DirectoryRecord> known_ ABSL_GUARDED_BY(mu_);
  std::map<raft::MemberId, uint64_t> expected_ ABSL_GUARDED_BY(mu_);  // By which entry.
  std::set<raft::MemberId> removed_ ABSL_GUARDED_BY(mu_);
  std::map<raft::MemberId, Seen> seen_ ABSL_GUARDED_BY(mu_);
  std::atomic<uint64_t> epoch_{0};
};

}  // namespace keel::server
