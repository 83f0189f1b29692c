#include "tools/keelctl/cli.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "keel/client.h"
#include "tools/keelctl/command_line.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/completion.h"
#include "tools/keelctl/help_page.h"

namespace keel::ctl {
namespace {

// "table not supported as output format", or nothing.
std::string Unsupported(Formats formats, Format format) {
  const bool table = format == Format::kTable;
  const bool protobuf = format == Format::kProtobuf;
  switch (formats) {
    case Formats::kAll:
    case Formats::kIgnored:
      return "";
    case Formats::kNoTable:
      return table ? "table not supported as output format" : "";
    case Formats::kNoProtobuf:
      return protobuf ? "protobuf not supported as output format" : "";
    case Formats::kTextOrJson:
      if (format == Format::kSimple || format == Format::kJson) return "";
      return absl::StrCat(table      ? "table"
                          : protobuf ? "protobuf"
                                     : "fields",
                          " not supported as output format; use simple or json");
  }
  return "";
}

void PutIntoGroup(CLI::App& app, const char* group, std::initializer_list<const char*> names) {
  for (const char* name : names) app.get_subcommand(name)->group(group);
}

// What the parser made of it, in the words and with the exit codes of etcdctl.
Outcome ParseFailure(const CLI::ParseError& error, const CLI::App& app, const CLI::App& command) {
  const std::string hint = absl::StrCat("; see 'keelctl help", CommandPath(command).substr(app.get_name().size()), "'");
  if (dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    for (const std::string& word : app.remaining(true)) {
      if (word.size() > 1 && word[0] == '-') return {kExitError, absl::StrCat("unknown flag: ", word, hint)};
    }
    return Outcome::BadArguments(absl::StrCat("too many arguments: ", app.remaining(true).front(), hint));
  }
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  return {missing ? kExitBadArguments : kExitError, absl::StrCat(error.what(), hint)};
}

}  // namespace

Context::Context(std::istream& in_stream, std::ostream& out_stream, std::ostream& err_stream)
    : in(in_stream), out(out_stream), err(err_stream) {}

Context::~Context() = default;

absl::StatusOr<Client*> Context::client() {
  if (client_ == nullptr) {
    KEEL_ASSIGN_OR_RETURN(client_, Client::Create(flags.client_options()));
  }
  return client_.get();
}

void AddAllCommands(CLI::App& app, Context& context, Outcome& outcome) {
  AddKvCommands(app, context, outcome);
  AddTxnCommand(app, context, outcome);
  AddWatchCommand(app, context, outcome);
  AddHistoryCommands(app, context, outcome);
  AddLeaseCommands(app, context, outcome);
  AddLockCommands(app, context, outcome);
  AddClusterCommands(app, context, outcome);
  AddEndpointCommands(app, context, outcome);
  AddSnapshotCommands(app, context, outcome);
  AddCheckCommands(app, context, outcome);
  AddMirrorCommand(app, context, outcome);
  AddTopCommand(app, context, outcome);
  AddDoctorCommand(app, context, outcome);
  AddToolCommands(app, context, outcome);
  PutIntoGroup(app, kKeyValueGroup, {"put", "get", "del", "txn", "watch", "history", "diff", "compaction"});
  PutIntoGroup(app, kCoordinationGroup, {"lease", "lock", "elect"});
  PutIntoGroup(app, kOperationsGroup,
               {"member", "endpoint", "alarm", "move-leader", "defrag", "downgrade", "snapshot", "make-mirror", "check",
                "top", "doctor"});
  PutIntoGroup(app, kToolGroup, {"completion", "man", "version"});
}

CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& help, Formats formats,
                     Context& context, Outcome& outcome, std::function<Outcome()> body) {
  CLI::App* command = parent.add_subcommand(name, help);
  command->fallthrough();  // Global flags may follow the command.
  command->callback([formats, &context, &outcome, body = std::move(body)] {
    if (outcome.code != kExitOk) return;
    if (std::string refused = Unsupported(formats, context.flags.format); !refused.empty()) {
      outcome = {kExitBadFeature, std::move(refused)};
      return;
    }
    outcome = body();
  });
  return command;
}

CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& help) {
  CLI::App* group = parent.add_subcommand(name, help);
  group->require_subcommand(1)->fallthrough();
  return group;
}

int Run(const Invocation& invocation, std::istream& in, std::ostream& out, std::ostream& err) {
  Context context(in, out, err);
  Outcome outcome;
  RawFlags raw;

  CLI::App app("reads, writes, watches and operates a Keel cluster", "keelctl");
  app.set_help_flag();
  app.require_subcommand(1);
  // Under the name that scripts know, JSON is what they know.
  raw.AddTo(app, /*base64=*/absl::StrContains(invocation.program, "etcdctl"));
  // Runs after the flags are read and before the command's own callback.
  app.parse_complete_callback([&] {
    outcome = raw.Resolve(&context.flags);
    if (context.flags.debug) err << raw.Describe();
  });
  AddAllCommands(app, context, outcome);

  if (!invocation.args.empty() && invocation.args.front() == "__complete") {
    // What the completion scripts ask: the words are being typed, so they need not make sense to the parser.
    for (const Candidate& each : Complete(app, {invocation.args.begin() + 1, invocation.args.end()})) {
      out << each.word << "\t" << each.help << "\n";
    }
    return kExitOk;
  }
  CommandLine line = ReadCommandLine(app, invocation.args);
  context.after_dashes = std::move(line.after_dashes);
  context.had_dashes = line.had_dashes;
  if (!line.unknown.empty()) {
    err << "Error: unknown command \"" << line.unknown << "\" for \"" << CommandPath(*line.command)
        << "\"; 'keelctl help' lists the commands\n";
    return kExitError;
  }
  const bool is_group = !line.command->get_subcommands([](const CLI::App*) { return true; }).empty();
  if (line.help || is_group) {
    out << HelpPage(*line.command);
    return kExitOk;
  }

  try {  // CLI11 reports by exceptions; they stop here.
    app.parse(std::vector<std::string>(line.words.rbegin(), line.words.rend()));
  } catch (const CLI::ParseError& e) {
    outcome = ParseFailure(e, app, *line.command);
  }
  out.flush();
  if (!outcome.message.empty()) err << "Error: " << outcome.message << "\n";
  return outcome.code;
}

}  // namespace keel::ctl
