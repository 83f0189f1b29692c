#include "absl/strings/str_cat.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/endpoint_set.h"
#include "tools/keelctl/printer.h"

namespace keel::ctl {
namespace {

Outcome RunMemberList(Context& context, const std::string& consistency) {
  if (consistency != "l" && consistency != "s") {
    return {kExitBadFeature, absl::StrCat("unknown consistency flag '", consistency, "'; use l or s")};
  }
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->cluster().List({.linearizable = consistency == "l"});
  if (!response.ok()) return Outcome::Of(response.status());
  PrinterFor(context)->Members(*response);
  return Outcome::Ok();
}

Outcome RunAlarmList(Context& context) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->maintenance().Alarms();
  if (!response.ok()) return Outcome::Of(response.status());
  PrinterFor(context)->Alarms(*response);
  return Outcome::Ok();
}

Outcome RunAlarmDisarm(Context& context) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto active = (*client)->maintenance().Alarms();
  if (!active.ok()) return Outcome::Of(active.status());
  AlarmResponse cleared{.header = active->header};
  for (const Alarm& alarm : active->alarms) {
    auto response = (*client)->maintenance().DisarmAlarm(alarm);
    if (!response.ok()) return Outcome::Of(response.status());
    cleared.alarms.insert(cleared.alarms.end(), response->alarms.begin(), response->alarms.end());
  }
  PrinterFor(context)->Alarms(cleared);
  return Outcome::Ok();
}

Outcome RunDefrag(Context& context, bool whole_cluster) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto endpoints = EndpointSet(context, whole_cluster);
  if (!endpoints.ok()) return Outcome::Of(endpoints.status());
  Outcome outcome;
  for (const std::string& endpoint : *endpoints) {
    auto response = (*client)->maintenance().Defragment(endpoint);
    if (response.ok()) {
      context.out << "Finished defragmenting etcd member[" << endpoint << "]\n";
    } else {
      context.err << "Failed to defragment etcd member[" << endpoint << "] (" << response.status().message() << ")\n";
      outcome.code = kExitError;
    }
  }
  return outcome;
}

}  // namespace

absl::StatusOr<std::vector<std::string>> EndpointSet(Context& context, bool whole_cluster) {
  if (!whole_cluster) return context.flags.endpoints;
  auto client = context.client();
  if (!client.ok()) return client.status();
  auto members = (*client)->cluster().List();
  if (!members.ok()) return members.status();
  std::vector<std::string> endpoints;
  for (const Member& member : members->members) {
    endpoints.insert(endpoints.end(), member.client_urls.begin(), member.client_urls.end());
  }
  return endpoints;
}

void AddClusterCommands(CLI::App& app, Context& context, Outcome& outcome) {
  CLI::App* member = app.add_subcommand("member", "the members of the cluster");
  member->require_subcommand(1)->fallthrough();
  auto consistency = std::make_shared<std::string>("l");
  AddCommand(*member, "list", "list the members", Tables::kYes, context, outcome, [&context, consistency] {
    return RunMemberList(context, *consistency);
  })->add_option("--consistency", *consistency, "l: linearizable, s: as this member sees it");

  CLI::App* alarm = app.add_subcommand("alarm", "alarms of the members");
  alarm->require_subcommand(1)->fallthrough();
  AddCommand(*alarm, "list", "list active alarms", Tables::kNo, context, outcome,
             [&context] { return RunAlarmList(context); });
  AddCommand(*alarm, "disarm", "clear all alarms", Tables::kNo, context, outcome,
             [&context] { return RunAlarmDisarm(context); });

  auto whole_cluster = std::make_shared<bool>(false);
  AddCommand(app, "defrag", "accepted for compatibility: there is nothing to defragment", Tables::kYes, context,
             outcome, [&context, whole_cluster] { return RunDefrag(context, *whole_cluster); })
      ->add_flag("--cluster", *whole_cluster, "every member of the cluster");
}

}  // namespace keel::ctl
