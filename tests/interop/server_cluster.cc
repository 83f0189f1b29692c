#include "tests/interop/server_cluster.h"

#include <stdlib.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace keel::interop {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr absl::Duration kPause = absl::Milliseconds(20);  // Between two looks at another process.

}  // namespace

absl::StatusOr<std::unique_ptr<ServerCluster>> ServerCluster::Start(const std::string& server) {
  std::string dir = (std::filesystem::temp_directory_path() / "keel-interop-XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) return absl::InternalError("cannot make a temporary folder");
  auto cluster = tools::LocalCluster::Create({.keeld = server, .dir = dir});
  KEEL_RETURN_IF_ERROR(cluster.status());
  std::vector<std::string> endpoints;
  for (int i = 0; i < cluster->size(); ++i) endpoints.push_back(cluster->endpoint(i));
  auto client = Client::Create({.endpoints = endpoints});
  KEEL_RETURN_IF_ERROR(client.status());
  std::unique_ptr<ServerCluster> started(new ServerCluster(dir, *std::move(cluster), *std::move(client)));
  KEEL_RETURN_IF_ERROR(started->cluster_.StartAll());
  const absl::Status ready = started->AwaitAll();
  if (!ready.ok()) return absl::InternalError(absl::StrCat(ready.message(), "\n", started->LogTails()));
  return started;
}

ServerCluster::~ServerCluster() {
  for (int i = 0; i < cluster_.size(); ++i) {
    if (cluster_.Running(i)) cluster_.Kill(i);
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

absl::StatusOr<std::string> ServerCluster::KillNext() {
  if (down_) return absl::FailedPreconditionError("one member is down already, a second would end the quorum");
  KEEL_ASSIGN_OR_RETURN(const int leader, Leader());
  int victim = leader;
  for (int i = 0; was_killed_[victim] && i < cluster_.size(); ++i) victim = i;
  cluster_.Kill(victim);
  was_killed_[victim] = true;
  down_ = victim;
  return absl::StrCat(cluster_.name(victim), victim == leader ? ", which led" : ", a follower");
}

absl::Status ServerCluster::RestartKilled() {
  if (!down_) return absl::FailedPreconditionError("no member is down");
  KEEL_RETURN_IF_ERROR(cluster_.Start(*down_));
  down_.reset();
  return AwaitAll();
}

absl::Status ServerCluster::AwaitAll() {
  const absl::Time deadline = absl::Now() + kPatience;
  for (int i = 0; i < cluster_.size(); ++i) {
    while (true) {
      const auto read = client_->kv().Get("ready", {}, {.timeout = absl::Seconds(2), .endpoint = cluster_.endpoint(i)});
      if (read.ok()) break;
      if (!cluster_.Running(i)) return absl::InternalError(cluster_.name(i) + " has ended");
      if (absl::Now() > deadline) {
        return absl::DeadlineExceededError(
            absl::StrCat(cluster_.name(i), " does not answer: ", read.status().ToString()));
      }
      absl::SleepFor(kPause);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<int> ServerCluster::Leader() {
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::Now() < deadline) {
    for (int i = 0; i < cluster_.size(); ++i) {
      const auto status = client_->maintenance().Status(cluster_.endpoint(i), {.timeout = absl::Seconds(2)});
      if (status.ok() && status->is_leader()) return i;
    }
    absl::SleepFor(kPause);
  }
  return absl::DeadlineExceededError("no member leads");
}

}  // namespace keel::interop
