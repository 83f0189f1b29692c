#include "tools/keelctl/cli.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "base/version.h"
#include "keel/client.h"
#include "tools/keelctl/commands.h"

namespace keel::ctl {
namespace {

int g_interrupt_pipe[2] = {-1, -1};
volatile sig_atomic_t g_interrupted = 0;

void OnSignal(int) {
  g_interrupted = 1;
  const char byte = 0;
  [[maybe_unused]] const ssize_t n = write(g_interrupt_pipe[1], &byte, 1);
}

// KEELCTL_NAME, else ETCDCTL_NAME, so that existing scripts need no change.
std::string FromEnvironment(const std::string& flag) {
  const std::string name = absl::AsciiStrToUpper(absl::StrReplaceAll(flag, {{"-", "_"}}));
  for (const char* prefix : {"KEELCTL_", "ETCDCTL_"}) {
    const char* value = std::getenv(absl::StrCat(prefix, name).c_str());
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

// The global flags as text; turned into GlobalFlags once the command line is known.
struct RawFlags {
  std::string endpoints = "127.0.0.1:2379";
  std::string write_out = "simple";
  std::string dial_timeout = "2s";
  std::string command_timeout = "5s";
  bool hex = false;
  CLI::Option* command_timeout_option = nullptr;
};

absl::StatusOr<absl::Duration> ParseDuration(const std::string& flag, const std::string& text) {
  absl::Duration duration;
  if (!absl::ParseDuration(text, &duration) || duration <= absl::ZeroDuration()) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, ": '", text, "' is not a duration such as 5s or 300ms"));
  }
  return duration;
}

Outcome Resolve(const RawFlags& raw, GlobalFlags* flags) {
  flags->endpoints = absl::StrSplit(raw.endpoints, ',', absl::SkipWhitespace());
  if (flags->endpoints.empty()) return Outcome::BadArguments("--endpoints: no endpoint given");
  flags->hex = raw.hex;
  if (raw.write_out == "simple") {
    flags->format = Format::kSimple;
  } else if (raw.write_out == "json") {
    flags->format = Format::kJson;
  } else if (raw.write_out == "fields") {
    flags->format = Format::kFields;
  } else if (raw.write_out == "table") {
    flags->format = Format::kTable;
  } else {
    return {kExitBadFeature,
            absl::StrCat("unsupported output format '", raw.write_out, "'; use simple, json, fields or table")};
  }
  auto dial = ParseDuration("dial-timeout", raw.dial_timeout);
  if (!dial.ok()) return Outcome::Of(dial.status(), kExitBadArguments);
  flags->dial_timeout = *dial;
  auto command = ParseDuration("command-timeout", raw.command_timeout);
  if (!command.ok()) return Outcome::Of(command.status(), kExitBadArguments);
  flags->command_timeout = *command;
  flags->command_timeout_given = raw.command_timeout_option->count() > 0 || !FromEnvironment("command-timeout").empty();
  return Outcome::Ok();
}

void AddGlobalFlags(CLI::App& app, RawFlags& raw) {
  const auto with_default = [](std::string& value, const std::string& flag) -> std::string& {
    if (std::string set = FromEnvironment(flag); !set.empty()) value = set;
    return value;
  };
  app.add_option("--endpoints", with_default(raw.endpoints, "endpoints"), "comma-separated endpoints")
      ->capture_default_str()
      ->take_last();
  app.add_option("-w,--write-out", with_default(raw.write_out, "write-out"), "simple, json, fields or table")
      ->capture_default_str()
      ->take_last();
  app.add_option("--dial-timeout", with_default(raw.dial_timeout, "dial-timeout"), "limit of one attempt to connect")
      ->capture_default_str()
      ->take_last();
  raw.command_timeout_option =
      app.add_option("--command-timeout", with_default(raw.command_timeout, "command-timeout"), "limit of one command")
          ->capture_default_str()
          ->take_last();
  app.add_flag("--hex", raw.hex, "print keys, values and ids in hexadecimal");
}

}  // namespace

