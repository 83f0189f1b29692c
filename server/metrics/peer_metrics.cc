#include "server/metrics/peer_metrics.h"

#include <string>

#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

std::string Hex(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

}  // namespace

PeerMetrics::PeerMetrics(MetricRegistry* registry)
    : sent_bytes_(registry->Counters("etcd_network_peer_sent_bytes_total", "Bytes sent to a peer.")),
      received_bytes_(registry->Counters("etcd_network_peer_received_bytes_total", "Bytes received from a peer.")),
      sent_failures_(registry->Counters("etcd_network_peer_sent_failures_total", "Messages a peer did not get.")),
      received_failures_(registry->Counters("etcd_network_peer_received_failures_total",
                                            "Messages of a peer that were malformed or not its to send.")),
      disconnected_(registry->Counters("etcd_network_disconnected_peers_total",
                                       "How often the connection to the peer has broken.")),
      round_trips_(registry->Histograms("etcd_network_peer_round_trip_time_seconds", "Seconds until a peer answered.")),
      active_(registry->Gauges("etcd_network_active_peers", "1 while connected to the peer.")),
      known_(registry->Gauges("etcd_network_known_peers", "1 for each peer known.")),
      sent_snapshots_(MakeTransfers(registry, "send", "To")),
      received_snapshots_(MakeTransfers(registry, "receive", "From")),
      stored_seconds_(registry->AddHistogram("etcd_snap_db_save_total_duration_seconds",
                                             "Seconds from the first byte of a received snapshot until it was stored.",
                                             Exponential(0.1, 10))),
      durable_seconds_(registry->AddHistogram("etcd_snap_db_fsync_duration_seconds",
                                              "Seconds that the last sync of a received snapshot took.",
                                              Exponential(0.001, 14))) {}

PeerMetrics::Transfers PeerMetrics::MakeTransfers(MetricRegistry* registry, const std::string& way, const char* label) {
  const std::string name = absl::StrCat("etcd_network_snapshot_", way);
  return {.label = label,
          .succeeded = registry->Counters(name + "_success", "Snapshots that arrived and were wanted."),
          .failed = registry->Counters(name + "_failures", "Snapshots that did not arrive, or came too late."),
          .inflight = registry->Gauges(name + "_inflights_total", "Snapshots on their way."),
          .seconds = registry->Histograms(name + "_total_duration_seconds", "Seconds that a snapshot was on its way.")};
}

prometheus::Histogram& PeerMetrics::RoundTrips(uint64_t peer) {
  return round_trips_.Add({{"To", Hex(peer)}}, Exponential(0.0001, 16));
}

void PeerMetrics::Answered(uint64_t peer, absl::Duration took) {
  RoundTrips(peer).Observe(absl::ToDoubleSeconds(took));
}

void PeerMetrics::Read(uint64_t self, const std::vector<PeerCounters>& peers) {
  absl::MutexLock lock(&mu_);
  for (prometheus::Gauge* gauge : seen_) gauge->Set(0);
  for (const PeerCounters& peer : peers) {
    const std::string remote = Hex(peer.peer.value());
    const prometheus::Labels pair = {{"Local", Hex(self)}, {"Remote", remote}};
    Follow(sent_bytes_.Add({{"To", remote}}), static_cast<double>(peer.sent_bytes));
    Follow(sent_failures_.Add({{"To", remote}}), static_cast<double>(peer.sent_failures));
    Follow(received_bytes_.Add({{"From", remote}}), static_cast<double>(peer.received_bytes));
    Follow(received_failures_.Add({{"From", remote}}), static_cast<double>(peer.received_failures));
    Follow(disconnected_.Add(pair), static_cast<double>(peer.disconnections));
    RoundTrips(peer.peer.value());
    prometheus::Gauge& active = active_.Add(pair);
    prometheus::Gauge& known = known_.Add(pair);
    active.Set(peer.connected);
    known.Set(1);
    seen_.insert({&active, &known});
  }
}

void PeerMetrics::OnBegun(Way way, raft::MemberId peer) {
  transfers(way).inflight.Add({{transfers(way).label, Hex(peer.value())}}).Increment();
}

void PeerMetrics::OnEnded(Way way, raft::MemberId peer, bool ok, absl::Duration took) {
  const Transfers& moved = transfers(way);
  const prometheus::Labels labels = {{moved.label, Hex(peer.value())}};
  moved.inflight.Add(labels).Decrement();
  (ok ? moved.succeeded : moved.failed).Add(labels).Increment();
  if (ok) moved.seconds.Add(labels, Exponential(0.1, 10)).Observe(absl::ToDoubleSeconds(took));
}

void PeerMetrics::OnStored(absl::Duration took, absl::Duration made_durable) {
  stored_seconds_.Observe(absl::ToDoubleSeconds(took));
  durable_seconds_.Observe(absl::ToDoubleSeconds(made_durable));
}

}  // namespace keel::server
