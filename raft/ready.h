#pragma once

// What the core wants done. The shell must keep this order, which is what makes Raft safe (Raft fig. 2, "persist before
// responding"; Thesis §10.2.1 for the leader's early sends):
//
//   1. `messages` may leave at once, even before `append` is durable.
//   2. `append` is written and synced, after every earlier append. Several may share one sync.
//   3. Then `messages_after_append` may leave, and Core::OnAppended(append->ticket) is called.
//   4. `apply` is executed in index order, at once: what it names is committed and already durable here, so a restart
//      never finds the state machine ahead of the log.
//
// Appends never overtake each other. A Ready whose `append` is empty but which has `messages_after_append` still waits
// for the appends before it.

#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "raft/entry.h"
#include "raft/message.h"
#include "raft/types.h"

namespace keel::raft {

// Names one append, so that the completion of entries that have been replaced meanwhile is told from that of their
// replacements (historical bug: etcd-io/raft 8).
struct AppendTicket {
  uint64_t generation = 0;  // Grows whenever the log is cut.
  EntryId last;             // Last entry of the log when the append was handed out.
  Term term;                // The term that is on disk once it is done.
};

struct AppendWork {
  AppendTicket ticket;
  std::optional<HardState> hard_state;  // Set when it changed.
  // Contiguous. The first one's index may be at or below the stored log's last: it and all after it are replaced.
  std::vector<Entry> entries;
};

// Entries [first, last] are committed; execute them in order.
struct ApplyWork {
  Index first;
  Index last;
  // All of them, or empty: then they have left memory and the shell reads them from the log (they are durable there).
  std::vector<Entry> entries;
};

// A follower needs entries that have left memory: read [first, last], at most `bytes_max` of them but at least one, and
// give them to Core::OnFetched. One per follower is outstanding at a time.
struct FetchWork {
  MemberId follower;
  Index first;
  Index last;
  size_t bytes_max = 0;
};

// A follower needs entries that the log no longer has: send it a snapshot, then call Core::OnSnapshotSent. One per
// follower is outstanding at a time.
struct SnapshotWork {
  MemberId follower;
  Term term;  // Travels with it.
};

// The answer to Core::ReadIndex: readable on this member once applied up to `index`. Not OK: kUnavailable, leadership
// moved or is unknown; ask again with a fresh id.
struct ReadResult {
  ReadId id;
  absl::Status status;
  Index index;
};

struct Ready {
  std::vector<Message> messages;
  std::optional<AppendWork> append;
  std::vector<Message> messages_after_append;
  std::optional<ApplyWork> apply;
  // Install this received snapshot (the shell kept its data, see Core::OfferSnapshot): switch the state machine to it,
  // then cut the log to start after it, durably, then call Core::OnSnapshotInstalled. Until then the core acknowledges
  // no entries and hands out nothing to append or apply.
  std::optional<SnapshotMeta> install;
  std::vector<FetchWork> fetches;
  std::vector<SnapshotWork> snapshots;
  std::vector<ReadResult> reads;

  bool empty() const {
    return messages.empty() && !append && messages_after_append.empty() && !apply && !install && fetches.empty() &&
           snapshots.empty() && reads.empty();
  }
};

}  // namespace keel::raft
