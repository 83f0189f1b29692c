// keel-streams: what many watchers and many leases cost, for each server named in turn.
//
//   keel-streams fanout build/release/tools/keeld/keeld etcd    # one writer, 10,000 watchers of one prefix
//   keel-streams idle   build/release/tools/keeld/keeld etcd    # puts beside 100,000 watchers of other keys
//   keel-streams renew  build/release/tools/keeld/keeld etcd    # renewals as fast as they are answered
//   keel-streams leases build/release/tools/keeld/keeld etcd    # puts beside 100,000 leases that are renewed and
//   expire
//
// A server is one member on loopback (fanout and renew: --members) with its own defaults; any that takes etcd's flags
// will do.

#include <stdlib.h>
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <deque>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "benchmarks/keel_bench/histogram.h"
#include "benchmarks/keel_bench/server_usage.h"
#include "benchmarks/streams/streams.h"
#include "keel/client.h"
#include "tools/keelctl/http_get.h"
#include "tools/keelctl/metrics_page.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel::bench {
namespace {

struct Options {
  std::vector<std::string> servers;
  std::string dir;
  int members = 1;
  bool json = false;
  int connections = 10;
  int watchers = 0;  // 0: as many as the scenario is about.
  int puts = 100;
  int put_rate = 300;  // A second.
  bool in_step = false;
  int leases = 100000;
  int renewals = 20000;  // A second.
  int expiring = 10000;
  absl::Duration phase = absl::Seconds(5);
};

class Server {
 public:
  static absl::StatusOr<std::unique_ptr<Server>> Start(const std::string& program, const std::string& parent,
                                                       int members) {
    std::string dir = absl::StrCat(parent, "/keel-streams-XXXXXX");
    if (mkdtemp(dir.data()) == nullptr) return absl::InternalError(absl::StrCat("cannot make a folder in ", parent));
    auto server = std::make_unique<Server>();
    server->dir_ = dir;
    KEEL_ASSIGN_OR_RETURN(tools::LocalCluster cluster,
                          tools::LocalCluster::Create({.keeld = program, .dir = dir, .members = members}));
    server->cluster_.emplace(std::move(cluster));
    KEEL_RETURN_IF_ERROR(server->cluster_->StartAll());
    KEEL_ASSIGN_OR_RETURN(server->client_, Client::Create({.endpoints = server->endpoints()}));
    return server->client_->kv().Get("ready", {}, {.timeout = absl::Seconds(30), .wait_for_ready = true}).status().ok()
               ? absl::StatusOr<std::unique_ptr<Server>>(std::move(server))
               : absl::UnavailableError(absl::StrCat(program, " does not start: ", server->cluster_->LogTails()));
  }
  ~Server() {
    cluster_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  std::string endpoint() const { return cluster_->endpoint(0); }
  std::vector<std::string> endpoints() const { return absl::StrSplit(cluster_->endpoints(), ','); }
  Client& client() { return *client_; }
  absl::StatusOr<ctl::MetricsPage> metrics() const {
    KEEL_ASSIGN_OR_RETURN(const ctl::HttpPage page,
                          ctl::HttpGet(endpoints().front(), "/metrics", std::nullopt, absl::Seconds(10)));
    return ctl::MetricsPage::Parse(page.body);
  }
  // Of all members.
  ServerUsage usage() {
    std::vector<pid_t> pids;
    for (int i = 0; i < cluster_->size(); ++i) pids.push_back(cluster_->process(i).pid());
    return ReadServerUsage(pids).value_or(ServerUsage{});
  }

 private:
  std::string dir_;
  std::optional<tools::LocalCluster> cluster_;
  std::unique_ptr<Client> client_;
};

// CPU of this process, which shares the machine with the server.
absl::Duration OwnCpu() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return absl::DurationFromTimeval(usage.ru_utime) + absl::DurationFromTimeval(usage.ru_stime);
}

double Mebibytes(int64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }
std::string Millis(absl::Duration d) { return absl::StrFormat("%.2f ms", absl::ToDoubleMilliseconds(d)); }

// How late the machine wakes a thread that sleeps a millisecond at a time: what puts are late by as much is not the
// server's doing.
class Hiccups {
 public:
  Hiccups() : thread_([this] { Run(); }) {}
  ~Hiccups() {
    stop_.store(true, std::memory_order_relaxed);
    thread_.join();
  }
  // The longest since the last call.
  absl::Duration TakeLongest() { return absl::Nanoseconds(longest_ns_.exchange(0)); }

