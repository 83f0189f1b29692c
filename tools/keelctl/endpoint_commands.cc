#include <future>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/endpoint_set.h"
#include "tools/keelctl/printer.h"

namespace keel::ctl {
namespace {

// Healthy: a linearizable read succeeds there, and no alarm is active.
EndpointHealth CheckHealth(Client& client, const std::string& endpoint) {
  EndpointHealth health{.endpoint = endpoint};
  const absl::Time start = absl::Now();
  auto read = client.kv().Get("health", {}, {.endpoint = endpoint});
  health.took = absl::Now() - start;
  if (!read.ok() && read.status().code() != absl::StatusCode::kPermissionDenied) {
    health.error = Outcome::Of(read.status()).message;
    return health;
  }
  auto alarms = client.maintenance().Alarms({.endpoint = endpoint});
  if (!alarms.ok()) {
    health.error = "Unable to fetch the alarm list";
    return health;
  }
  if (!alarms->alarms.empty()) {
    health.error = "Active Alarm(s): ";
    for (const Alarm& alarm : alarms->alarms) absl::StrAppend(&health.error, AlarmName(alarm.type), " ");
    return health;
  }
  health.healthy = true;
  return health;
}

Outcome RunHealth(Context& context, bool whole_cluster) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto endpoints = EndpointSet(context, whole_cluster);
  if (!endpoints.ok()) return Outcome::Of(endpoints.status());
  // At once, so that a dead endpoint does not hold back the rest.
  std::vector<std::future<EndpointHealth>> checks;
  for (const std::string& endpoint : *endpoints) {
    checks.push_back(std::async(std::launch::async, [&client, endpoint] { return CheckHealth(**client, endpoint); }));
  }
  std::vector<EndpointHealth> rows;
  bool all_healthy = true;
  for (auto& check : checks) {
    rows.push_back(check.get());
    all_healthy &= rows.back().healthy;
  }
  PrinterFor(context)->Health(rows);
  if (!all_healthy) return {kExitError, "unhealthy cluster"};
  return Outcome::Ok();
}

// Rows of those that answered; the others are named on stderr and make the command fail.
template <typename Row, typename Ask>
Outcome ForEachEndpoint(Context& context, bool whole_cluster, const char* what, const Ask& ask,
                        std::vector<Row>* rows) {
  auto endpoints = EndpointSet(context, whole_cluster);
  if (!endpoints.ok()) return Outcome::Of(endpoints.status());
  Outcome outcome;
  for (const std::string& endpoint : *endpoints) {
    auto answer = ask(endpoint);
    if (answer.ok()) {
      rows->push_back({endpoint, *std::move(answer)});
    } else {
      context.err << "Failed to get the " << what << " of endpoint " << endpoint << " ("
                  << Outcome::Of(answer.status()).message << ")\n";
      outcome.code = kExitError;
    }
  }
  return outcome;
}

Outcome RunStatus(Context& context, bool whole_cluster) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  std::vector<EndpointStatus> rows;
  const Outcome outcome = ForEachEndpoint(
      context, whole_cluster, "status",
      [&](const std::string& endpoint) { return (*client)->maintenance().Status(endpoint); }, &rows);
  PrinterFor(context)->Status(rows);
  return outcome;
}

Outcome RunHashKv(Context& context, bool whole_cluster, int64_t revision) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  std::vector<EndpointHash> rows;
  const Outcome outcome = ForEachEndpoint(
      context, whole_cluster, "hash",
      [&](const std::string& endpoint) { return (*client)->maintenance().HashKv(endpoint, revision); }, &rows);
  PrinterFor(context)->Hashes(rows);
  return outcome;
}

}  // namespace

void AddEndpointCommands(CLI::App& app, Context& context, Outcome& outcome) {
  CLI::App* endpoint = AddGroup(app, "endpoint", "health, state and hashes of single members");
  auto whole_cluster = std::make_shared<bool>(false);
  auto revision = std::make_shared<int64_t>(0);
  endpoint->add_flag("--cluster", *whole_cluster, "every member of the cluster");
  AddCommand(*endpoint, "health", "whether each endpoint commits", Formats::kNoProtobuf, context, outcome,
             [&context, whole_cluster] { return RunHealth(context, *whole_cluster); });
  AddCommand(*endpoint, "status", "where each endpoint stands", Formats::kNoProtobuf, context, outcome,
             [&context, whole_cluster] { return RunStatus(context, *whole_cluster); });
  AddCommand(*endpoint, "hashkv", "hash of the keyspace and its history", Formats::kNoProtobuf, context, outcome,
             [&context, whole_cluster, revision] { return RunHashKv(context, *whole_cluster, *revision); })
      ->add_option("--rev", *revision, "hash up to this revision; 0: the newest");
}

}  // namespace keel::ctl
