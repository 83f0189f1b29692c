#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "base/url.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/endpoint_set.h"
#include "tools/keelctl/printer.h"
#include "tools/keelctl/text.h"

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

// A person learns of a missing or mistyped URL before anything is asked of the cluster. nullopt: they are fine.
std::optional<Outcome> RefusedUrls(const std::vector<std::string>& urls) {
  if (urls.empty()) return Outcome::BadArguments("member peer urls not provided; name them with --peer-urls");
  for (const std::string& text : urls) {
    if (auto url = ParseUrl(text); !url.ok()) return Outcome::Of(url.status());
  }
  return std::nullopt;
}

Outcome BadMemberId(const absl::Status& status) {
  return Outcome::BadArguments(absl::StrCat("bad member ID arg (", status.message(), ")"));
}

std::string NameOf(const Member& member, const MembersResponse& response, const std::string& new_name) {
  return response.member && response.member->id == member.id ? new_name : member.name;
}

// The environment that the new member is to be started with.
void PrintEnvironment(Context& context, const std::string& name, const MembersResponse& response) {
  if (context.flags.format != Format::kSimple || !response.member) return;
  std::vector<std::string> cluster;
  for (const Member& member : response.members) {
    for (const std::string& url : member.peer_urls) {
      cluster.push_back(absl::StrCat(NameOf(member, response, name), "=", url));
    }
  }
  context.out << "\nETCD_NAME=\"" << name << "\"\nETCD_INITIAL_CLUSTER=\"" << absl::StrJoin(cluster, ",")
              << "\"\nETCD_INITIAL_ADVERTISE_PEER_URLS=\"" << absl::StrJoin(response.member->peer_urls, ",")
              << "\"\nETCD_INITIAL_CLUSTER_STATE=\"existing\"\n";
}

struct MemberArguments {
  std::string id;
  std::string name;
  std::vector<std::string> peer_urls;
  bool learner = false;
};

Outcome RunMemberAdd(Context& context, const MemberArguments& arguments) {
  if (auto refused = RefusedUrls(arguments.peer_urls)) return *std::move(refused);
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->cluster().Add(arguments.peer_urls, {.learner = arguments.learner});
  if (!response.ok()) return Outcome::Of(response.status());
  if (!response->member) return {kExitError, "the answer names no new member"};
  PrinterFor(context)->MemberChanged(response->member->id, arguments.learner ? "added as learner to" : "added to",
                                     *response);
  PrintEnvironment(context, arguments.name, *response);
  return Outcome::Ok();
}

// `call` asks for the change of member `id`.
template <typename Call>
Outcome RunMemberChange(Context& context, const MemberArguments& arguments, const char* what, const Call& call) {
  auto id = ParseHexId(arguments.id);
  if (!id.ok()) return BadMemberId(id.status());
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  absl::StatusOr<MembersResponse> response = call((*client)->cluster(), *id);
  if (!response.ok()) return Outcome::Of(response.status());
  PrinterFor(context)->MemberChanged(*id, what, *response);
  return Outcome::Ok();
}

Outcome RunMemberUpdate(Context& context, const MemberArguments& arguments) {
  if (auto refused = RefusedUrls(arguments.peer_urls)) return *std::move(refused);
  return RunMemberChange(context, arguments, "updated in",
                         [&](Cluster& cluster, uint64_t id) { return cluster.Update(id, arguments.peer_urls); });
}

Outcome RunMemberReplace(Context& context, const MemberArguments& arguments) {
  if (auto refused = RefusedUrls(arguments.peer_urls)) return *std::move(refused);
  absl::StatusOr<MembersResponse> replaced;
  const Outcome outcome = RunMemberChange(context, arguments, "replaced in", [&](Cluster& cluster, uint64_t id) {
    return replaced = cluster.Replace(id, arguments.peer_urls);
  });
  if (outcome.code != kExitOk) return outcome;
  if (context.flags.format == Format::kSimple && replaced->member) {
    context.out << "by member " << absl::StrCat(absl::Hex(replaced->member->id)) << "\n";
  }
  PrintEnvironment(context, arguments.name, *replaced);
  return outcome;
}

Outcome RunMoveLeader(Context& context, const std::string& target) {
  auto id = ParseHexId(target);
  if (!id.ok()) return BadMemberId(id.status());
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  for (const std::string& endpoint : context.flags.endpoints) {
    auto status = (*client)->maintenance().Status(endpoint);
    if (!status.ok() || !status->is_leader()) continue;
    auto moved = (*client)->maintenance().MoveLeader(endpoint, *id);
    if (!moved.ok()) return Outcome::Of(moved.status());
    PrinterFor(context)->LeaderMoved(status->leader, *id);
    return Outcome::Ok();
  }
  return Outcome::BadArguments(
      absl::StrCat("no leader endpoint given at [", absl::StrJoin(context.flags.endpoints, " "), "]"));
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
  AlarmResponse cleared;  // Of several answers: it has no header.
  for (const Alarm& alarm : active->alarms) {
    auto response = (*client)->maintenance().DisarmAlarm(alarm);
    if (!response.ok()) return Outcome::Of(response.status());
    cleared.alarms.insert(cleared.alarms.end(), response->alarms.begin(), response->alarms.end());
  }
  PrinterFor(context)->Alarms(cleared);
  return Outcome::Ok();
}