 private:
  void Run() {
    constexpr absl::Duration kNap = absl::Milliseconds(1);
    while (!stop_.load(std::memory_order_relaxed)) {
      const absl::Time begin = absl::Now();
      absl::SleepFor(kNap);
      const int64_t late = absl::ToInt64Nanoseconds(absl::Now() - begin - kNap);
      if (late > longest_ns_.load()) longest_ns_.store(late);
    }
  }

  std::atomic<int64_t> longest_ns_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

// Puts at a steady rate, each on time whatever became of the one before; how long each took from when it was due.
class SteadyPuts {
 public:
  SteadyPuts(Client* client, int per_second) : client_(*client), interval_(absl::Seconds(1) / per_second) {}

  // Blocks for `duration`, and until all are answered.
  absl::Status Run(absl::Duration duration) {
    const int count = static_cast<int>(duration / interval_);
    absl::BlockingCounter pending(count);
    absl::Time due = absl::Now();
    for (int i = 0; i < count; ++i, due += interval_) {
      absl::SleepFor(due - absl::Now());
      client_.kv().PutAsync(absl::StrCat("steady/", i % 100), std::string(256, 'v'), {}, {.timeout = absl::Seconds(60)},
                            [this, due, &pending](absl::StatusOr<PutResponse> put) {
                              if (put.ok()) {
                                took_.Add(absl::Now() - due);
                              } else {
                                ++failed_;
                              }
                              pending.DecrementCount();
                            });
    }
    pending.Wait();
    return failed_ == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat(failed_.load(), " puts failed"));
  }
  const Histogram& took() const { return took_; }

