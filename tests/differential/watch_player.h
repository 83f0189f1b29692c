#pragma once

// The watch streams of a sequence, on both servers.

#include <array>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "proto/etcdserver_watch.pb.h"
#include "tests/differential/comparer.h"
#include "tests/differential/pair.h"
#include "tests/differential/watch_log.h"

namespace keel::differential {

// Events reach a client when they do. To compare, the player settles: it waits until both servers have provably
// delivered what was due. For live watchers the proof is an event of a later revision on the same stream (the
// marker's); for those that read history, that a watcher of history created after them has been served, and then the
// former.
//
// Owned by one thread.
class WatchPlayer {
 public:
  // `patience`: how long Compare() waits for what only one of the servers has delivered.
  WatchPlayer(Pair* pair, absl::Duration patience) : pair_(pair), patience_(patience) {}

  struct Exchange {
    Answer etcd;
    Answer keel;
    // A watcher's start lies ahead, or there is no watcher.
    bool stream_has_waiting = false;
  };
  // `request` with names. Waits for what the request brings about.
  Exchange Send(int stream, const etcdserverpb::WatchRequest& request);

  bool any() const { return !streams_.empty(); }
  // Both have compacted at `revision`.
  void OnCompacted(int64_t revision) { compactions_.insert(revision); }

  // Puts the marker, which takes a revision on both. False: it could not be put, and what follows may see events late.
  bool Settle();

  // Differences between what all streams have delivered, as far as `explained` leaves them. `fields` and `events` are
  // what was compared since the last call.
  std::vector<FieldDifference> Compare(const std::function<bool(const FieldDifference&)>& explained, uint64_t* fields,
                                       uint64_t* events);

 private:
  struct Streams {
    std::array<std::unique_ptr<Stream>, 2> sides;
    std::map<int64_t, int64_t> live;  // Watcher to the revision it starts at.
    std::array<std::map<int64_t, size_t>, 2> catching_up;
    uint64_t fields = 0;  // Compared by now.
    uint64_t events = 0;
  };

  Streams& Open(int stream);
  void Write(Streams* streams, const etcdserverpb::WatchRequest& request);
  // The answers that `is_answer` picks among the messages from `from` on.
  Answer Pick(const Streams& streams, int side, size_t from,
              const std::function<bool(const etcdserverpb::WatchResponse&)>& is_answer) const;
  // A round trip of requests: what was asked before has been answered, unless it waits for something.
  void Fence(Streams* streams);
  void CreateMarker(Streams* streams);
  void CancelMarker(Streams* streams);
  bool PutMarker();
  // Those whose history has been compacted are no longer watchers.
  void ForgetCancelled();
  void AwaitHistory(Side* side);
  // A delete at a compact revision that only keel's log has, at a place where the rest goes on alike, is taken out of
  // it and becomes one difference of its own.
  void SetTombstonesApart(const std::string& where, const std::vector<MessagePtr>& etcd, std::vector<MessagePtr>* keel,
                          std::vector<FieldDifference>* differences) const;
  std::vector<FieldDifference> CompareOnce(uint64_t* fields, uint64_t* events) const;

  Pair* const pair_;
  const absl::Duration patience_;
  std::map<int, Streams> streams_;
  bool reads_history_ = false;  // Since it last settled, a watcher has started in the past.
  int64_t marker_revision_ = 0;
  std::set<int64_t> compactions_;
};

}  // namespace keel::differential