void Interrupt::Install() {
  KEEL_CHECK_EQ(pipe(g_interrupt_pipe), 0);
  struct sigaction action = {};
  action.sa_handler = OnSignal;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool Interrupt::happened() { return g_interrupted != 0; }

bool Interrupt::Wait(absl::Time deadline) {
  while (!happened()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd p = {.fd = g_interrupt_pipe[0], .events = POLLIN, .revents = 0};
    poll(&p, 1, static_cast<int>(std::min<int64_t>(absl::ToInt64Milliseconds(left) + 1, 60000)));
  }
  return true;
}

Outcome Outcome::Of(const absl::Status& status, int code) {
  if (status.ok()) return Ok();
  if (status.code() == absl::StatusCode::kDeadlineExceeded) {
    return {code, absl::StrCat("context deadline exceeded (", status.message(), ")")};
  }
  return {code, std::string(status.message())};
}

Context::Context(std::istream& in_stream, std::ostream& out_stream, std::ostream& err_stream)
    : in(in_stream), out(out_stream), err(err_stream) {}

Context::~Context() = default;

absl::StatusOr<Client*> Context::client() {
  if (client_ == nullptr) {
    KEEL_ASSIGN_OR_RETURN(client_, Client::Create({.endpoints = flags.endpoints,
                                                   .timeout = flags.command_timeout,
                                                   .dial_timeout = flags.dial_timeout}));
  }
  return client_.get();
}

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& help, Tables tables,
                     Context& context, Outcome& outcome, std::function<Outcome()> body) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->fallthrough();  // Global flags may follow the command.
  command->callback([tables, &context, &outcome, body = std::move(body)] {
    if (outcome.code != kExitOk) return;
    if (context.flags.format == Format::kTable && tables == Tables::kNo) {
      outcome = {kExitBadFeature, "table not supported as output format"};
      return;
    }
    outcome = body();
  });
  return command;
}

int Run(const std::vector<std::string>& args, std::istream& in, std::ostream& out, std::ostream& err) {
  Context context(in, out, err);
  Outcome outcome;
  RawFlags raw;

  CLI::App app("keelctl: reads, writes and operates a Keel cluster", "keelctl");
  app.require_subcommand(1);
  AddGlobalFlags(app, raw);
  // Runs after the flags are read and before the command's own callback.
  app.parse_complete_callback([&] { outcome = Resolve(raw, &context.flags); });
  AddKvCommands(app, context, outcome);
  AddTxnCommand(app, context, outcome);
  AddWatchCommand(app, context, outcome);
  AddLeaseCommands(app, context, outcome);
  AddLockCommands(app, context, outcome);
  AddClusterCommands(app, context, outcome);
  AddEndpointCommands(app, context, outcome);
  AddSnapshotCommands(app, context, outcome);
  AddCommand(app, "version", "print the versions of keelctl and of the protocol", Tables::kYes, context, outcome, [&] {
    out << "keelctl version: " << kVersion
        << "\nAPI version: " << std::string(kProtocolVersion).substr(0, std::string(kProtocolVersion).rfind('.'))
        << "\n";
    return Outcome::Ok();
  });

  // What follows "--" after `watch` is the command to run per event. Elsewhere "--" only ends the flags.
  std::vector<std::string> own = args;
  if (std::find(own.begin(), own.end(), "watch") != own.end()) {
    const auto dashes = std::find(own.begin(), own.end(), "--");
    if (dashes != own.end()) {
      context.after_dashes.assign(dashes + 1, own.end());
      own.erase(dashes, own.end());
    }
  }

  try {  // CLI11 reports by exceptions; they stop here.
    std::vector<std::string> reversed(own.rbegin(), own.rend());
    app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = app.get_subcommands();
    out << (chosen.empty() ? app.help() : chosen.front()->help());
    return kExitOk;
  } catch (const CLI::ParseError& e) {
    err << "Error: " << e.what() << "\n";
    const bool wrong_count = dynamic_cast<const CLI::RequiredError*>(&e) != nullptr && !app.get_subcommands().empty();
    return wrong_count ? kExitBadArguments : kExitError;
  }
  out.flush();
  if (!outcome.message.empty()) err << "Error: " << outcome.message << "\n";
  return outcome.code;
}

}  // namespace keel::ctl
