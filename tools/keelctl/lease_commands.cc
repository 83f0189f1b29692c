#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/printer.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

Outcome RunGrant(Context& context, const std::string& ttl_text) {
  int64_t ttl = 0;
  if (!absl::SimpleAtoi(ttl_text, &ttl)) {
    return Outcome::BadArguments(absl::StrCat("bad TTL '", ttl_text, "': a whole number of seconds is wanted"));
  }
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->leases().Grant(absl::Seconds(ttl));
  if (!response.ok()) {
    return {kExitError, absl::StrCat("failed to grant lease (", response.status().message(), ")")};
  }
  PrinterFor(context)->LeaseGrant(*response);
  return Outcome::Ok();
}

Outcome RunRevoke(Context& context, LeaseId id) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->leases().Revoke(id);
  if (!response.ok()) {
    return {kExitError, absl::StrCat("failed to revoke lease (", response.status().message(), ")")};
  }
  PrinterFor(context)->LeaseRevoke(id, *response);
  return Outcome::Ok();
}

Outcome RunTimeToLive(Context& context, LeaseId id, bool keys) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->leases().TimeToLive(id, {.keys = keys});
  if (!response.ok()) return Outcome::Of(response.status(), kExitBadConnection);
  PrinterFor(context)->LeaseTimeToLive(*response, keys);
  return Outcome::Ok();
}

Outcome RunList(Context& context) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto response = (*client)->leases().List();
  if (!response.ok()) return Outcome::Of(response.status(), kExitBadConnection);
  PrinterFor(context)->LeaseList(*response);
  return Outcome::Ok();
}

// Renews every third of the TTL until the lease is gone or somebody interrupts.
Outcome RunKeepAlive(Context& context, LeaseId id, bool once) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  if (!once) Interrupt::Install();
  auto printer = PrinterFor(context);
  while (true) {
    auto response = (*client)->leases().KeepAliveOnce(id);
    if (!response.ok()) return Outcome::Of(response.status(), kExitBadConnection);
    if (response->ttl_seconds <= 0) {
      if (once) return {kExitBadConnection, "etcdserver: requested lease not found"};
      if (context.flags.format == Format::kSimple) {
        context.out << "lease " << LeaseText(id) << " expired or revoked.\n";
      }
      return Outcome::Ok();
    }
    printer->LeaseKeepAlive(*response);
    if (once) return Outcome::Ok();
    const absl::Duration pause = std::max(absl::Seconds(response->ttl_seconds) / 3, absl::Milliseconds(500));
    if (Interrupt::Wait(absl::Now() + pause)) return Outcome::Ok();
  }
}

struct LeaseArguments {
  std::string id;
  std::string ttl;
  bool keys = false;
  bool once = false;
};

// Commands on one lease take its id in hexadecimal.
CLI::App* AddIdCommand(CLI::App& parent, const std::string& name, const std::string& help, Context& context,
                       Outcome& outcome, const std::shared_ptr<LeaseArguments>& arguments,
                       std::function<Outcome(LeaseId)> body) {
  CLI::App* command =
      AddCommand(parent, name, help, Formats::kNoTable, context, outcome, [arguments, body = std::move(body)] {
        auto id = ParseHexId(arguments->id);
        if (!id.ok()) return Outcome::Of(id.status(), kExitBadArguments);
        return body(static_cast<LeaseId>(*id));
      });
  command->add_option("id", arguments->id, "lease id, hexadecimal")->required();
  return command;
}

}  // namespace

void AddLeaseCommands(CLI::App& app, Context& context, Outcome& outcome) {
  CLI::App* lease = AddGroup(app, "lease", "grant, renew, inspect and revoke leases");
  auto arguments = std::make_shared<LeaseArguments>();
  AddCommand(*lease, "grant", "grant a lease", Formats::kNoTable, context, outcome,
             [&context, arguments] { return RunGrant(context, arguments->ttl); })
      ->add_option("ttl", arguments->ttl, "seconds")
      ->required();
  AddIdCommand(*lease, "revoke", "revoke a lease; its keys are deleted", context, outcome, arguments,
               [&context](LeaseId id) { return RunRevoke(context, id); });
  AddIdCommand(*lease, "timetolive", "how long a lease has left", context, outcome, arguments,
               [&context, arguments](LeaseId id) { return RunTimeToLive(context, id, arguments->keys); })
      ->add_flag("--keys", arguments->keys, "list the attached keys");
  AddCommand(*lease, "list", "list all leases", Formats::kNoTable, context, outcome,
             [&context] { return RunList(context); });
  AddIdCommand(*lease, "keep-alive", "renew a lease until interrupted", context, outcome, arguments,
               [&context, arguments](LeaseId id) { return RunKeepAlive(context, id, arguments->once); })
      ->add_flag("--once", arguments->once, "renew once and end");
}

}  // namespace keel::ctl
