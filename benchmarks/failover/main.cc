// keel-failover: for how long a cluster of three takes no writes when its leader is killed, when it falls silent as a
// machine does that is gone, and when members are restarted one after another.
//
//   keel-failover build/release/tools/keeld/keeld etcd --rounds 20
//
// Every program named is started as three members on loopback with its own defaults; any that takes etcd's flags will
// do.

#include <signal.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/version.h"
#include "benchmarks/failover/prober.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel::bench {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
// Between the end of one round and the next fault: whatever a start or an election hurries or leaves to do is over.
constexpr absl::Duration kCalm = absl::Seconds(2);

struct Options {
  std::vector<std::string> servers;
  std::vector<std::string> flags;
  int rounds = 20;
  int silences = 5;
  int restarts = 3;
  int interval_ms = 4;
  bool json = false;
  std::string dir;
};

SteadyTime Now() { return std::chrono::steady_clock::now(); }

class Run {
 public:
  static absl::StatusOr<std::unique_ptr<Run>> Start(const std::string& server, const std::string& dir,
                                                    const Options& options) {
    KEEL_ASSIGN_OR_RETURN(tools::LocalCluster cluster,
                          tools::LocalCluster::Create({.keeld = server, .dir = dir, .extra_flags = options.flags}));
    std::vector<std::string> endpoints;
    for (int i = 0; i < cluster.size(); ++i) endpoints.push_back(cluster.endpoint(i));
    KEEL_RETURN_IF_ERROR(cluster.StartAll());
    KEEL_ASSIGN_OR_RETURN(std::unique_ptr<Client> client, Client::Create({.endpoints = endpoints}));
    KEEL_ASSIGN_OR_RETURN(std::unique_ptr<Prober> prober,
                          Prober::Start(endpoints, absl::Milliseconds(options.interval_ms)));
    return std::unique_ptr<Run>(new Run(std::move(cluster), std::move(client), std::move(prober)));
  }

  // From SIGKILL of the leader to the first write that was sent after it and confirmed.
  absl::StatusOr<absl::Duration> KillLeader() {
    KEEL_RETURN_IF_ERROR(AwaitAll());
    KEEL_ASSIGN_OR_RETURN(const int leader, Leader());
    const SteadyTime begin = Now();
    cluster_.Kill(leader);
    const std::optional<SteadyTime> accepted = prober_->FirstAccepted(Now(), kPatience);
    if (!accepted) return absl::DeadlineExceededError("no write was taken after the leader had been killed");
    KEEL_RETURN_IF_ERROR(cluster_.Start(leader));
    return absl::FromChrono(*accepted - begin);
  }

  // From SIGSTOP of the leader, whose connections stay, to the first write that was sent after it and confirmed.
  absl::StatusOr<absl::Duration> FreezeLeader() {
    KEEL_RETURN_IF_ERROR(AwaitAll());
    KEEL_ASSIGN_OR_RETURN(const int leader, Leader());
    const SteadyTime begin = Now();
    cluster_.Signal(leader, SIGSTOP);
    const std::optional<SteadyTime> accepted = prober_->FirstAccepted(Now(), kPatience);
    cluster_.Signal(leader, SIGCONT);
    if (!accepted) return absl::DeadlineExceededError("no write was taken after the leader had been stopped");
    return absl::FromChrono(*accepted - begin);
  }

  // SIGTERM to one member after the other, each started again at once and waited for; the longest time without a
  // confirmed write meanwhile.
  absl::StatusOr<absl::Duration> RestartAll() {
    KEEL_RETURN_IF_ERROR(AwaitAll());
    const SteadyTime begin = Now();
    for (int i = 0; i < cluster_.size(); ++i) {
      cluster_.Signal(i, SIGTERM);
      if (!cluster_.process(i).Wait(kPatience)) {
        return absl::DeadlineExceededError(absl::StrCat(cluster_.name(i), " does not end after SIGTERM"));
      }
      KEEL_RETURN_IF_ERROR(cluster_.Start(i));
      KEEL_RETURN_IF_ERROR(Await(i));
    }
    return prober_->LongestGap(begin, Now());
  }

  std::string LogTails() const { return cluster_.LogTails(2000); }

 private:
  Run(tools::LocalCluster cluster, std::unique_ptr<Client> client, std::unique_ptr<Prober> prober)
      : cluster_(std::move(cluster)), client_(std::move(client)), prober_(std::move(prober)) {}

  absl::Status Await(int member) {
    if (prober_->FirstAccepted(Now(), kPatience, static_cast<size_t>(member))) return absl::OkStatus();
    return absl::DeadlineExceededError(absl::StrCat(cluster_.name(member), " takes no writes"));
  }