 private:
  Client& client_;
  const absl::Duration interval_;
  Histogram took_;
  std::atomic<int> failed_{0};
};

// What every scenario for programs to read says: `units` events or renewals in `took`, for so much CPU of all members.
nlohmann::ordered_json Json(const std::string& name, const Options& options, absl::Duration cpu, uint64_t units,
                            absl::Duration took) {
  return {{"server", name},
          {"members", options.members},
          {"connections", options.connections},
          {"requests", units},
          {"seconds", absl::ToDoubleSeconds(took)},
          {"per_second", static_cast<double>(units) / absl::ToDoubleSeconds(took)},
          {"server_cpu_us_per_op", absl::ToDoubleMicroseconds(cpu) / static_cast<double>(units)}};
}

void AddLatency(const Histogram& took, nlohmann::ordered_json* json) {
  (*json)["p50_us"] = absl::ToDoubleMicroseconds(took.Quantile(0.5));
  (*json)["p99_us"] = absl::ToDoubleMicroseconds(took.Quantile(0.99));
  (*json)["p999_us"] = absl::ToDoubleMicroseconds(took.Quantile(0.999));
}

// One writer and many watchers of one prefix: how many events a second reach them.
absl::Status Fanout(const Options& options, const std::string& name, Server& server) {
  const int count = options.watchers > 0 ? options.watchers : 10000;
  KEEL_ASSIGN_OR_RETURN(
      const std::unique_ptr<Watchers> watchers,
      Watchers::Open(server.endpoints(), options.connections, count, [](int, etcdserverpb::WatchCreateRequest* create) {
        create->set_key("f/");
        create->set_range_end("f0");
      }));
  Histogram to_the_last;
  const ServerUsage before = server.usage();
  const absl::Duration own_before = OwnCpu();
  const uint64_t responses_before = watchers->responses();
  const absl::Time begin = absl::Now();
  for (int i = 0; i < options.puts; ++i) {
    const absl::Time sent = absl::Now();
    KEEL_RETURN_IF_ERROR(server.client().kv().Put(absl::StrCat("f/", i), std::string(256, 'v')).status());
    const uint64_t due = static_cast<uint64_t>(i + 1) * static_cast<uint64_t>(count);
    while (options.in_step && watchers->events() < due) {
      if (absl::Now() - begin > absl::Minutes(2)) return absl::DeadlineExceededError("not every event comes");
      absl::SleepFor(absl::Microseconds(50));
    }
    if (options.in_step) to_the_last.Add(absl::Now() - sent);
  }
  const absl::Time written = absl::Now();
  const uint64_t wanted = static_cast<uint64_t>(options.puts) * static_cast<uint64_t>(count);
  int64_t rss = 0;
  while (watchers->events() < wanted) {
    if (absl::Now() - begin > absl::Minutes(2)) return absl::DeadlineExceededError("not every event comes");
    rss = std::max(rss, server.usage().rss_bytes_largest);
    absl::SleepFor(absl::Milliseconds(5));
  }
  const absl::Duration took = absl::Now() - begin;
  const ServerUsage after = server.usage();
  rss = std::max(rss, after.rss_bytes_largest);
  if (options.json) {
    nlohmann::ordered_json json = Json(name, options, after.cpu - before.cpu, wanted, took);
    json["watchers"] = count;
    json["server_rss_bytes_largest"] = rss;
    if (options.in_step) AddLatency(to_the_last, &json);
    absl::PrintF("%s\n", json.dump());
    return absl::OkStatus();
  }
  absl::PrintF(
      "%-12s %d watchers of one prefix on %d connections: %.0f events/s (%d puts in %s, %d events in %s), %.2f us of "
      "CPU per event (and %.2f here), %.2f events per response, %.0f MiB%s\n",
      name, count, options.connections, static_cast<double>(wanted) / absl::ToDoubleSeconds(took), options.puts,
      Millis(written - begin), wanted, Millis(took),
      absl::ToDoubleMicroseconds(after.cpu - before.cpu) / static_cast<double>(wanted),
      absl::ToDoubleMicroseconds(OwnCpu() - own_before) / static_cast<double>(wanted),
      static_cast<double>(wanted) / static_cast<double>(watchers->responses() - responses_before), Mebibytes(rss),
      options.in_step ? absl::StrCat(", p50 ", Millis(to_the_last.Quantile(0.5)), " to the last watcher") : "");
  return absl::OkStatus();
}

// What a put costs beside watchers that it does not concern. In turns with and without them, so that neither has the
// quieter disk or the emptier store.
absl::Status Idle(const Options& options, const std::string& name, Server& server) {
  constexpr int kRounds = 5;
  const int count = options.watchers > 0 ? options.watchers : 100000;
  const int puts = options.puts * 20 / kRounds;
  struct Side {
    Histogram took;
    absl::Duration cpu;
    int64_t rss_bytes = 0;
  };
  Side sides[2];
  absl::Duration opening;
  for (int i = 0; i < puts; ++i) {
    KEEL_RETURN_IF_ERROR(server.client().kv().Put("warm", std::string(256, 'v')).status());
  }
  for (int round = 0; round < kRounds; ++round) {
    for (const bool with : {false, true}) {
      const absl::Time begin = absl::Now();
      std::unique_ptr<Watchers> watchers;
      if (with) {
        KEEL_ASSIGN_OR_RETURN(watchers, Watchers::Open(server.endpoints(), options.connections, count,
                                                       [](int i, etcdserverpb::WatchCreateRequest* create) {
                                                         create->set_key(absl::StrCat("other/", i));
                                                       }));
        opening += absl::Now() - begin;
      }
      absl::SleepFor(absl::Seconds(1));  // What opening and closing them has left to do is not what is measured.
      const ServerUsage before = server.usage();
      Side& side = sides[with];
      // One after the other, so that the difference is what the server does for one.
      for (int i = 0; i < puts; ++i) {
        const absl::Time sent = absl::Now();
        KEEL_RETURN_IF_ERROR(server.client().kv().Put(absl::StrCat("k/", i), std::string(256, 'v')).status());
        side.took.Add(absl::Now() - sent);
      }
      const ServerUsage after = server.usage();
      side.cpu += after.cpu - before.cpu;
      side.rss_bytes = std::max(side.rss_bytes, after.rss_bytes);
    }
  }
  for (const bool with : {false, true}) {
    const Side& side = sides[with];
    absl::PrintF(
        "%-12s beside %6d watchers (opened in %s): a put takes p50 %s, p90 %s, p99 %s, mean %s, %.0f us of CPU; %.0f "
        "MiB\n",
        name, with ? count : 0, Millis(with ? opening / kRounds : absl::ZeroDuration()),
        Millis(side.took.Quantile(0.5)), Millis(side.took.Quantile(0.9)), Millis(side.took.Quantile(0.99)),
        Millis(side.took.mean()), absl::ToDoubleMicroseconds(side.cpu) / (puts * kRounds), Mebibytes(side.rss_bytes));
  }
  return absl::OkStatus();
}

// Grants, many at a time.
absl::Status Grant(Client& client, int64_t first, int count, absl::Duration ttl, bool with_keys) {
  std::atomic<int> failed = 0;
  constexpr int kThreads = 2;
  constexpr int kAtOnce = 200;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = t; i < count; i += kThreads * kAtOnce) {
        const int n = std::min(kAtOnce, (count - i + kThreads - 1) / kThreads);
        absl::BlockingCounter pending(n);
        for (int k = 0; k < n; ++k) {
          const int64_t id = first + i + int64_t{k} * kThreads;
          client.leases().GrantAsync(ttl, {.id = id}, {}, [&, id](absl::StatusOr<LeaseGrantResponse> granted) {
            if (!granted.ok()) ++failed;
            if (!granted.ok() || !with_keys) {
              pending.DecrementCount();
              return;
            }
            client.kv().PutAsync(absl::StrCat("leased/", id), "v", {.lease = id}, {},
                                 [&](absl::StatusOr<PutResponse> put) {
                                   failed += !put.ok();
                                   pending.DecrementCount();
                                 });
          });
        }
        pending.Wait();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return failed == 0 ? absl::OkStatus() : absl::InternalError(absl::StrCat(failed.load(), " grants failed"));
}

// How many renewals a second are answered to clients that wait for nothing else.
absl::Status Renew(const Options& options, const std::string& name, Server& server) {
  KEEL_RETURN_IF_ERROR(Grant(server.client(), 1, options.leases, absl::Hours(1), /*with_keys=*/false));
  Histogram took;
  const ServerUsage before = server.usage();
  KEEL_ASSIGN_OR_RETURN(const RenewalLoopResult result,
                        RenewInALoop(server.endpoints(), options.connections, options.leases, options.phase, &took));
  const ServerUsage after = server.usage();
  if (result.lost > 0) return absl::InternalError(absl::StrCat(result.lost, " renewals of lost leases"));
  if (result.answered == 0) return absl::DeadlineExceededError("no renewal was answered");
  const absl::Duration cpu = after.cpu - before.cpu;
  if (options.json) {
    nlohmann::ordered_json json = Json(name, options, cpu, result.answered, result.elapsed);
    json["leases"] = options.leases;
    json["server_rss_bytes_largest"] = after.rss_bytes_largest;
    AddLatency(took, &json);
    absl::PrintF("%s\n", json.dump());
    return absl::OkStatus();
  }
  absl::PrintF("%-12s %d leases on %d connections: %.0f renewals/s, p50 %s, p99 %s, %.2f us of CPU each; %.0f MiB\n",
               name, options.leases, options.connections,
               static_cast<double>(result.answered) / absl::ToDoubleSeconds(result.elapsed), Millis(took.Quantile(0.5)),
               Millis(took.Quantile(0.99)), absl::ToDoubleMicroseconds(cpu) / static_cast<double>(result.answered),
               Mebibytes(after.rss_bytes_largest));
  return absl::OkStatus();
}

// How much puts suffer from leases that are renewed, and from many that expire at once.
absl::Status Leases(const Options& options, const std::string& name, Server& server) {
  // With what the disk did meanwhile, which decides about the slowest of them: a put waits for the sync of the log.
  std::optional<ctl::MetricsPage> before_phase;
  Hiccups hiccups;
  const auto begin_phase = [&]() -> absl::Status {
    hiccups.TakeLongest();
    KEEL_ASSIGN_OR_RETURN(before_phase, server.metrics());
    return absl::OkStatus();
  };
  const auto report = [&](const char* phase, const SteadyPuts& puts, const std::string& more) -> absl::Status {
    KEEL_ASSIGN_OR_RETURN(const ctl::MetricsPage now, server.metrics());
    const absl::Duration hiccup = hiccups.TakeLongest();
    const ctl::HistogramDelta syncs(now, &*before_phase, "etcd_disk_wal_fsync_duration_seconds");
    const ctl::HistogramDelta commits(now, &*before_phase, "etcd_disk_backend_commit_duration_seconds");
    absl::PrintF(
        "%-12s %-32s p50 %s, p99 %s, p99.9 %s; %.0f syncs of the log, p99 %.1f ms, p99.9 %.1f ms; commits p99.9 "
        "%.1f ms; machine %s; %.0f MiB%s\n",
        name, phase, Millis(puts.took().Quantile(0.5)), Millis(puts.took().Quantile(0.99)),
        Millis(puts.took().Quantile(0.999)), syncs.count(), syncs.Quantile(0.99) * 1000, syncs.Quantile(0.999) * 1000,
        commits.Quantile(0.999) * 1000, Millis(hiccup), Mebibytes(server.usage().rss_bytes_largest), more);
    return absl::OkStatus();
  };
  {
    SteadyPuts warm(&server.client(), options.put_rate);
    KEEL_RETURN_IF_ERROR(warm.Run(absl::Seconds(1)));
  }
  KEEL_RETURN_IF_ERROR(begin_phase());
  SteadyPuts alone(&server.client(), options.put_rate);
  KEEL_RETURN_IF_ERROR(alone.Run(options.phase));
  KEEL_RETURN_IF_ERROR(report("puts alone:", alone, ""));

  const absl::Time granting = absl::Now();
  KEEL_RETURN_IF_ERROR(Grant(server.client(), 1, options.leases, absl::Hours(1), /*with_keys=*/false));
  const absl::Duration granted = absl::Now() - granting;
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<Renewals> renewals,
                        Renewals::Start(server.endpoint(), /*connections=*/4, options.leases, options.renewals));
  absl::SleepFor(absl::Milliseconds(100));
  KEEL_RETURN_IF_ERROR(begin_phase());
  const uint64_t before = renewals->answered();
  const absl::Time begin = absl::Now();
  SteadyPuts renewing(&server.client(), options.put_rate);
  KEEL_RETURN_IF_ERROR(renewing.Run(options.phase));
  const double rate = static_cast<double>(renewals->answered() - before) / absl::ToDoubleSeconds(absl::Now() - begin);
  KEEL_RETURN_IF_ERROR(report(
      "beside renewals:", renewing,
      absl::StrFormat("; %d leases granted in %s, %.0f renewals/s answered", options.leases, Millis(granted), rate)));

