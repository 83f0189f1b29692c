#include "server/http/query.h"

#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "base/string_view.h"

namespace keel::server {
namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = absl::ascii_tolower(c);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

std::optional<std::string> Decode(absl::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+') {
      out.push_back(' ');
    } else if (text[i] != '%') {
      out.push_back(text[i]);
    } else {
      if (i + 2 >= text.size()) return std::nullopt;
      const int high = HexDigit(text[i + 1]);
      const int low = HexDigit(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    }
  }
  return out;
}

}  // namespace

bool Query::Has(std::string_view key) const {
  for (const auto& pair : pairs) {
    if (pair.first == key) return true;
  }
  return false;
}

std::string Query::First(std::string_view key) const {
  for (const auto& pair : pairs) {
    if (pair.first == key) return pair.second;
  }
  return "";
}

std::vector<std::string> Query::All(std::string_view key) const {
  std::vector<std::string> values;
  for (const auto& pair : pairs) {
    if (pair.first == key) values.push_back(pair.second);
  }
  return values;
}

Query ParseQuery(std::string_view text) {
  Query query;
  for (absl::string_view part : absl::StrSplit(ToAbsl(text), '&', absl::SkipEmpty())) {
    const std::pair<absl::string_view, absl::string_view> split = absl::StrSplit(part, absl::MaxSplits('=', 1));
    std::optional<std::string> key = Decode(split.first);
    std::optional<std::string> value = Decode(split.second);
    if (key && value) query.pairs.emplace_back(*std::move(key), *std::move(value));
  }
  return query;
}

}  // namespace keel::server
