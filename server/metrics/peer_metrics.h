#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/metrics/registry.h"
#include "server/peer/peer_network.h"
#include "server/peer/snapshot_observer.h"

namespace keel::server {

// What passes between this member and its peers: messages, round trips, snapshots. Ids are labels, in hexadecimal.
// Thread-safe.
class PeerMetrics final : public SnapshotObserver {
 public:
  explicit PeerMetrics(MetricRegistry* registry);

  void Answered(uint64_t peer, absl::Duration took);

  // The peers of now; those that have left no longer count as known.
  void Read(uint64_t self, const std::vector<PeerCounters>& peers);

  // --- SnapshotObserver
  void OnBegun(Way way, raft::MemberId peer) override;
  void OnEnded(Way way, raft::MemberId peer, bool ok, absl::Duration took) override;
  void OnStored(absl::Duration took, absl::Duration made_durable) override;

 private:
  // Of one way; "To" those it is sent to, "From" those it comes from.
  struct Transfers {
    const char* label;
    prometheus::Family<prometheus::Counter>& succeeded;
    prometheus::Family<prometheus::Counter>& failed;
    prometheus::Family<prometheus::Gauge>& inflight;
    prometheus::Family<prometheus::Histogram>& seconds;
  };
  static Transfers MakeTransfers(MetricRegistry* registry, const std::string& way, const char* label);
  const Transfers& transfers(Way way) const { return way == Way::kSent ? sent_snapshots_ : received_snapshots_; }

  prometheus::Histogram& RoundTrips(uint64_t peer);

  prometheus::Family<prometheus::Counter>& sent_bytes_;
  prometheus::Family<prometheus::Counter>& received_bytes_;
  prometheus::Family<prometheus::Counter>& sent_failures_;
  prometheus::Family<prometheus::Counter>& received_failures_;
  prometheus::Family<prometheus::Counter>& disconnected_;
  prometheus::Family<prometheus::Histogram>& round_trips_;
  prometheus::Family<prometheus::Gauge>& active_;
  prometheus::Family<prometheus::Gauge>& known_;
  const Transfers sent_snapshots_;
  const Transfers received_snapshots_;
  prometheus::Histogram& stored_seconds_;
  prometheus::Histogram& durable_seconds_;

  absl::Mutex mu_;
  std::set<prometheus::Gauge*> seen_ ABSL_GUARDED_BY(mu_);  // Of active_ and known_.
};

}  // namespace keel::server
