#pragma once

// What a leader knows of one follower, and how it may send to it.
//
//   probe      where the logs part is unknown: one append at a time, then wait for its answer (or, should that be lost,
//              for the answer to a heartbeat).
//   replicate  `match` is known: appends are pipelined, `next` runs ahead, bounded by messages and bytes in flight. One
//              that is refused was lost or came out of order; then only one may be in flight, and one more with each
//              that is acknowledged, lest every refusal of many send everything again.
//   snapshot   the entries it needs are gone: nothing is sent until the snapshot has ended.
//
// `match` never goes back and `match < next` always (both: within one leadership). Owned by the leader's core.
// Source: Raft §5.3; Thesis §10.2.1 (pipelining).

#include <cstddef>
#include <cstdint>
#include <deque>

#include "raft/core.h"
#include "raft/options.h"
#include "raft/types.h"

namespace keel::raft {

class Progress {
 public:
  using State = FollowerStatus::State;

  // A fresh leader assumes that the follower has all it has itself (Raft §5.3).
  Progress(const CoreOptions& options, Index next)
      : options_(&options), next_(next), window_(options.inflight_messages_max) {}

  State state() const { return state_; }
  Index match() const { return match_; }
  Index next() const { return next_; }

  // May one more append with entries go out?
  bool can_send() const;
  // An append with entries (`next` .. `last`, weighing `bytes`) or an empty one (last = next - 1) went out.
  void OnSent(Index last, size_t bytes);

  // The follower has everything up to `index`, durably; the leader's own log still has what follows `log_base`.
  // REQUIRES: index <= the leader's last. False: old news.
  bool OnAccepted(Index index, Index log_base);
  // It refused an append whose prev was `rejected`; the logs may agree up to `agree_at`. False: an old answer.
  bool OnRejected(Index rejected, Index agree_at);
  // Alive. True: an append should go out now, since one may have been lost.
  bool OnHeartbeatResponse();
  // What is in flight is lost. Sends again only once the follower is heard of, lest a dead one cost a message per tick.
  void OnUnreachable();
  void Tick();

  void BecomeSnapshot();
  // The transfer has ended. A failed one is tried again after `pause_ticks`.
  void OnSnapshotSent(Index last);
  void OnSnapshotFailed(int pause_ticks);

  // The same options, somewhere else.
  void Rebind(const CoreOptions& options) { options_ = &options; }

  template <typename Sink>
  void DescribeTo(Sink& sink) const {
    sink(state_, match_, next_, awaiting_, pause_ticks_ > 0, moved_, want_empty, commit_sent, round_sent, round_echoed);
    sink(window_);
    for (const Flight& flight : flights_) sink(flight.last);
    sink(leaves_at != 0);
  }

  // Send an empty append although there is nothing new, to find out whether something was lost.
  bool want_empty = false;
  // The highest commit index sent along.
  Index commit_sent;
  // ReadIndex rounds: sent to it, and echoed by it.
  uint64_t round_sent = 0;
  uint64_t round_echoed = 0;
  // Tick at which it was last heard of.
  uint64_t heard_at = 0;
  // Not 0: it is no member any more, and is told so, by the entry itself and its commit, until this tick.
  uint64_t leaves_at = 0;

 private:
  struct Flight {
    Index last;
    size_t bytes;
  };

  void BecomeProbe(Index next);
  void BecomeReplicate();
  void ClearFlights();

  const CoreOptions* options_;
  State state_ = State::kProbe;
  Index match_;
  Index next_;
  bool awaiting_ = false;  // Probe: an answer is due.
  int pause_ticks_ = 0;    // Probe: nothing until they have passed.
  bool moved_ = false;     // Replicate: an append was acknowledged since the last heartbeat response.
  size_t window_;          // Replicate: so many messages may be in flight.
  std::deque<Flight> flights_;
  size_t flight_bytes_ = 0;
};

}  // namespace keel::raft
