// keel-bench: loads a cluster and says how fast it was.
//
//   keel-bench put --endpoints 127.0.0.1:2379 --clients 100 --conns 3 --total 100000 --server-name keeld

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "base/version.h"
#include "benchmarks/keel_bench/server_usage.h"
#include "benchmarks/keel_bench/workload.h"

namespace keel::bench {
namespace {

struct Report {
  const WorkloadOptions& options;
  const WorkloadResult& result;
  bool has_servers = false;
  absl::Duration server_cpu = absl::ZeroDuration();  // During the run.
  int64_t server_rss_bytes = 0;                      // After it.
  int64_t server_rss_bytes_largest = 0;              // Of the server that has most.

  // What throughput and CPU are divided by: deliveries for watch, else requests.
  uint64_t units() const { return options.name == "watch" ? result.events : result.requests; }
  double per_second() const {
    return static_cast<double>(units()) / std::max(absl::ToDoubleSeconds(result.elapsed), 1e-9);
  }
  double cpu_micros_per_unit() const {
    return units() == 0 ? 0 : absl::ToDoubleMicroseconds(server_cpu) / static_cast<double>(units());
  }
  uint64_t errors() const {
    uint64_t sum = 0;
    for (const auto& [code, count] : result.errors) sum += count;
    return sum;
  }
};

std::string ToJson(const Report& report) {
  const Histogram& latency = report.result.latency;
  nlohmann::ordered_json json = {{"workload", report.options.name},
                                 {"clients", report.options.clients},
                                 {"connections", report.options.connections},
                                 {"rate", report.options.rate},
                                 {"key_size", report.options.key_size},
                                 {"value_size", report.options.value_size},
                                 {"seed", report.options.seed},
                                 {"requests", report.result.requests},
                                 {"events", report.result.events},
                                 {"errors", report.errors()},
                                 {"seconds", absl::ToDoubleSeconds(report.result.elapsed)},
                                 {"per_second", report.per_second()},
                                 {"mean_us", absl::ToDoubleMicroseconds(latency.mean())},
                                 {"p50_us", absl::ToDoubleMicroseconds(latency.Quantile(0.5))},
                                 {"p99_us", absl::ToDoubleMicroseconds(latency.Quantile(0.99))},
                                 {"p999_us", absl::ToDoubleMicroseconds(latency.Quantile(0.999))},
                                 {"max_us", absl::ToDoubleMicroseconds(latency.max())}};
  for (const auto& [code, count] : report.result.errors) json["errors_by_code"][code] = count;
  if (report.has_servers) {
    json["server_cpu_us_per_op"] = report.cpu_micros_per_unit();
    json["server_cpu_seconds"] = absl::ToDoubleSeconds(report.server_cpu);
    json["server_rss_bytes"] = report.server_rss_bytes;
    json["server_rss_bytes_largest"] = report.server_rss_bytes_largest;
  }
  return json.dump();
}

std::string Millis(absl::Duration d) { return absl::StrFormat("%.3f ms", absl::ToDoubleMilliseconds(d)); }

void Print(const Report& report) {
  const WorkloadOptions& o = report.options;
  const Histogram& latency = report.result.latency;
  absl::PrintF("%s: %d clients, %d connections to %s, keys of %d bytes, values of %d bytes, seed %d\n", o.name,
               o.clients, o.connections, absl::StrJoin(o.endpoints, ","), o.key_size, o.value_size, o.seed);
  absl::PrintF("  throughput  %.0f %s/s  (%d in %.2f s)\n", report.per_second(),
               o.name == "watch" ? "events" : "requests", report.units(), absl::ToDoubleSeconds(report.result.elapsed));
  absl::PrintF("  latency     p50 %s   p99 %s   p99.9 %s   max %s\n", Millis(latency.Quantile(0.5)),
               Millis(latency.Quantile(0.99)), Millis(latency.Quantile(0.999)), Millis(latency.max()));
  absl::PrintF("  errors      %d", report.errors());
  for (const auto& [code, count] : report.result.errors) absl::PrintF("  %s=%d", code, count);
  absl::PrintF("\n");
  if (report.has_servers) {
    absl::PrintF("  servers     %.1f us of CPU per %s, %.1f MiB resident\n", report.cpu_micros_per_unit(),
                 o.name == "watch" ? "event" : "request", static_cast<double>(report.server_rss_bytes) / (1 << 20));
  }
}

int Main(int argc, char** argv) {
  // A debugging aid of the library that costs a table look-up for each lock.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);

  WorkloadOptions options;
  std::string endpoints = "127.0.0.1:2379";
  std::string server_pids;
  std::string server_name;
  std::string duration;
  std::string timeout = "30s";
  bool json = false;

  CLI::App app("Loads a Keel (or any v3 protocol) cluster and says how fast it was.");
  app.set_version_flag("--version", std::string("keel-bench ") + kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--endpoints", endpoints, "comma-separated endpoints; requests go to all in turn")
      ->capture_default_str();
  app.add_option("--clients", options.clients,
                 "requests in flight, with --rate at most; for lock: sessions that contend")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--conns", options.connections, "TCP connections, spread over the endpoints")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--io-threads", options.io_threads, "threads of the client")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--rate", options.rate,
                 "requests a second, each sent when it is due and timed from then; 0: when the last is answered")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--total", options.total, "requests; 0: until --duration is over")->capture_default_str();
  app.add_option("--duration", duration, "stop after this time, for example 10s");
  app.add_option("--timeout", timeout, "of a request")->capture_default_str();
  app.add_option("--key-size", options.key_size, "bytes")->check(CLI::Range(1, 65536))->capture_default_str();
  app.add_option("--value-size", options.value_size, "bytes")->capture_default_str();
  app.add_option("--key-space", options.key_space, "different keys")->capture_default_str();
  app.add_option("--seed", options.seed, "of keys and values; the same seed gives the same requests")
      ->capture_default_str();
  app.add_flag("--sequential", options.sequential, "keys in order, not at random");
  app.add_option("--server-pids", server_pids, "comma-separated; report CPU and memory of these processes");
  app.add_option("--server-name", server_name, "the same for all processes with this command name");
  app.add_flag("--json", json, "print one line of JSON");