  // All of them within a second of each other, a few seconds from now.
  const absl::Time storm = absl::Now();
  constexpr absl::Duration kTtl = absl::Seconds(5);
  KEEL_RETURN_IF_ERROR(Grant(server.client(), int64_t{1} << 40, options.expiring, kTtl, /*with_keys=*/true));
  const absl::Duration sown = absl::Now() - storm;
  absl::SleepFor(storm + kTtl - absl::Milliseconds(500) - absl::Now());
  KEEL_RETURN_IF_ERROR(begin_phase());
  SteadyPuts suffering(&server.client(), options.put_rate);
  absl::Duration gone = absl::InfiniteDuration();
  std::thread counter([&] {
    while (absl::Now() - storm < absl::Minutes(1)) {
      const auto left = server.client().kv().Get("leased/", {.prefix = true, .count_only = true});
      if (left.ok() && left->count == 0) {
        gone = absl::Now() - storm - kTtl;
        return;
      }
      absl::SleepFor(absl::Milliseconds(50));
    }
  });
  const absl::Status status = suffering.Run(sown + absl::Seconds(2));
  counter.join();
  KEEL_RETURN_IF_ERROR(status);
  return report(
      "beside renewals and an expiry storm:", suffering,
      absl::StrFormat(
          "; %d leases with keys granted in %s, the last was gone %s after its time, %d renewals of lost leases",
          options.expiring, Millis(sown), Millis(gone), renewals->lost()));
}

