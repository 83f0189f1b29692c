#pragma once

// Counters and gauges under the names that etcd's dashboards and alerts query (operations.md section 3).

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "server/api/reply_budget.h"
#include "server/peer/snapshot_observer.h"

namespace keel::server {

struct Member;
struct OperationCounts;
struct PeerCounters;

enum class RpcKind { kUnary, kServerStream, kBidiStream };
// What one turn of sending to a watch stream took along: all that was there.
struct WatchTurn {
  uint64_t events = 0;
  bool answers = false;  // Watchers created and cancelled. Else, without events: progress.
};

enum class MetricsDetail { kBasic, kExtensive };  // --metrics; extensive adds latency histograms per method.

// Thread-safe; recording costs a lookup and an atomic add.
class Metrics {
 public:
  static std::unique_ptr<Metrics> Create(MetricsDetail detail = MetricsDetail::kBasic);
  virtual ~Metrics() = default;

  // One RPC from start to end. `service` as in "etcdserverpb.KV", `method` as in "Put".
  virtual void RpcStarted(std::string_view service, std::string_view method, RpcKind kind) = 0;
  virtual void RpcHandled(std::string_view service, std::string_view method, RpcKind kind, absl::StatusCode code,
                          absl::Duration took) = 0;
  // Unary RPCs that have started and are not handled yet.
  virtual int64_t CallsInProgress() const = 0;
  // One message of an RPC, in either direction; a unary RPC has one each.
  virtual void MessageReceived(std::string_view /*service*/, std::string_view /*method*/, size_t /*bytes*/) {}
  virtual void MessageSent(std::string_view /*service*/, std::string_view /*method*/, size_t /*bytes*/) {}
  // One RPC of a client of this version, which may be empty.
  virtual void ClientCalled(RpcKind /*kind*/, std::string_view /*api_version*/) {}
  // A client's stream ended because of what it sent. `api` as in "watch".
  virtual void StreamRefused(std::string_view /*api*/) {}
  virtual void WatchSent(const WatchTurn& /*turn*/, absl::Duration /*took*/) {}
  // A linearizable read has been told whether it may go on.
  virtual void ReadIndexEnded(bool /*ok*/, absl::Duration /*took*/) {}
  virtual void LogSynced(absl::Duration wrote, absl::Duration synced, size_t bytes) = 0;
  // See ApplyObserver.
  virtual void Executed(std::string_view /*op*/, bool /*ok*/, absl::Duration /*took*/) {}
  virtual void Committed(const OperationCounts& /*operations*/, absl::Duration /*took*/) {}
  virtual void LeaseGranted(int64_t /*ttl*/) {}
  virtual void SnapshotInstalling(bool /*now*/) {}
  // This leader has promoted a learner, or has been asked to and has not.
  virtual void LearnerPromoted(const absl::Status& /*result*/) {}
  // The state was made durable as a whole.
  virtual void StateSaved(absl::Duration /*took*/) {}
  // One step of removing compacted history; `ended`: how long all of it took, when that was the last one.
  virtual void HistoryRemoved(absl::Duration /*took*/, std::optional<absl::Duration> /*ended*/) {}
  // A peer has answered.
  virtual void PeerAnswered(uint64_t /*member_id*/, absl::Duration /*took*/) {}
  // Those of snapshots between members; null: nobody counts them.
  virtual SnapshotObserver* snapshots() { return nullptr; }
  virtual void LeaderChanged(bool has_leader, bool is_leader) = 0;
  virtual void HealthChecked(bool ok) = 0;
  // One check of a probe, e.g. "readyz", "linearizable_read".
  virtual void ProbeChecked(std::string_view /*probe*/, std::string_view /*check*/, bool /*ok*/) {}

  // A feature gate, by the name that --feature-gates knows it by, and whether what it stands for is done.
  struct Feature {
    std::string name;
    std::string stage;  // "ALPHA", "BETA"
    bool enabled = false;
  };
  virtual void SetFeatures(const std::vector<Feature>& /*features*/) {}

  // Where Render() finds the peers' counters. Before the first Render(); what it borrows outlives the metrics.
  virtual void SetPeers(std::function<std::vector<PeerCounters>()> /*peers*/) {}
  virtual void SetLateHeartbeats(std::function<uint64_t()> /*late*/) {}
  // What peers, and those who took themselves for peers, have been refused so far.
  struct Refusals {
    uint64_t connections = 0;  // Of strangers, removed members, other clusters, forgetful directories.
    uint64_t messages = 0;     // Malformed, or not theirs to send.
  };
  virtual void SetRefusals(std::function<Refusals()> /*refusals*/) {}

  // Where Render() finds how often the members' states were compared. As above.
  struct Integrity {
    uint64_t checks = 0;
    uint64_t comparisons = 0;
    uint64_t mismatches = 0;
  };
  virtual void SetIntegrity(std::function<Integrity()> /*integrity*/) {}

  // Where Render() finds what replies to reads take of their memory. As above.
  virtual void SetReplies(std::function<ReplyBudget::Stats()> /*replies*/) {}

  // Prometheus text format 0.0.4. Gauges are read off `member` now.
  virtual std::string Render(const Member& member) = 0;
};

}  // namespace keel::server