  app.add_subcommand("put", "one put per request");
  CLI::App* range = app.add_subcommand("range", "one read per request");
  range->add_flag("--serializable", options.serializable, "answered by one member, possibly stale");
  range->add_option("--limit", options.limit, "pairs per read, of neighbouring keys")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  CLI::App* mixed = app.add_subcommand("mixed", "puts and linearizable reads of one key");
  mixed->add_option("--reads", options.reads_percent, "how many of the requests are reads, in percent")
      ->check(CLI::Range(0, 100))
      ->capture_default_str();
  CLI::App* txn = app.add_subcommand("txn", "one transaction per request: a comparison and puts");
  txn->add_option("--ops", options.txn_ops, "puts per transaction")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_subcommand("cas", "one compare-and-put per request: each client moves a key of its own on");
  CLI::App* watch = app.add_subcommand("watch", "puts, measured where watchers receive them");
  watch->add_option("--watchers", options.watchers, "each sees every put")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_subcommand("lease", "renewals of one lease per client");
  CLI::App* lock = app.add_subcommand("lock", "lock and unlock, in turn with the other clients");
  lock->add_option("--locks", options.locks, "names to contend for")->check(CLI::PositiveNumber)->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  options.name = app.get_subcommands().at(0)->get_name();
  options.endpoints = absl::StrSplit(endpoints, ',', absl::SkipEmpty());
  if (!duration.empty() && !absl::ParseDuration(duration, &options.duration)) {
    absl::FPrintF(stderr, "keel-bench: --duration %s is not a duration like 10s\n", duration);
    return 2;
  }
  if (!absl::ParseDuration(timeout, &options.timeout)) {
    absl::FPrintF(stderr, "keel-bench: --timeout %s is not a duration like 10s\n", timeout);
    return 2;
  }
  if (options.rate > 0 && options.name == "lock") {
    absl::FPrintF(stderr, "keel-bench: lock has no --rate; what a lock waits for is its holder\n");
    return 2;
  }
  if (options.total == 0 && duration.empty()) {
    absl::FPrintF(stderr, "keel-bench: --total 0 needs a --duration\n");
    return 2;
  }
  if (!duration.empty() && app.count("--total") == 0) options.total = 0;

  std::vector<pid_t> pids;
  for (const std::string& text : std::vector<std::string>(absl::StrSplit(server_pids, ',', absl::SkipEmpty()))) {
    int pid = 0;
    if (!absl::SimpleAtoi(text, &pid)) {
      absl::FPrintF(stderr, "keel-bench: --server-pids: %s is not a number\n", text);
      return 2;
    }
    pids.push_back(pid);
  }
  if (!server_name.empty()) pids = PidsOf(server_name);

  WorkloadResult result;
  Report report{.options = options, .result = result, .has_servers = !pids.empty()};
  absl::StatusOr<ServerUsage> before = ServerUsage{};
  absl::StatusOr<ServerUsage> after = ServerUsage{};
  const absl::Status status = RunWorkload(
      options, [&] { before = ReadServerUsage(pids); }, [&] { after = ReadServerUsage(pids); }, &result);
  for (const absl::Status& s : {status, before.status(), after.status()}) {
    if (!s.ok()) {
      absl::FPrintF(stderr, "keel-bench: %s\n", s.ToString());
      return 1;
    }
  }
  report.server_cpu = after->cpu - before->cpu;
  report.server_rss_bytes = after->rss_bytes;
  report.server_rss_bytes_largest = after->rss_bytes_largest;
  if (json) {
    std::puts(ToJson(report).c_str());
  } else {
    Print(report);
  }
  return report.errors() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace keel::bench

int main(int argc, char** argv) { return keel::bench::Main(argc, argv); }
