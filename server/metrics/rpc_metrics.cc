#include "server/metrics/rpc_metrics.h"

#include "base/string_view.h"
#include "server/rpc_catalogue.h"

namespace keel::server {
namespace {

constexpr std::array<const char*, 17> kCodeNames = {
    "OK",       "Canceled",       "Unknown",          "InvalidArgument",   "DeadlineExceeded",
    "NotFound", "AlreadyExists",  "PermissionDenied", "ResourceExhausted", "FailedPrecondition",
    "Aborted",  "OutOfRange",     "Unimplemented",    "Internal",          "Unavailable",
    "DataLoss", "Unauthenticated"};

const char* TypeName(RpcKind kind) {
  switch (kind) {
    case RpcKind::kUnary:
      return "unary";
    case RpcKind::kServerStream:
      return "server_stream";
    case RpcKind::kBidiStream:
      return "bidi_stream";
  }
  return "";
}

// Writes need a log entry; when one ends so, its proposal was not confirmed.
bool IsFailedProposal(std::string_view service, std::string_view method, absl::StatusCode code) {
  if (code != absl::StatusCode::kUnavailable && code != absl::StatusCode::kDeadlineExceeded) return false;
  return (service == "etcdserverpb.KV" && method != "Range" && method != "RangeStream") || method == "LeaseGrant" ||
         method == "LeaseRevoke";
}

}  // namespace

RpcMetrics::RpcMetrics(MetricRegistry* registry, MetricsDetail detail, TwoNames* ranges)
    : registry_(*registry),
      ranges_(*ranges),
      started_(registry_.Counters("grpc_server_started_total", "RPCs started.")),
      handled_(registry_.Counters("grpc_server_handled_total", "RPCs ended, by code.")),
      received_(registry_.Counters("grpc_server_msg_received_total", "Messages received by RPCs.")),
      sent_(registry_.Counters("grpc_server_msg_sent_total", "Messages sent by RPCs.")),
      seconds_(registry_.Histograms("grpc_server_handling_seconds", "Seconds from start to end of a unary RPC.")),
      request_seconds_(registry_.Histograms("etcd_server_request_duration_seconds",
                                            "Seconds that a request took, by kind and outcome.")),
      range_seconds_(
          registry_.Histograms("etcd_server_range_duration_seconds", "Seconds that a range took, by outcome.")),
      client_received_(
          registry_.AddCounter("etcd_network_client_grpc_received_bytes_total", "Bytes received from clients.")),
      client_sent_(registry_.AddCounter("etcd_network_client_grpc_sent_bytes_total", "Bytes sent to clients.")),
      proposals_failed_(registry_.AddCounter("etcd_server_proposals_failed_total", "Writes that ended unconfirmed.")) {
  for (const RpcMethod& rpc : RpcCatalogue()) Add(rpc, detail);
  AddOccasionalTimes();
  if (detail == MetricsDetail::kExtensive) AddRequestTimes();
}

void RpcMetrics::Started(std::string_view service, std::string_view method, RpcKind kind) {
  const Rpc* rpc = Find(service, method);
  if (kind == RpcKind::kUnary) in_progress_.fetch_add(1, std::memory_order_relaxed);
  if (rpc == nullptr) return;
  if (rpc->in_flight != nullptr) rpc->in_flight->Increment();
  rpc->started->Increment();
  // Their one request is not told as a message.
  if (kind == RpcKind::kServerStream) rpc->received->Increment();
}

void RpcMetrics::Received(std::string_view service, std::string_view method, size_t bytes) {
  if (const Rpc* rpc = Find(service, method)) rpc->received->Increment();
  client_received_.Increment(static_cast<double>(bytes));
}

void RpcMetrics::Sent(std::string_view service, std::string_view method, size_t bytes) {
  if (const Rpc* rpc = Find(service, method)) rpc->sent->Increment();
  client_sent_.Increment(static_cast<double>(bytes));
}

void RpcMetrics::Handled(std::string_view service, std::string_view method, RpcKind kind, absl::StatusCode code,
                         absl::Duration took) {
  if (kind == RpcKind::kUnary) in_progress_.fetch_sub(1, std::memory_order_release);
  const Rpc* rpc = Find(service, method);
  if (rpc == nullptr) return;
  const auto index = static_cast<size_t>(code);
  const bool ok = code == absl::StatusCode::kOk;
  const double seconds = absl::ToDoubleSeconds(took);
  rpc->handled[index < kCodes ? index : 2]->Increment();
  if (rpc->in_flight != nullptr) rpc->in_flight->Decrement();
  if (rpc->occasional != nullptr && ok) rpc->occasional->Observe(seconds);
  if (kind != RpcKind::kUnary) return;
  if (rpc->requests[ok] != nullptr) rpc->requests[ok]->Observe(seconds);
  if (rpc->range[ok] != nullptr) {
    rpc->range[ok]->Observe(seconds);
    if (ok) ranges_.Increment(1);
  }
  if (rpc->seconds != nullptr) rpc->seconds->Observe(seconds);
  if (IsFailedProposal(service, method, code)) proposals_failed_.Increment();
}

void RpcMetrics::Add(const RpcMethod& method, MetricsDetail detail) {
  const prometheus::Labels labels = {
      {"grpc_method", method.method}, {"grpc_service", method.service}, {"grpc_type", TypeName(method.kind)}};
  Rpc rpc;
  rpc.started = &started_.Add(labels);
  rpc.received = &received_.Add(labels);
  rpc.sent = &sent_.Add(labels);
  if (detail == MetricsDetail::kExtensive) {
    rpc.seconds = &seconds_.Add(labels, MetricRegistry::Bounds{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10});
  }
  for (size_t i = 0; i < kCodes; ++i) {
    prometheus::Labels with_code = labels;
    with_code.emplace("grpc_code", kCodeNames[i]);
    rpc.handled[i] = &handled_.Add(with_code);
  }
  rpcs_.emplace(std::pair<absl::string_view, absl::string_view>(method.service, method.method), rpc);
}

void RpcMetrics::AddOccasionalTimes() {
  const auto time = [this](const char* method, const char* name, const char* help, double start, int count) {
    rpcs_.at({"etcdserverpb.Maintenance", method}).occasional =
        &registry_.AddHistogram(name, help, Exponential(start, count));
  };
  time("Defragment", "etcd_disk_backend_defrag_duration_seconds", "Seconds that a defragmentation took.", 0.1, 13);
  time("Snapshot", "etcd_disk_backend_snapshot_duration_seconds", "Seconds that sending a snapshot to a client took.",
       0.01, 17);
  time("Hash", "etcd_mvcc_hash_duration_seconds", "Seconds that hashing the whole state took.", 0.01, 15);
  time("HashKV", "etcd_mvcc_hash_rev_duration_seconds", "Seconds that hashing the history took.", 0.01, 15);
  rpcs_.at({"etcdserverpb.Maintenance", "Defragment"}).in_flight =
      &registry_.AddGauge("etcd_disk_defrag_inflight", "1 during a defragmentation.");
  for (const bool ok : {false, true}) {
    rpcs_.at({"etcdserverpb.KV", "Range"}).range[ok] =
        &range_seconds_.Add({{"success", ok ? "true" : "false"}}, Exponential(0.0001, 20));
  }
}

void RpcMetrics::AddRequestTimes() {
  const std::pair<const char*, const char*> kRequests[] = {
      {"Range", "Range"}, {"Put", "Put"}, {"DeleteRange", "DeleteRange"}, {"Txn", "Txn"}, {"Compact", "Compaction"}};
  for (const auto& [method, type] : kRequests) {
    Rpc& rpc = rpcs_.at({"etcdserverpb.KV", method});
    for (const bool ok : {false, true}) {
      rpc.requests[ok] =
          &request_seconds_.Add({{"type", type}, {"success", ok ? "true" : "false"}}, Exponential(0.001, 14));
    }
  }
}

const RpcMetrics::Rpc* RpcMetrics::Find(std::string_view service, std::string_view method) const {
  const auto found = rpcs_.find(std::pair(ToAbsl(service), ToAbsl(method)));
  return found == rpcs_.end() ? nullptr : &found->second;
}

}  // namespace keel::server
