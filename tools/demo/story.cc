#include "tools/demo/story.h"

#include <stdlib.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "keel/client.h"
#include "keel/election.h"
#include "tools/demo/packages.h"
#include "tools/demo/roles.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel::demo {
namespace {

constexpr int kWorkers = 4;
constexpr int kCandidates = 3;
constexpr int kLoaders = 8;
constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr absl::Duration kLook = absl::Milliseconds(20);

void Say(const std::string& text) { std::cout << text << std::endl; }

// Asks until the answer is yes.
absl::Status Until(const std::string& what, const std::function<bool()>& holds) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::Now() < deadline) {
    if (holds()) return absl::OkStatus();
    absl::SleepFor(kLook);
  }
  return absl::DeadlineExceededError(absl::StrCat("gave up waiting until ", what));
}

class Story {
 public:
  Story(const StoryOptions& options, const std::string& dir) : options_(options), dir_(dir) {}

  absl::Status Tell() {
    KEEL_RETURN_IF_ERROR(StartCluster());
    KEEL_RETURN_IF_ERROR(StartWatcher());
    KEEL_RETURN_IF_ERROR(LoadPackages());
    KEEL_RETURN_IF_ERROR(CountUnderLock());
    KEEL_RETURN_IF_ERROR(ElectLeaders());
    KEEL_RETURN_IF_ERROR(CheckWatcher());
    return CheckHashes();
  }

  std::string Logs() const { return cluster_ ? cluster_->LogTails() : ""; }

 private:
  absl::Status StartCluster() {
    KEEL_ASSIGN_OR_RETURN(tools::LocalCluster cluster,
                          tools::LocalCluster::Create({.keeld = options_.keeld, .dir = dir_, .members = 3}));
    cluster_ = std::make_unique<tools::LocalCluster>(std::move(cluster));
    const absl::Time start = absl::Now();
    KEEL_RETURN_IF_ERROR(cluster_->StartAll());
    std::vector<std::string> endpoints;
    for (int i = 0; i < cluster_->size(); ++i) endpoints.push_back(cluster_->endpoint(i));
    KEEL_ASSIGN_OR_RETURN(client_, Client::Create({.endpoints = endpoints}));
    KEEL_RETURN_IF_ERROR(Until("the cluster answers",
                               [&] { return client_->kv().Get("ready", {}, {.timeout = absl::Seconds(1)}).ok(); }));
    Say(absl::StrFormat("Started three members on loopback; they elected a leader and answer after %.1f s.",
                        absl::ToDoubleSeconds(absl::Now() - start)));
    return absl::OkStatus();
  }

  absl::StatusOr<tools::ChildProcess> StartRole(const std::vector<std::string>& words, const std::string& output) {
    std::vector<std::string> argv = {options_.self, "--endpoints", cluster_->endpoints()};
    argv.insert(argv.end(), words.begin(), words.end());
    return tools::ChildProcess::Start({.argv = argv, .output_file = absl::StrCat(dir_, "/", output)});
  }

  std::string Output(const std::string& name) const {
    std::ifstream file(absl::StrCat(dir_, "/", name));
    std::stringstream text;
    text << file.rdbuf();
    return text.str();
  }

  absl::Status StartWatcher() {
    KEEL_ASSIGN_OR_RETURN(tools::ChildProcess watcher, StartRole({"watcher"}, "watcher.out"));
    watcher_.push_back(std::move(watcher));
    Say("Another process watches every key from the first revision on.");
    return absl::OkStatus();
  }