Outcome RunDowngrade(Context& context, const char* what, DowngradeAction action, const std::string& version) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->maintenance().Downgrade(action, version);
  if (!response.ok()) return Outcome::Of(response.status());
  context.out << "Downgrade " << what << " success, cluster version " << response->version << "\n";
  return Outcome::Ok();
}

Outcome RunDefrag(Context& context, bool whole_cluster) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto endpoints = EndpointSet(context, whole_cluster);
  if (!endpoints.ok()) return Outcome::Of(endpoints.status());
  Outcome outcome;
  for (const std::string& endpoint : *endpoints) {
    const absl::Time start = absl::Now();
    auto response = (*client)->maintenance().Defragment(endpoint);
    if (response.ok()) {
      context.out << "Finished defragmenting etcd member[" << endpoint << "]. took " << TookText(absl::Now() - start)
                  << "\n";
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
  CLI::App* member = AddGroup(app, "member", "the members of the cluster");
  auto consistency = std::make_shared<std::string>("l");
  AddCommand(*member, "list", "list the members", Formats::kAll, context, outcome, [&context, consistency] {
    return RunMemberList(context, *consistency);
  })->add_option("--consistency", *consistency, "l: linearizable, s: as this member sees it");

  auto arguments = std::make_shared<MemberArguments>();
  const auto add_id = [&arguments](CLI::App* command) {
    command->add_option("id", arguments->id, "member id, hexadecimal")->required();
    return command;
  };
  const auto add_urls = [&arguments](CLI::App* command) {
    command->add_option("--peer-urls", arguments->peer_urls, "where the other members reach it")->delimiter(',');
    return command;
  };
  CLI::App* add =
      add_urls(AddCommand(*member, "add", "add a member, which is started afterwards", Formats::kNoTable, context,
                          outcome, [&context, arguments] { return RunMemberAdd(context, *arguments); }));
  add->add_option("name", arguments->name, "name of the new member")->required();
  add->add_flag("--learner", arguments->learner, "it receives everything but has no vote until promoted");
  add_id(AddCommand(*member, "remove", "remove a member, for ever", Formats::kNoTable, context, outcome,
                    [&context, arguments] {
                      return RunMemberChange(context, *arguments, "removed from",
                                             [](Cluster& cluster, uint64_t id) { return cluster.Remove(id); });
                    }));
  add_urls(add_id(AddCommand(*member, "update", "change where a member is reached", Formats::kNoTable, context, outcome,
                             [&context, arguments] { return RunMemberUpdate(context, *arguments); })));
  add_id(AddCommand(*member, "promote", "give a learner its vote", Formats::kNoTable, context, outcome,
                    [&context, arguments] {
                      return RunMemberChange(context, *arguments, "promoted in",
                                             [](Cluster& cluster, uint64_t id) { return cluster.Promote(id); });
                    }));
  CLI::App* replace =
      add_id(AddCommand(*member, "replace", "put a new member into the place of another in one step", Formats::kNoTable,
                        context, outcome, [&context, arguments] { return RunMemberReplace(context, *arguments); }));
  replace->get_option("id")->description("member id of the old one, hexadecimal");
  replace->add_option("new_peer_urls", arguments->peer_urls, "where the other members will reach the new one")
      ->delimiter(',');
  add_urls(replace);
  replace->add_option("--name", arguments->name, "name of the new member, for the environment that is printed");

  auto target = std::make_shared<std::string>();
  AddCommand(app, "move-leader", "hand leadership to another member", Formats::kNoTable, context, outcome,
             [&context, target] { return RunMoveLeader(context, *target); })
      ->add_option("target", *target, "member id, hexadecimal")
      ->required();

  CLI::App* alarm = AddGroup(app, "alarm", "alarms of the members");
  AddCommand(*alarm, "list", "list active alarms", Formats::kNoTable, context, outcome,
             [&context] { return RunAlarmList(context); });
  AddCommand(*alarm, "disarm", "clear all alarms", Formats::kNoTable, context, outcome,
             [&context] { return RunAlarmDisarm(context); });

  CLI::App* downgrade = AddGroup(app, "downgrade", "bring the cluster to an older protocol version");
  auto version = std::make_shared<std::string>();
  const auto add_downgrade = [&](const char* name, const char* help, DowngradeAction action) {
    return AddCommand(*downgrade, name, help, Formats::kIgnored, context, outcome,
                      [&context, version, name, action] { return RunDowngrade(context, name, action, *version); });
  };
  for (CLI::App* command : {add_downgrade("validate", "whether it could be done", DowngradeAction::kValidate),
                            add_downgrade("enable", "begin", DowngradeAction::kEnable)}) {
    command->add_option("version", *version, "target version, such as 3.5")->required();
  }
  add_downgrade("cancel", "stay", DowngradeAction::kCancel);

  auto whole_cluster = std::make_shared<bool>(false);
  AddCommand(app, "defrag", "accepted for compatibility: there is nothing to defragment", Formats::kIgnored, context,
             outcome, [&context, whole_cluster] { return RunDefrag(context, *whole_cluster); })
      ->add_flag("--cluster", *whole_cluster, "every member of the cluster");
}

}  // namespace keel::ctl
