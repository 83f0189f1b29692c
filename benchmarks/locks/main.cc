// keel-locks: what waiting for a lock costs.
//
//   keel-locks handover build/release/tools/keeld/keeld [--processes 2] [--rounds 500]
//     Processes that take and release one Mutex in turns. Time from the call of Unlock in one to the return of Lock in
//     the next. --json prints it for programs to read.
//   keel-locks herd build/release/tools/keeld/keeld [--waiters 1000]
//     So many waiters for one Mutex, each of a session of its own, and one release that goes through all of them. Time
//     per hand over, and the events that the servers sent for it, by their metrics: one per release, however many wait.
//
// The server is started as three members on loopback, with its own defaults; any that takes etcd's flags will do.

#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/mutex.h"
#include "keel/session.h"
#include "tools/local_cluster/local_cluster.h"
#include "tools/local_cluster/metric.h"

namespace keel {
namespace {

constexpr int kSamplesMax = 1 << 20;

int64_t Clock() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

// Shared by the processes of one measurement.
struct Board {
  std::atomic<int64_t> unlock_at = 0;  // 0: nobody has released yet.
  std::atomic<int> ready = 0;
  std::atomic<int> count = 0;
  int64_t samples[kSamplesMax];
};

void Print(const char* what, std::vector<int64_t> ns) {
  if (ns.empty()) {
    std::cout << what << ": nothing was measured\n";
    return;
  }
  std::sort(ns.begin(), ns.end());
  const auto at = [&](double p) {
    return static_cast<double>(ns[static_cast<size_t>(p * static_cast<double>(ns.size() - 1))]) / 1e6;
  };
  std::printf("%s: n=%zu p50=%.2f ms p90=%.2f ms p99=%.2f ms max=%.2f ms\n", what, ns.size(), at(0.5), at(0.9),
              at(0.99), at(1));
}

void PrintJson(std::vector<int64_t> ns) {
  std::sort(ns.begin(), ns.end());
  const auto at = [&](double p) {
    return static_cast<double>(ns[static_cast<size_t>(p * static_cast<double>(ns.size() - 1))]) / 1e3;
  };
  std::printf("{\"requests\":%zu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"max_us\":%.1f}\n", ns.size(),
              at(0.5), at(0.99), at(0.999), at(1));
}

// The servers were started a moment ago.
bool IsReady(Client& client) {
  const auto read = client.kv().Get("ready", {}, {.timeout = absl::Seconds(30), .wait_for_ready = true});
  if (!read.ok()) std::cerr << read.status() << "\n";
  return read.ok();
}

int TakeTurns(const std::vector<std::string>& endpoints, const std::string& name, int processes, int rounds,
              Board& board) {
  auto client = Client::Create({.endpoints = endpoints});
  if (!client.ok()) return 1;
  if (!IsReady(**client)) return 1;
  auto session = Session::Open(**client, {.ttl = absl::Seconds(30)});
  if (!session.ok()) {
    std::cerr << session.status() << "\n";
    return 1;
  }
  Mutex mutex(**client, **session, name);
  ++board.ready;
  while (board.ready < processes) absl::SleepFor(absl::Milliseconds(1));
  for (int i = 0; i < rounds; ++i) {
    if (absl::Status s = mutex.Lock(absl::Now() + absl::Seconds(30)); !s.ok()) {
      std::cerr << s << "\n";
      return 1;
    }
    const int64_t locked = Clock();
    if (const int64_t unlocked = board.unlock_at; unlocked != 0) {
      const int n = board.count++;
      if (n < kSamplesMax) board.samples[n] = locked - unlocked;
    }
    // Until another one waits, so that a hand over is measured and not how fast somebody comes.
    while (true) {
      const auto waiting = (*client)->kv().Get(name + "/", {.prefix = true, .serializable = true, .count_only = true});
      if (!waiting.ok() || waiting->count > 1 || board.ready < processes) break;
    }
    absl::SleepFor(absl::Milliseconds(3));  // Until it watches.
    board.unlock_at = Clock();
    if (!mutex.Unlock().ok()) return 1;
  }
  --board.ready;
  return 0;
}

int HandOver(const std::vector<std::string>& endpoints, int processes, int rounds, bool json) {
  void* memory = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::cerr << "no shared memory\n";
    return 1;
  }
  Board* board = new (memory) Board;
  const std::string name = absl::StrCat("locks/handover-", absl::GetCurrentTimeNanos());
  std::vector<pid_t> children;
  for (int i = 0; i < processes; ++i) {
    const pid_t pid = fork();  // Before any thread exists.
    if (pid == 0) _exit(TakeTurns(endpoints, name, processes, rounds, *board));
    children.push_back(pid);
  }
  bool ok = true;
  for (pid_t pid : children) {
    int status = 0;
    waitpid(pid, &status, 0);
    ok = ok && WIFEXITED(status) && WEXITSTATUS(status) == 0;
  }
  if (!ok) return 1;
  std::vector<int64_t> samples(board->samples, board->samples + std::min<int>(board->count, kSamplesMax));
  if (samples.empty()) {
    std::cerr << "nothing was measured\n";
    return 1;
  }
  if (json) {
    PrintJson(std::move(samples));
  } else {
    Print("hand over", std::move(samples));
  }
  return 0;
}

// What the members' metrics say they have sent to watchers; unset, with the reason told, if one does not say.
std::optional<int64_t> EventsSent(const std::vector<std::string>& endpoints) {
  double sent = 0;
  for (const std::string& endpoint : endpoints) {
    const absl::StatusOr<double> events = tools::ReadMetric(endpoint, "etcd_debugging_mvcc_events_total");
    if (!events.ok()) {
      std::cerr << events.status() << "\n";
      return std::nullopt;
    }
    sent += *events;
  }
  return static_cast<int64_t>(sent);
}

int Herd(const std::vector<std::string>& endpoints, int waiters) {
  auto client = Client::Create({.endpoints = endpoints, .balance = Balance::kRoundRobin});
  if (!client.ok()) return 1;
  if (!IsReady(**client)) return 1;
  const std::string name = absl::StrCat("locks/herd-", absl::GetCurrentTimeNanos());
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i <= waiters; ++i) {
    auto session = Session::Open(**client, {.ttl = absl::Seconds(60)});
    if (!session.ok()) {
      std::cerr << session.status() << "\n";
      return 1;
    }
    sessions.push_back(*std::move(session));
  }
  Mutex holder(**client, *sessions[0], name);
  if (absl::Status s = holder.Lock(absl::Now() + absl::Seconds(30)); !s.ok()) {
    std::cerr << s << "\n";
    return 1;
  }
  std::vector<int64_t> locked_at(static_cast<size_t>(waiters));
  std::atomic<int> order = 0, failed = 0;
  std::vector<std::thread> threads;
  for (int i = 1; i <= waiters; ++i) {
    threads.emplace_back([&, i] {
      Mutex mutex(**client, *sessions[static_cast<size_t>(i)], name);
      if (!mutex.Lock(absl::Now() + absl::Minutes(5)).ok()) {
        ++failed;
        return;
      }
      locked_at[static_cast<size_t>(order++)] = Clock();
      if (!mutex.Unlock().ok()) ++failed;
    });
  }
  while (true) {
    const auto queue = (*client)->kv().Get(name + "/", {.prefix = true, .count_only = true});
    if (queue.ok() && queue->count == waiters + 1) break;
    absl::SleepFor(absl::Milliseconds(20));
  }
  absl::SleepFor(absl::Seconds(2));  // Until the last of them watches.
  const std::optional<int64_t> before = EventsSent(endpoints);
  const int64_t begin = Clock();
  if (!holder.Unlock().ok()) ++failed;
  for (std::thread& thread : threads) thread.join();
  const std::optional<int64_t> after = EventsSent(endpoints);
  std::vector<int64_t> gaps;
  for (size_t i = 0; i < static_cast<size_t>(order.load()); ++i) {
    gaps.push_back(locked_at[i] - (i == 0 ? begin : locked_at[i - 1]));
  }
  Print("from one holder to the next", std::move(gaps));
  if (!before || !after) return 1;
  std::cout << waiters << " waiters, " << waiters << " releases: " << *after - *before << " events sent; " << failed
            << " failed\n";
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace keel

int main(int argc, char** argv) {
  CLI::App app("What waiting for a lock costs.", "keel-locks");
  app.require_subcommand(1);
  std::string server, parent = std::filesystem::temp_directory_path();
  int processes = 2, rounds = 500, waiters = 1000, members = 3;
  CLI::App* handover = app.add_subcommand("handover", "time from one process's Unlock to the next one's Lock");
  handover->add_option("--processes", processes)->check(CLI::Range(2, 64));
  handover->add_option("--rounds", rounds, "of each process");
  bool json = false;
  handover->add_flag("--json", json, "print one line of JSON");
  CLI::App* herd = app.add_subcommand("herd", "many waiters for one lock");
  herd->add_option("--waiters", waiters)->check(CLI::Range(1, 5000));
  for (CLI::App* command : {handover, herd}) {
    command->add_option("server", server, "the server's program")->required();
    command->add_option("--members", members)->check(CLI::Range(1, 9));
    command->add_option("--dir", parent, "where the servers keep their data");
  }
  CLI11_PARSE(app, argc, argv);

  std::string dir = parent + "/keel-locks-XXXXXX";
  if (mkdtemp(dir.data()) == nullptr) {
    std::cerr << "cannot make a folder in " << parent << "\n";
    return 1;
  }
  int result = 1;
  {
    auto cluster = keel::tools::LocalCluster::Create({.keeld = server, .dir = dir, .members = members});
    absl::Status started = cluster.ok() ? cluster->StartAll() : cluster.status();
    if (started.ok()) {
      const std::vector<std::string> endpoints = absl::StrSplit(cluster->endpoints(), ',');
      result = handover->parsed() ? keel::HandOver(endpoints, processes, rounds, json) : keel::Herd(endpoints, waiters);
    } else {
      std::cerr << started << "\n";
    }
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return result;
}
