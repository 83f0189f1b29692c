#pragma once

// One watcher of a client that never wants to miss anything: it checks every message against what the model says must
// come next, and asks again where it stands when its stream breaks. (Ordered, Unique, Atomic, Reliable, Resumable,
// Bookmarkable; filters, previous pairs, progress, compaction.)
//
// Owned by one thread.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proto/etcdserver_watch.pb.h"
#include "server/watch/watch_hub.h"
#include "tests/sim_full/oracle.h"

namespace keel::sim {

class WatchChecker {
 public:
  WatchChecker(Ledger* ledger, const Oracle* oracle, etcdserverpb::WatchCreateRequest request);

  // A stream of some member, new and empty.
  void Open(std::unique_ptr<server::WatchStream> stream);
  // The connection is gone.
  void Close();
  bool is_open() const { return stream_ != nullptr; }
  // Reads everything there is. False: the watcher was ended, and has to be opened again.
  bool Read();
  void RequestProgress() {
    if (stream_ != nullptr) stream_->RequestProgress();
  }
  // Everything below has been delivered, or was compacted away before.
  int64_t next() const { return next_; }
  bool has_all(int64_t revision) const { return refused_ || next_ > revision; }

 private:
  bool Take(const etcdserverpb::WatchResponse& response);
  void TakeEvents(const std::vector<mvccpb::Event>& events, int64_t header);
  bool Wants(const Model::Event& event) const;
  void CheckEvent(const mvccpb::Event& event, const Model::Event& expected, int64_t revision);

  Oracle const& oracle_;
  const etcdserverpb::WatchCreateRequest request_;
  std::unique_ptr<server::WatchStream> stream_;
  bool refused_ = false;  // As a range without keys must be; there is nothing to wait for.
  int64_t next_;          // 0: from whatever the first answer says.
  std::vector<mvccpb::Event> fragments_;

  Invariant delivers_;
  Invariant progress_;
  Invariant previous_;
  Invariant compacted_;
  Invariant ended_;
  Mark resumed_;
  Mark saw_compaction_;
  Mark saw_fragment_;
  Mark caught_up_many_;
};

}  // namespace keel::sim
