#include "tests/interop/trial.h"

#include <poll.h>

#include <algorithm>
#include <iostream>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "tests/interop/client_process.h"
#include "tests/interop/recipe_partner.h"
#include "tests/interop/server_cluster.h"

namespace keel::interop {
namespace {

constexpr absl::Duration kStoriesLimit = absl::Seconds(180);
constexpr absl::Duration kPairLimit = absl::Seconds(90);
constexpr int kRounds = 20;  // Of each program of a pair.

// Listens to programs until all have ended, and does what they ask for.
class Host {
 public:
  Host(ServerCluster& cluster, std::vector<std::string> names) : cluster_(cluster), names_(std::move(names)) {}

  absl::Status Start(const ClientProcess::Options& options) {
    KEEL_ASSIGN_OR_RETURN(auto process, ClientProcess::Start(options));
    processes_.push_back(std::move(process));
    open_.push_back(true);
    return absl::OkStatus();
  }

  // An error: a program failed, or asked for what cannot be done.
  absl::Status Listen() {
    while (true) {
      std::vector<pollfd> fds;
      for (size_t i = 0; i < processes_.size(); ++i) {
        // A negative descriptor is left out by poll().
        fds.push_back({.fd = open_[i] ? processes_[i]->stdout_fd() : -1, .events = POLLIN, .revents = 0});
      }
      if (std::none_of(open_.begin(), open_.end(), [](bool open) { return open; })) break;
      if (poll(fds.data(), fds.size(), -1) < 0) continue;
      for (size_t i = 0; i < fds.size(); ++i) {
        if (fds[i].revents == 0) continue;
        const auto lines = processes_[i]->ReadLines();
        open_[i] = lines.has_value();
        if (!lines) continue;
        for (const std::string& line : *lines) KEEL_RETURN_IF_ERROR(Hear(i, line));
      }
    }
    for (size_t i = 0; i < processes_.size(); ++i) {
      const int code = processes_[i]->Wait();
      if (code == 124) return absl::DeadlineExceededError(names_[i] + " did not end in time");
      if (code != 0) return absl::InternalError(absl::StrCat(names_[i], " ended with exit code ", code));
    }
    return absl::OkStatus();
  }

  const std::set<std::string>& held() const { return held_; }
  int kills() const { return kills_; }

 private:
  absl::Status Hear(size_t i, const std::string& line) {
    std::cout << names_[i] << ": " << line << std::endl;
    absl::string_view rest = line;
    if (absl::ConsumePrefix(&rest, "ok ")) held_.emplace(rest);
    if (!absl::ConsumePrefix(&rest, "ask ")) return absl::OkStatus();
    if (rest == "kill") {
      KEEL_ASSIGN_OR_RETURN(const std::string killed, cluster_.KillNext());
      std::cout << "killed " << killed << std::endl;
      ++kills_;
    } else if (rest == "restart") {
      KEEL_RETURN_IF_ERROR(cluster_.RestartKilled());
    } else if (absl::ConsumePrefix(&rest, "recipes ")) {
      KEEL_RETURN_IF_ERROR(UseRecipes(cluster_.client(), ToStd(rest)));
    } else if (rest == "start") {
      if (++waiting_ < processes_.size()) return absl::OkStatus();
      for (auto& process : processes_) process->Done();
      return absl::OkStatus();
    } else {
      return absl::InvalidArgumentError(absl::StrCat(names_[i], " asks for what nobody knows: ", line));
    }
    processes_[i]->Done();
    return absl::OkStatus();
  }

  ServerCluster& cluster_;
  const std::vector<std::string> names_;
  std::vector<std::unique_ptr<ClientProcess>> processes_;
  std::vector<bool> open_;
  std::set<std::string> held_;
  int kills_ = 0;
  size_t waiting_ = 0;
};

absl::Status WithLogs(const absl::Status& status, const ServerCluster& cluster) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrCat(status.message(), "\n", cluster.LogTails()));
}