  absl::Status LoadPackages() {
    KEEL_ASSIGN_OR_RETURN(const auto packages, ReadPackages(options_.packages));
    const absl::Time start = absl::Now();
    std::atomic<size_t> next = 0;
    std::atomic<int64_t> bytes = 0;
    std::vector<absl::Status> failures(kLoaders);
    std::vector<std::thread> loaders;
    for (int l = 0; l < kLoaders; ++l) {
      loaders.emplace_back([&, l] {
        for (size_t i = next++; i < packages.size(); i = next++) {
          auto put = client_->kv().Put(kPackagesPrefix + packages[i].first, packages[i].second);
          if (!put.ok()) {
            failures[l] = put.status();
            return;
          }
          bytes += static_cast<int64_t>(packages[i].second.size());
        }
      });
    }
    for (std::thread& loader : loaders) loader.join();
    for (const absl::Status& failure : failures) KEEL_RETURN_IF_ERROR(failure);
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    KEEL_ASSIGN_OR_RETURN(const RangeResponse stored,
                          client_->kv().Get(kPackagesPrefix, {.prefix = true, .count_only = true}));
    if (stored.count != static_cast<int64_t>(packages.size())) {
      return absl::DataLossError(absl::StrCat("wrote ", packages.size(), " packages, found ", stored.count));
    }
    Say(absl::StrFormat("Loaded %d packages (%d bytes) from %s in %.2f s: %.0f synced, replicated writes a second.",
                        packages.size(), bytes.load(), options_.packages, seconds,
                        static_cast<double>(packages.size()) / seconds));
    return absl::OkStatus();
  }

  absl::StatusOr<int64_t> Counter() {
    KEEL_ASSIGN_OR_RETURN(const RangeResponse response, client_->kv().Get(kCounterKey));
    int64_t value = 0;
    if (!response.kvs.empty() && !absl::SimpleAtoi(response.kvs.front().value, &value)) {
      return absl::DataLossError("the counter is not a number");
    }
    return value;
  }

  // Which member leads, by its own word.
  absl::StatusOr<int> Leader() {
    int leader = -1;
    KEEL_RETURN_IF_ERROR(Until("a member leads", [&] {
      for (int i = 0; i < cluster_->size(); ++i) {
        auto status = client_->maintenance().Status(cluster_->endpoint(i), {.timeout = absl::Seconds(1)});
        if (status.ok() && status->is_leader()) leader = i;
      }
      return leader >= 0;
    }));
    return leader;
  }

  absl::Status CountUnderLock() {
    const int64_t total = kWorkers * options_.increments_each;
    const absl::Time start = absl::Now();
    std::vector<tools::ChildProcess> workers;
    for (int w = 0; w < kWorkers; ++w) {
      KEEL_ASSIGN_OR_RETURN(
          tools::ChildProcess worker,
          StartRole({"worker", absl::StrCat("w", w + 1), absl::StrCat(options_.increments_each)}, "workers.out"));
      workers.push_back(std::move(worker));
    }
    Say(absl::StrFormat("Four processes take a lock in turn, %d times each, to read, add one and write back a counter.",
                        options_.increments_each));

    KEEL_RETURN_IF_ERROR(Until("a third of the increments are in", [&] {
      auto counter = Counter();
      return counter.ok() && *counter >= total / 3;
    }));
    KEEL_ASSIGN_OR_RETURN(const int leader, Leader());
    const absl::Time killed = absl::Now();
    cluster_->Kill(leader);
    KEEL_RETURN_IF_ERROR(Until("the others accept writes again", [&] {
      return client_->kv().Put("/demo/probe", "x", {}, {.timeout = absl::Seconds(2)}).ok();
    }));
    Say(absl::StrFormat("Killed the leader (%s) on the way; the next write was accepted %.2f s later.",
                        cluster_->name(leader), absl::ToDoubleSeconds(absl::Now() - killed)));
    KEEL_RETURN_IF_ERROR(cluster_->Start(leader));

    for (tools::ChildProcess& worker : workers) {
      const auto code = worker.Wait(absl::Seconds(120));
      if (code != 0) return absl::InternalError(absl::StrCat("a worker failed: ", Output("workers.out")));
    }
    KEEL_ASSIGN_OR_RETURN(const int64_t counter, Counter());
    KEEL_ASSIGN_OR_RETURN(const RangeResponse marks,
                          client_->kv().Get(kIncrementsPrefix, {.prefix = true, .count_only = true}));
    if (counter != total || marks.count != total) {
      return absl::DataLossError(absl::StrCat("the counter is ", counter, " after ", total, " increments (",
                                              marks.count, " are marked as done)"));
    }
    Say(absl::StrFormat("The counter is %d after %d increments, in %.1f s: none lost, none counted twice.", counter,
                        total, absl::ToDoubleSeconds(absl::Now() - start)));
    return absl::OkStatus();
  }

