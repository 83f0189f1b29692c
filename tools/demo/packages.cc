#include "tools/demo/packages.h"

#include <fstream>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace keel::demo {
namespace {

std::string Field(const std::string& stanza, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(stanza, '\n')) {
    if (absl::ConsumePrefix(&line, name) && absl::ConsumePrefix(&line, ": ")) return std::string(line);
  }
  return "";
}

}  // namespace

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadPackages(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::vector<std::pair<std::string, std::string>> packages;
  std::set<std::string> names;
  std::string stanza;
  const auto finish = [&]() -> absl::Status {
    if (stanza.empty()) return absl::OkStatus();
    std::string name = Field(stanza, "Package");
    if (name.empty()) return absl::DataLossError(absl::StrCat(path, ": a stanza has no Package field"));
    if (!names.insert(name).second) name = absl::StrCat(name, ":", Field(stanza, "Architecture"));
    packages.emplace_back(std::move(name), std::move(stanza));
    stanza.clear();
    return absl::OkStatus();
  };
  std::string line;
  while (std::getline(file, line)) {
    if (!line.empty()) {
      absl::StrAppend(&stanza, line, "\n");
    } else if (absl::Status status = finish(); !status.ok()) {
      return status;
    }
  }
  if (absl::Status status = finish(); !status.ok()) return status;
  return packages;
}

}  // namespace keel::demo