absl::Status TellStories(const ClientProgram& program, ServerCluster& cluster) {
  Host host(cluster, {program.name});
  std::vector<std::string> argv = program.run;
  argv.insert(argv.end(), {"stories", cluster.endpoints()});
  KEEL_RETURN_IF_ERROR(host.Start({.argv = argv, .environment = program.environment, .limit = kStoriesLimit}));
  KEEL_RETURN_IF_ERROR(host.Listen());
  for (const std::string& story : program.stories) {
    if (!host.held().contains(story)) {
      return absl::InternalError(absl::StrCat(program.name, " said nothing of its story '", story, "'"));
    }
  }
  if (host.kills() != 3) return absl::InternalError(absl::StrCat(program.name, " met ", host.kills(), " of 3 kills"));
  std::cout << program.name << ": " << host.held().size() << " stories held\n";
  return absl::OkStatus();
}

// Reads the counter's history from its end: each value is "<number> <writer>", and version n must hold number n.
absl::Status CheckCounter(Client& client, const std::string& key, int expected) {
  int64_t revision = 0;
  int handovers = 0;
  std::string writer_after;
  for (int number = expected; number > 0; --number) {
    KEEL_ASSIGN_OR_RETURN(const RangeResponse read, client.kv().Get(key, {.revision = revision}));
    if (read.kvs.empty()) return absl::InternalError(absl::StrCat("no version ", number, " of the counter"));
    const KeyValue& kv = read.kvs[0];
    absl::string_view writer = kv.value;
    if (kv.version != number || !absl::ConsumePrefix(&writer, absl::StrCat(number, " "))) {
      return absl::InternalError(absl::StrCat("the lock let two in: after ", kv.version, " increments the counter is '",
                                              kv.value, "', expected ", number));
    }
    if (!writer_after.empty() && writer_after != writer) ++handovers;
    writer_after = std::string(writer);
    revision = kv.mod_revision - 1;
  }
  std::cout << expected << " increments, each seen by the next; the lock changed hands " << handovers << " times\n";
  if (handovers == 0) return absl::InternalError("the programs did not meet: nothing was shown");
  return absl::OkStatus();
}

absl::Status ShareLock(const ClientProgram& one, const ClientProgram& other, ServerCluster& cluster) {
  const std::string counter = "counter";
  Host host(cluster, {one.name, other.name});
  for (const ClientProgram& program : {one, other}) {
    std::vector<std::string> argv = program.run;
    argv.insert(argv.end(), {"lock", cluster.endpoints(), "/locks/shared", counter, absl::StrCat(kRounds)});
    KEEL_RETURN_IF_ERROR(host.Start({.argv = argv, .environment = program.environment, .limit = kPairLimit}));
  }
  KEEL_RETURN_IF_ERROR(host.Listen());
  return CheckCounter(cluster.client(), counter, 2 * kRounds);
}

}  // namespace

absl::Status RunStories(const ClientProgram& program, const std::string& server) {
  KEEL_ASSIGN_OR_RETURN(auto cluster, ServerCluster::Start(server));
  std::cout << program.client << " against three members of " << server << std::endl;
  return WithLogs(TellStories(program, *cluster), *cluster);
}

absl::Status RunPair(const ClientProgram& one, const ClientProgram& other, const std::string& server) {
  if (one.lock_protocol != other.lock_protocol) {
    return absl::InvalidArgumentError(absl::StrCat(one.name, " and ", other.name,
                                                   " write different keys for a lock: they cannot exclude each other"));
  }
  KEEL_ASSIGN_OR_RETURN(auto cluster, ServerCluster::Start(server));
  std::cout << one.name << " and " << other.name << " share "
            << (one.lock_protocol == LockProtocol::kQueueOfLeases ? "a queue of leases below NAME/ (the Lock service's)"
                                                                  : "one key that is created if absent")
            << ", on three members of " << server << std::endl;
  return WithLogs(ShareLock(one, other, *cluster), *cluster);
}

}  // namespace keel::interop
