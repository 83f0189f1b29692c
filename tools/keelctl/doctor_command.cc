#include <future>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tools/keelctl/checkup.h"
#include "tools/keelctl/commands.h"

namespace keel::ctl {
namespace {

// Spread over a second, so that whole seconds give bounds of a fraction of one.
constexpr int kClockLooks = 4;
constexpr absl::Duration kBetweenLooks = absl::Milliseconds(250);

void AskMember(const Context& context, Client& client, MemberFacts* member) {
  member->status = client.maintenance().Status(member->endpoint);
  if (!member->status.ok()) return;
  const auto page = HttpGet(member->endpoint, "/metrics", context.flags.tls, context.flags.command_timeout);
  if (!page.ok()) {
    member->metrics = page.status();
    return;
  }
  member->metrics = MetricsPage::Parse(page->body);
  member->certificates = page->certificates;
  for (int look = 0; look < kClockLooks; ++look) {
    const auto health = HttpGet(member->endpoint, "/version", context.flags.tls, context.flags.command_timeout);
    if (!health.ok() || !health->server_time) return;
    member->clock.Narrow(health->asked, health->answered, *health->server_time);
    if (look + 1 < kClockLooks) absl::SleepFor(kBetweenLooks);
  }
}

// The members as the cluster lists them; the endpoints as given when it cannot be asked.
std::vector<MemberFacts> ListMembers(const Context& context, Client& client) {
  std::vector<MemberFacts> members;
  auto listed = client.cluster().List({.linearizable = false});
  if (!listed.ok()) {
    for (const std::string& endpoint : context.flags.endpoints)
      members.push_back({.name = endpoint, .endpoint = endpoint});
    return members;
  }
  for (const Member& member : listed->members) {
    members.push_back({.name = member.name.empty() ? std::string(absl::StrCat(absl::Hex(member.id))) : member.name,
                       .endpoint = member.client_urls.empty() ? "" : member.client_urls.front(),
                       .id = member.id,
                       .learner = member.is_learner});
  }
  return members;
}

ClusterFacts Gather(const Context& context, Client& client) {
  ClusterFacts facts{.now = absl::Now(), .members = ListMembers(context, client)};
  std::vector<std::future<void>> asked;
  for (MemberFacts& member : facts.members) {
    if (member.endpoint.empty()) continue;
    asked.push_back(
        std::async(std::launch::async, [&context, &client, &member] { AskMember(context, client, &member); }));
  }
  const absl::Time start = absl::Now();
  auto read = client.kv().Get("health", {.count_only = true});
  facts.read = read.ok() ? absl::StatusOr<absl::Duration>(absl::Now() - start) : read.status();
  for (auto& each : asked) each.get();
  // Every member knows all alarms; the first that answers is asked.
  for (const MemberFacts& member : facts.members) {
    if (!member.status.ok()) continue;
    auto alarms = client.maintenance().Alarms({.endpoint = member.endpoint});
    if (!alarms.ok()) continue;
    facts.alarms = alarms->alarms;
    break;
  }
  return facts;
}

const char* SeverityName(Severity severity) {
  switch (severity) {
    case Severity::kOk:
      return "ok";
    case Severity::kWarning:
      return "warning";
    case Severity::kProblem:
      return "problem";
  }
  return "";
}

Outcome RunDoctor(Context& context) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  const std::vector<Finding> findings = Examine(Gather(context, **client));
  Severity worst = Severity::kOk;
  auto json = nlohmann::ordered_json::array();
  for (const Finding& finding : findings) {
    worst = std::max(worst, finding.severity);
    if (context.flags.format == Format::kJson) {
      nlohmann::ordered_json row = {
          {"severity", SeverityName(finding.severity)}, {"subject", finding.subject}, {"finding", finding.text}};
      if (!finding.advice.empty()) row["advice"] = finding.advice;
      json.push_back(row);
      continue;
    }
    context.out << absl::StrFormat("%-8s %-13s %s\n", SeverityName(finding.severity), finding.subject, finding.text);
    if (!finding.advice.empty()) context.out << absl::StrFormat("%-22s what to do: %s\n", "", finding.advice);
  }
  if (context.flags.format == Format::kJson) {
    context.out << json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) << "\n";
  }
  return {static_cast<int>(worst)};
}

}  // namespace

void AddDoctorCommand(CLI::App& app, Context& context, Outcome& outcome) {
  AddCommand(app, "doctor", "examine the cluster and say what to do; status 0: well, 1: warnings, 2: problems",
             Formats::kTextOrJson, context, outcome, [&context] { return RunDoctor(context); });
}

}  // namespace keel::ctl
