#include "tools/keeld/config_file.h"

#include <yaml-cpp/yaml.h>

#include <fstream>
#include <iterator>
#include <optional>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "tools/keeld/flag_table.h"

namespace keel::keeld {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

// Keys of the TLS blocks that are not spelled like the flag they stand for.
struct Renamed {
  std::string_view key;
  std::string_view client_flag;
  std::string_view peer_flag;
};
constexpr Renamed kRenamed[] = {
    {"allowed-cn", "", "peer-cert-allowed-cn"},
    {"allowed-hostname", "client-cert-allowed-hostname", "peer-cert-allowed-hostname"},
};

// The flag that `key` inside `block` stands for; empty: none.
std::string FlagName(const std::string& block, const std::string& key) {
  if (block.empty()) return key;
  const bool peer = block == "peer-transport-security";
  if (peer || block == "client-transport-security") {
    for (const Renamed& renamed : kRenamed) {
      if (key == renamed.key) return std::string(peer ? renamed.peer_flag : renamed.client_flag);
    }
    return peer ? "peer-" + key : key;
  }
  if (block == "socket-options") return "socket-" + key;
  if (block == "discovery-config" && key == "token") return "discovery-token";
  return "";
}

bool IsBlock(const std::string& key) {
  return key == "client-transport-security" || key == "peer-transport-security" || key == "socket-options" ||
         key == "discovery-config";
}

absl::StatusOr<std::string> Text(const std::string& key, const YAML::Node& node) {
  if (node.IsSequence()) {
    std::vector<std::string> items;
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) return absl::InvalidArgumentError(absl::StrCat(key, ": is not a list of words"));
      items.push_back(item.Scalar());
    }
    return absl::StrJoin(items, ",");
  }
  if (!node.IsScalar()) return absl::InvalidArgumentError(absl::StrCat(key, ": is not a single value"));
  return node.Scalar();
}

absl::Status ReadMap(const std::string& block, const YAML::Node& map, Settings* settings) {
  if (map.IsNull()) return absl::OkStatus();
  if (!map.IsMap()) {
    return absl::InvalidArgumentError(absl::StrCat(block.empty() ? "the file" : block, " is not a map of settings"));
  }
  for (const auto& pair : map) {
    if (!pair.first.IsScalar() || pair.second.IsNull()) continue;
    const std::string& key = pair.first.Scalar();
    if (block.empty() && IsBlock(key)) {
      KEEL_RETURN_IF_ERROR(ReadMap(key, pair.second, settings));
      continue;
    }
    const std::string name = FlagName(block, key);
    const Flag* const flag = FindFlag(name);
    if (flag == nullptr || flag->name == "config-file") continue;
    KEEL_ASSIGN_OR_RETURN(std::string text, Text(key, pair.second));
    if (text.empty()) continue;
    if (flag->kind == FlagKind::kDuration) {
      int64_t nanoseconds = 0;
      if (!absl::SimpleAtoi(text, &nanoseconds)) {
        return absl::InvalidArgumentError(
            absl::StrCat(key, ": '", text, "' is not a whole number of nanoseconds, as durations in a file are"));
      }
      text += "ns";
    }
    settings->emplace_back(name, std::move(text));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Settings> ParseConfigFile(std::string_view text) {
  Settings settings;
  try {  // yaml-cpp reports what it cannot parse by throwing; the exception stops here.
    KEEL_RETURN_IF_ERROR(ReadMap("", YAML::Load(std::string(text)), &settings));
  } catch (const YAML::Exception& e) {
    return absl::InvalidArgumentError(e.what());
  }
  return settings;
}

absl::StatusOr<Settings> ReadConfigFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) return absl::NotFoundError("cannot be read");
  return ParseConfigFile(text);
}

}  // namespace keel::keeld