  absl::Status AwaitAll() {
    for (int i = 0; i < cluster_.size(); ++i) KEEL_RETURN_IF_ERROR(Await(i));
    absl::SleepFor(kCalm);
    return absl::OkStatus();
  }

  absl::StatusOr<int> Leader() {
    for (int i = 0; i < cluster_.size(); ++i) {
      KEEL_ASSIGN_OR_RETURN(const StatusResponse status, client_->maintenance().Status(cluster_.endpoint(i)));
      if (status.is_leader()) return i;
    }
    return absl::UnavailableError("nobody leads");
  }

  tools::LocalCluster cluster_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<Prober> prober_;
};

std::string Millis(absl::Duration d) { return absl::StrFormat("%9.1f", absl::ToDoubleMilliseconds(d)); }

void PrintJson(const std::string& server, const std::string& fault, const std::vector<absl::Duration>& figures) {
  nlohmann::ordered_json json = {
      {"server", server}, {"fault", fault}, {"milliseconds", nlohmann::ordered_json::array()}};
  for (absl::Duration figure : figures) json["milliseconds"].push_back(absl::ToDoubleMilliseconds(figure));
  absl::PrintF("%s\n", json.dump());
  std::fflush(stdout);
}

void PrintRow(const std::string& server, const std::string& fault, std::vector<absl::Duration> figures) {
  std::sort(figures.begin(), figures.end());
  absl::PrintF("%-8s %-18s %6d %s %s %s\n", std::filesystem::path(server).filename().string(), fault, figures.size(),
               Millis(figures.front()), Millis(figures[(figures.size() - 1) / 2]), Millis(figures.back()));
  std::fflush(stdout);
}

absl::Status Measure(const std::string& server, const Options& options) {
  std::string dir = absl::StrCat(options.dir, "/keel-failover-XXXXXX");
  if (mkdtemp(dir.data()) == nullptr) return absl::InternalError(absl::StrCat("cannot create ", dir));
  absl::Status status;
  {
    absl::StatusOr<std::unique_ptr<Run>> run = Run::Start(server, dir, options);
    status = run.status();
    const auto repeat = [&](const char* fault, int rounds, absl::StatusOr<absl::Duration> (Run::*round)()) {
      std::vector<absl::Duration> figures;
      while (status.ok() && figures.size() < static_cast<size_t>(rounds)) {
        const absl::StatusOr<absl::Duration> took = (run->get()->*round)();
        status = took.status();
        if (took.ok()) figures.push_back(*took);
      }
      if (figures.empty()) return;
      if (options.json) {
        PrintJson(server, fault, figures);
      } else {
        PrintRow(server, fault, std::move(figures));
      }
    };
    repeat("kill -9 of leader", options.rounds, &Run::KillLeader);
    repeat("leader silent", options.silences, &Run::FreezeLeader);
    repeat("rolling restart", options.restarts, &Run::RestartAll);
    if (!status.ok() && run.ok()) absl::FPrintF(stderr, "%s", (*run)->LogTails());
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return status;
}

int Main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  Options options;
  options.dir = std::filesystem::temp_directory_path().string();
  CLI::App app("Says for how long a cluster of three takes no writes when its leader is killed or members restart.");
  app.set_version_flag("--version", std::string("keel-failover ") + kVersion);
  app.add_option("servers", options.servers, "programs to measure, one after another")->required();
  app.add_option("--rounds", options.rounds, "times the leader is killed")->capture_default_str();
  app.add_option("--silences", options.silences, "times the leader is stopped")->capture_default_str();
  app.add_option("--restarts", options.restarts, "rolling restarts")->capture_default_str();
  app.add_option("--interval", options.interval_ms, "milliseconds between the writes to each member")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--flag", options.flags, "given to every member, for example --flag=--election-timeout=500");
  app.add_flag("--json", options.json, "print one line of JSON per server and fault, with every figure");
  app.add_option("--dir", options.dir, "where data directories are made, and removed")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  if (!options.json) {
    absl::PrintF("three members on loopback, a write to each every %d ms; time without a confirmed write, ms\n",
                 options.interval_ms);
    absl::PrintF("%-8s %-18s %6s %9s %9s %9s\n", "server", "fault", "rounds", "min", "p50", "max");
  }
  for (const std::string& server : options.servers) {
    if (const absl::Status status = Measure(server, options); !status.ok()) {
      absl::FPrintF(stderr, "keel-failover: %s: %s\n", server, std::string(status.message()));
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace keel::bench

int main(int argc, char** argv) { return keel::bench::Main(argc, argv); }