int Main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  Options options;
  options.dir = std::filesystem::temp_directory_path().string();
  std::string duration = "5s";
  CLI::App app("Says what many watchers and many leases cost a server.");
  app.set_version_flag("--version", std::string("keel-streams ") + kVersion);
  app.require_subcommand(1);
  app.fallthrough();
  app.add_option("--dir", options.dir, "where the servers keep their data")->capture_default_str();
  app.add_option("--conns", options.connections, "connections of the watchers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--watchers", options.watchers, "0: 10,000 for fanout, 100,000 for idle")->capture_default_str();
  app.add_option("--puts", options.puts, "of the writer; idle does twenty times as many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--put-rate", options.put_rate, "leases: puts a second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_flag("--in-step", options.in_step, "fanout: the writer waits until everybody has heard of a put");
  app.add_option("--leases", options.leases, "live leases; renew: each has one renewal under way")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--members", options.members, "fanout and renew: of the cluster; clients are spread over them")
      ->check(CLI::Range(1, 9))
      ->capture_default_str();
  app.add_option("--duration", duration, "renew: how long; leases: of each phase")->capture_default_str();
  app.add_flag("--json", options.json, "fanout and renew: print one line of JSON");
  app.add_option("--renewals", options.renewals, "renewals a second")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--expiring", options.expiring, "leases of the storm")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  for (const char* scenario : {"fanout", "idle", "renew", "leases"}) {
    app.add_subcommand(scenario)->add_option("servers", options.servers, "programs")->required();
  }
  CLI11_PARSE(app, argc, argv);
  const std::string scenario = app.get_subcommands().at(0)->get_name();
  const bool measures_a_cluster = scenario == "fanout" || scenario == "renew";
  if (!measures_a_cluster && (options.json || options.members != 1)) {
    absl::FPrintF(stderr, "keel-streams: %s has neither --json nor --members\n", scenario);
    return 2;
  }
  if (!absl::ParseDuration(duration, &options.phase) || options.phase <= absl::ZeroDuration()) {
    absl::FPrintF(stderr, "keel-streams: --duration %s is not a duration like 10s\n", duration);
    return 2;
  }
  const auto run = scenario == "fanout" ? Fanout : scenario == "idle" ? Idle : scenario == "renew" ? Renew : Leases;
  for (const std::string& program : options.servers) {
    auto server = Server::Start(program, options.dir, options.members);
    const absl::Status status =
        server.ok() ? run(options, std::filesystem::path(program).filename(), **server) : server.status();
    if (!status.ok()) {
      absl::FPrintF(stderr, "keel-streams: %s: %s\n", program, status.ToString());
      return 1;
    }
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace
}  // namespace keel::bench

int main(int argc, char** argv) { return keel::bench::Main(argc, argv); }