  absl::Status ElectLeaders() {
    std::vector<std::pair<std::string, tools::ChildProcess>> candidates;
    for (int c = 0; c < kCandidates; ++c) {
      const std::string name = absl::StrCat("c", c + 1);
      KEEL_ASSIGN_OR_RETURN(tools::ChildProcess candidate, StartRole({"candidate", name}, "candidates.out"));
      candidates.emplace_back(name, std::move(candidate));
    }
    Election election(*client_, kElectionName);
    std::string previous;
    int64_t token = 0;
    for (int change = 0; change < kCandidates; ++change) {
      LeaderResponse leader;
      KEEL_RETURN_IF_ERROR(Until("a candidate leads", [&] {
        auto response = election.Leader();
        if (!response.ok() || response->kv.value == previous) return false;
        leader = *response;
        return true;
      }));
      if (leader.kv.create_revision <= token) {
        return absl::InternalError(absl::StrCat("token ", leader.kv.create_revision, " came after ", token));
      }
      token = leader.kv.create_revision;
      Say(absl::StrCat(previous.empty() ? "Of three candidates, " : "The next leader is ", leader.kv.value,
                       previous.empty() ? " leads" : "", ", with fencing token ", token, "."));
      previous = leader.kv.value;
      if (change + 1 == kCandidates) break;
      for (auto& [name, process] : candidates) {
        if (name == leader.kv.value) process.Kill();
      }
      Say(absl::StrCat("Killed ", leader.kv.value, "'s process."));
    }
    return absl::OkStatus();
  }

  absl::Status CheckWatcher() {
    KEEL_ASSIGN_OR_RETURN(const PutResponse end, client_->kv().Put(kEndKey, "end"));
    const auto code = watcher_.front().Wait(kPatience);
    const std::string saw = Output("watcher.out");
    if (code != 0) return absl::DataLossError(absl::StrCat("the watcher failed: ", saw));
    const std::string want = absl::StrCat("revisions=", end.header.revision - 1, " last=", end.header.revision, " ");
    if (saw.find(want) == std::string::npos) {
      return absl::DataLossError(absl::StrCat("the watcher should have said ", want, "but said: ", saw));
    }
    Say(absl::StrFormat("The watcher saw each of the %d revisions from 2 to %d exactly once and in order.",
                        end.header.revision - 1, end.header.revision));
    return absl::OkStatus();
  }

  absl::Status CheckHashes() {
    std::string hashes;
    KEEL_RETURN_IF_ERROR(Until("the members' hashes agree", [&] {
      std::vector<HashKvResponse> answers;
      for (int i = 0; i < cluster_->size(); ++i) {
        auto hash = client_->maintenance().HashKv(cluster_->endpoint(i));
        if (!hash.ok()) return false;
        answers.push_back(*hash);
      }
      hashes = absl::StrFormat("%08x at revision %d", answers[0].hash, answers[0].header.revision);
      for (const HashKvResponse& answer : answers) {
        if (answer.hash != answers[0].hash || answer.header.revision != answers[0].header.revision) return false;
      }
      return true;
    }));
    Say(absl::StrCat("The three members hold the same data: hash ", hashes, "."));
    return absl::OkStatus();
  }

  const StoryOptions options_;
  const std::string dir_;
  std::unique_ptr<tools::LocalCluster> cluster_;
  std::unique_ptr<Client> client_;
  std::vector<tools::ChildProcess> watcher_;
};

}  // namespace

absl::Status TellStory(const StoryOptions& options) {
  std::string dir = (std::filesystem::temp_directory_path() / "keel-demo-XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) return absl::InternalError("cannot create a directory for the demo");
  absl::Status status;
  {
    Story story(options, dir);
    status = story.Tell();
    if (!status.ok()) std::cerr << story.Logs();
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);
  return status;
}

}  // namespace keel::demo
