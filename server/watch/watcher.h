#pragma once

// One watcher: what it asked for, and how far it has come.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/container/inlined_vector.h"
#include "storage/event.h"
#include "storage/revision.h"

namespace keel::server {

class WatchStreamImpl;

// The keys a watcher wants: one key, or [begin, end), or everything from `begin` on.
struct KeyRange {
  enum class Kind { kKey, kHalfOpen, kFromKey };

  Kind kind = Kind::kKey;
  std::string begin;
  std::string end;  // Of kHalfOpen.

  bool Contains(std::string_view key) const {
    switch (kind) {
      case Kind::kKey:
        return key == begin;
      case Kind::kHalfOpen:
        return key >= begin && key < end;
      case Kind::kFromKey:
        return key >= begin;
    }
    return false;
  }
};

// Immutable from the creation on; outlives its watcher in messages that are still queued.
struct WatchSpec {
  int64_t id = 0;
  KeyRange keys;
  storage::Revision start;  // As requested; 0: from now on.
  bool puts = true;
  bool deletes = true;
  bool prev_kv = false;
  bool progress_notify = false;
  bool fragment = false;

  bool Wants(storage::Event::Type type) const { return type == storage::Event::Type::kPut ? puts : deletes; }
};

// What a queued event counts in a byte limit.
inline size_t WeightOf(const storage::Event& event) {
  constexpr size_t kOverhead = 64;
  return event.key.size() + event.kv->size() + kOverhead;
}

// Some events of a revision.
struct EventSelection {
  absl::InlinedVector<uint32_t, 2> positions;  // In RevisionEvents::events, ascending.
  size_t bytes = 0;                            // Their weights.

  bool empty() const { return positions.empty(); }
  void Add(size_t position, size_t weight) {
    positions.push_back(static_cast<uint32_t>(position));
    bytes += weight;
  }
};

// Guarded by the hub's lock.
//
// Invariant: everything below `next` that the watcher wants is in its stream's queue or beyond; nothing from `next` on
// is. A synced watcher is in the index, and has missed nothing up to the published revision: its `next` may stand
// below that only because nothing concerned it.
struct Watcher {
  enum class State {
    kSynced,   // In the index.
    kLagging,  // Waits for, or is in, the catch-up thread.
    kBlocked,  // Lagging, and its stream has no room; goes on when the stream has been read from.
    kGone,     // Cancelled. Only the catch-up thread may still hold it.
  };

  std::shared_ptr<const WatchSpec> spec;
  WatchStreamImpl* stream = nullptr;  // Not to be touched once gone.
  uint64_t serial = 0;                // Order of creation in the hub.
  State state = State::kGone;
  storage::Revision next;
  uint64_t place = 0;         // In its stream's queue: StreamQueue::Place.
  bool quiet = true;          // No events since the last progress tick.
  EventSelection publishing;  // Scratch of WatchHub::Publish.
  size_t task = 0;            // Scratch of the catch-up thread, and its alone: which task of the pass is this one's.
};

}  // namespace keel::server
