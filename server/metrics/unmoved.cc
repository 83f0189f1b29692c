#include "server/metrics/unmoved.h"

namespace keel::server {

void AddUnmoved(MetricRegistry* registry) {
  constexpr char kNoTree[] = "Always empty: the state is no B+ tree whose pages are rebalanced and spilled.";
  constexpr char kNoPause[] = "Always empty: compaction removes keys from the index a few at a time, without a pause.";
  constexpr char kNoEncoding[] = "Always empty: the state is made durable as it is, nothing is encoded for it.";
  constexpr char kNoProxy[] = "Always 0: there is no proxy in this server.";
  constexpr char kNoSecondStore[] = "Always 0: there is no store of the v2 protocol.";
  const auto seconds = [registry](const char* name, const char* help) {
    registry->AddHistogram(name, help, Exponential(0.001, 14));
  };
  seconds("etcd_debugging_disk_backend_commit_rebalance_duration_seconds", kNoTree);
  seconds("etcd_debugging_disk_backend_commit_spill_duration_seconds", kNoTree);
  seconds("etcd_debugging_snap_save_marshalling_duration_seconds", kNoEncoding);
  registry->AddHistogram("etcd_debugging_mvcc_index_compaction_pause_duration_milliseconds", kNoPause,
                         Exponential(0.5, 14));
  for (const char* name : {"etcd_grpc_proxy_cache_hits_total", "etcd_grpc_proxy_cache_misses_total",
                           "etcd_grpc_proxy_cache_keys_total", "etcd_grpc_proxy_watchers_coalescing_total"}) {
    registry->AddGauge(name, kNoProxy);
  }
  registry->AddCounter("etcd_grpc_proxy_events_coalescing_total", kNoProxy);
  registry->AddCounter("etcd_debugging_store_expires_total", kNoSecondStore);
  registry->AddCounter("etcd_debugging_store_watch_requests_total", kNoSecondStore);
  registry->AddGauge("etcd_debugging_store_watchers", kNoSecondStore);
  registry->AddGauge("etcd_debugging_auth_revision", "Always 1: no user or role has been made yet.").Set(1);
  registry->Gauges("etcd_server_go_version", "Dashboards show it; what runs here is not written in Go, and says so.")
      .Add({{"server_go_version", "none"}})
      .Set(1);
}

}  // namespace keel::server
