#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "raft/message.h"
#include "raft/node.h"
#include "raft/ready.h"

namespace keel::raft {

struct PendingProposal {
  Payload payload;
  absl::Time deadline;
};

struct PendingRead {
  absl::Time deadline;
  ReadDone done;
};

// The rare inputs of the raft thread.
struct Fetched {
  MemberId follower;
  std::vector<Entry> entries;
};
struct Unreachable {
  MemberId peer;
};
struct Reachable {
  MemberId peer;
};
struct SnapshotSent {
  MemberId follower;
  absl::Status status;
  EntryId last;
};
struct SnapshotOffer {
  MemberId from;
  Term term;
  SnapshotMeta meta;
  std::function<void(bool)> decided;
};
struct Installed {
  SnapshotMeta meta;
};
struct LogTruncated {
  Index through;
};
struct PeerDied {
  MemberId peer;
};
struct MembershipRequest {
  MembershipChange change;
  Payload context;
  absl::Time deadline;
  ChangeDone done;
};
struct TransferRequest {
  MemberId target;
  absl::Time deadline;
  ChangeDone done;
};
using Event = std::variant<Fetched, Unreachable, Reachable, SnapshotSent, SnapshotOffer, Installed, LogTruncated,
                           PeerDied, MembershipRequest, TransferRequest>;

// Everything that has come in for the raft thread since it last looked. Order is kept within a kind, which is all that
// Raft asks for.
struct Inbox {
  std::vector<Message> messages;
  std::vector<PendingProposal> proposals;
  std::vector<PendingRead> reads;
  std::vector<Event> events;
  size_t appends_done = 0;               // How many of the jobs given to the log writer are behind it.
  std::optional<AppendTicket> appended;  // The newest durable append; covers all before it.
  Index applied;                         // 0: no news.

  void Clear();
};

// Where the core is reached. Bounded: messages and proposals are refused beyond a number and a weight in bytes; events
// and completions are bounded by the work that is out. One wake-up for all that gathers while the consumer works.
//
// Thread-safe: many producers; one consumer at a time, and one that sleeps in Wait().
class Mailbox {
 public:
  struct Limits {
    size_t items_max = 0;  // Each of messages, proposals, reads.
    size_t bytes_max = 0;  // Each of messages, proposals.
  };

  // `on_arrival` is called after each push, by the thread that pushed; it decides who looks. Empty: Wake().
  explicit Mailbox(Limits limits, std::function<void()> on_arrival = nullptr)
      : limits_(limits), on_arrival_(std::move(on_arrival)) {}

  enum class PushResult { kOk, kFull, kClosed };
  PushResult PushProposal(PendingProposal proposal);
  // On kFull and kClosed `read` is untouched.
  PushResult PushRead(PendingRead&& read);
  // Those there is no room for are dropped.
  void PushMessages(std::vector<Message> messages);
  // False when closed; `event` is then untouched.
  bool PushEvent(Event&& event);
  void PostAppended(std::optional<AppendTicket> ticket, size_t jobs);
  // Tells nobody: the news only frees memory and log, and can wait for the next turn.
  void PostApplied(Index index);

  // Waits until something has arrived, `timeout` has passed, or the mailbox is closed. False when closed: nothing more
  // will come, but something may be left.
  bool Wait(std::chrono::nanoseconds timeout);
  // Ends a Wait(), if there is one and something is there.
  void Wake();
  // Moves everything into `inbox`, which must be clear.
  void Take(Inbox* inbox);
  // Something is there (other than what PostApplied left).
  bool pending() const;

  void Close();

 private:
  // REQUIRES: mu_ not held.
  void Announce();

  const Limits limits_;
  const std::function<void()> on_arrival_;
  mutable std::mutex mu_;
  std::condition_variable changed_;
  Inbox inbox_;                // Guarded by mu_, like all below.
  size_t message_bytes_ = 0;   // Of inbox_.messages.
  size_t proposal_bytes_ = 0;  // Of inbox_.proposals.
  bool pending_ = false;       // Something is in inbox_.
  bool sleeping_ = false;
  bool closed_ = false;
};

}  // namespace keel::raft
