#include "tools/keeld/flags.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <optional>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "base/version.h"
#include "tools/keeld/config_file.h"
#include "tools/keeld/flag_table.h"

namespace keel::keeld {
namespace {

constexpr absl::string_view kEnvironmentPrefix = "ETCD_";

std::string EnvironmentName(std::string_view flag) {
  return absl::StrCat(kEnvironmentPrefix, absl::AsciiStrToUpper(absl::StrReplaceAll(ToAbsl(flag), {{"-", "_"}})));
}

struct Given {
  const Flag* flag = nullptr;
  std::string written;  // The name as written; an old spelling differs from flag->name.
  std::string value;
};

bool IsBoolText(std::string_view text) {
  for (const char* word : {"1", "0", "t", "f", "T", "F", "true", "false", "TRUE", "FALSE", "True", "False"}) {
    if (text == word) return true;
  }
  return false;
}

// Splits the arguments as Go's flag package does. Stops at the first thing that is not a flag.
absl::StatusOr<std::vector<Given>> SplitFlags(const std::vector<std::string>& args, CommandLine::Action* action) {
  std::vector<Given> given;
  for (size_t i = 0; i < args.size(); ++i) {
    absl::string_view text = args[i];
    if (text.size() < 2 || text[0] != '-') {
      if (text == "gateway" || text == "grpc-proxy") {
        return absl::FailedPreconditionError(absl::StrCat("'", text, "' is not available in this version of Keel"));
      }
      return absl::FailedPreconditionError(absl::StrCat("'", text, "' is not a valid flag"));
    }
    text.remove_prefix(text[1] == '-' ? 2 : 1);
    if (text.empty() || text[0] == '-' || text[0] == '=') {
      return absl::InvalidArgumentError(absl::StrCat("bad flag syntax: ", args[i]));
    }
    std::optional<std::string> value;
    if (const size_t equals = text.find('='); equals != absl::string_view::npos) {
      value = std::string(text.substr(equals + 1));
      text = text.substr(0, equals);
    }
    if (text == "help" || text == "h") return *action = CommandLine::Action::kHelp, given;
    if (text == "version") {
      if (!value || *value == "true") *action = CommandLine::Action::kVersion;
      continue;
    }
    const Flag* const flag = FindFlag(ToStd(text));
    if (flag == nullptr) return absl::InvalidArgumentError(absl::StrCat("flag provided but not defined: -", text));
    if (!value && flag->kind == FlagKind::kBool) value = "true";
    if (!value) {
      if (i + 1 == args.size()) return absl::InvalidArgumentError(absl::StrCat("flag needs an argument: -", text));
      value = args[++i];
    }
    if (flag->kind == FlagKind::kBool && !IsBoolText(*value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("invalid boolean value \"", *value, "\" for -", text, ": parse error"));
    }
    given.push_back({flag, std::string(text), *std::move(value)});
  }
  return given;
}

bool IsDefault(const Flag& flag, const std::string& value) {
  if (flag.kind == FlagKind::kBool) {
    const bool on = value == "1" || absl::EqualsIgnoreCase(value, "t") || absl::EqualsIgnoreCase(value, "true");
    return on == (flag.default_text == "true");
  }
  return value == flag.default_text;
}

// Applies one setting; `source` names it in errors ("-name" or "ETCD_NAME").
absl::Status Apply(const Given& given, const std::string& source, absl::StatusCode bad_value, CommandLine* line) {
  const Flag& flag = *given.flag;
  if (flag.set != nullptr) {
    const absl::Status status = flag.set(given.value, &line->config);
    if (status.ok()) return status;
    if (absl::EndsWith(ToAbsl(flag.name), "urls") || flag.name == "initial-cluster") {
      bad_value = absl::StatusCode::kFailedPrecondition;  // The flags are well-formed, the addresses are not.
    }
    return absl::Status(bad_value,
                        absl::StrCat("invalid value \"", given.value, "\" for ", source, ": ", status.message()));
  }
  if (IsDefault(flag, given.value) || flag.silent) return absl::OkStatus();
  if (!flag.refusal.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(source, "=", given.value, " is not supported: ", ToAbsl(flag.refusal)));
  }
  line->warnings.push_back(absl::StrCat(source, "=", given.value, " has no effect in Keel"));
  return absl::OkStatus();
}

absl::Status ApplyEnvironment(const Environment& environment, const std::vector<Given>& given, CommandLine* line) {
  std::set<std::string> known = {"ETCD_UNSUPPORTED_ARCH", "ETCD_CLIENT_DEBUG", "ETCD_VERIFY"};
  for (const Flag& flag : FlagTable()) {
    // Both spellings of a flag that once was experimental.
    for (const std::string& spelling : {std::string(flag.name), absl::StrCat("experimental-", ToAbsl(flag.name))}) {
      const std::string variable = EnvironmentName(spelling);
      known.insert(variable);
      const auto found = environment.find(variable);
      if (found == environment.end() || found->second.empty()) continue;
      if (std::any_of(given.begin(), given.end(), [&](const Given& g) { return g.flag == &flag; })) {
        return absl::FailedPreconditionError(
            absl::StrCat("conflicting environment variable is shadowed by corresponding command-line flag (either "
                         "unset environment variable or disable flag): ",
                         variable, "=", found->second));
      }
      if (flag.kind == FlagKind::kBool && !IsBoolText(found->second)) {
        return absl::FailedPreconditionError(
            absl::StrCat("invalid value \"", found->second, "\" for ", variable, ": parse error"));
      }
      KEEL_RETURN_IF_ERROR(
          Apply({&flag, spelling, found->second}, variable, absl::StatusCode::kFailedPrecondition, line));
    }
  }
  for (const auto& [name, value] : environment) {
    if (absl::StartsWith(name, kEnvironmentPrefix) && known.count(name) == 0) {
      line->warnings.push_back(absl::StrCat("unrecognized environment variable: ", name, "=", value));
    }
  }
  return absl::OkStatus();
}

// The configuration file that flag or environment names; empty: none.
std::string ConfigFilePath(const std::vector<Given>& given, const Environment& environment) {
  std::string path;
  for (const Given& setting : given) {
    if (setting.flag->name == "config-file") path = setting.value;
  }
  if (!path.empty()) return path;
  const auto found = environment.find(EnvironmentName("config-file"));
  return found == environment.end() ? "" : found->second;
}

absl::Status ApplyFile(const std::string& path, CommandLine* line) {
  const auto settings = ReadConfigFile(path);
  if (!settings.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("configuration file ", path, ": ", settings.status().message()));
  }
  for (const auto& [name, value] : *settings) {
    const Flag* const flag = FindFlag(name);
    if (flag->kind == FlagKind::kBool && !IsBoolText(value)) {
      return absl::FailedPreconditionError(absl::StrCat(path, ": ", name, ": '", value, "' is neither true nor false"));
    }
    KEEL_RETURN_IF_ERROR(
        Apply({flag, name, value}, absl::StrCat(path, ": ", name), absl::StatusCode::kFailedPrecondition, line));
  }
  line->warnings.push_back(absl::StrCat("read ", path, "; other flags and environment variables are ignored"));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CommandLine> ParseCommandLine(const std::vector<std::string>& args, const Environment& environment) {
  CommandLine line;
  KEEL_ASSIGN_OR_RETURN(const std::vector<Given> given, SplitFlags(args, &line.action));
  if (line.action != CommandLine::Action::kRun) return line;
  if (const std::string path = ConfigFilePath(given, environment); !path.empty()) {
    KEEL_RETURN_IF_ERROR(ApplyFile(path, &line));
    return line;
  }
  for (const Given& setting : given) {
    KEEL_RETURN_IF_ERROR(Apply(setting, absl::StrCat("-", setting.written), absl::StatusCode::kInvalidArgument, &line));
  }
  KEEL_RETURN_IF_ERROR(ApplyEnvironment(environment, given, &line));
  return line;
}

Environment CurrentEnvironment() {
  Environment environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string_view text = *entry;
    const size_t equals = text.find('=');
    if (equals != std::string_view::npos) environment.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return environment;
}

std::string ShortUsage() {
  return "Usage:\n\n"
         "  keeld [flags]\n"
         "    Start a Keel member. With no flags: a store of one member in ./default.keel on ports 2379 and 2380.\n\n"
         "  keeld --version\n"
         "    Show the version.\n\n"
         "  keeld -h | --help\n"
         "    Show what the flags mean.\n";
}

std::string HelpText() {
  std::string text = ShortUsage();
  absl::StrAppend(&text, "\nFlags (ETCD_<FLAG> in the environment stands for a flag that is not given):\n\n");
  for (const Flag& flag : FlagTable()) {
    if (flag.help.empty()) continue;
    absl::StrAppend(&text, "  --", ToAbsl(flag.name));
    if (!flag.default_text.empty()) absl::StrAppend(&text, " '", ToAbsl(flag.default_text), "'");
    absl::StrAppend(&text, "\n    ", ToAbsl(flag.help), "\n");
  }
  return text;
}

std::string VersionText() {
  utsname machine{};
  uname(&machine);
  return absl::StrCat("keeld Version: ", kVersion, "\nProtocol Version: ", kProtocolVersion, "\nCompiler: g++ ",
                      __VERSION__, "\nOS/Arch: ", absl::AsciiStrToLower(machine.sysname), "/", machine.machine, "\n");
}

}  // namespace keel::keeld
