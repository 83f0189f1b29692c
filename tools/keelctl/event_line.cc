#include "tools/keelctl/event_line.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {

std::string Shown(const std::string& bytes, size_t max) {
  std::string_view shown = bytes;
  if (bytes.size() > max) {
    shown = shown.substr(0, max);
    // Not through the middle of a character.
    while (!shown.empty() && IsUtf8(bytes) && !IsUtf8(shown)) shown.remove_suffix(1);
  }
  std::string text = GoQuote(shown);
  if (shown.size() < bytes.size()) absl::StrAppend(&text, "... (", HumanSize(static_cast<int64_t>(bytes.size())), ")");
  return text;
}

std::string EventLine(const Event& event, bool colour) {
  struct Kind {
    const char* name;
    const char* colour;
  };
  const Kind kind = event.type == Event::Type::kDelete ? Kind{"delete", "\x1b[31m"}
                    : event.is_create()                ? Kind{"create", "\x1b[32m"}
                                                       : Kind{"put   ", "\x1b[33m"};
  std::string line = absl::StrFormat(
      "rev %-8d %s%s%s  %s", event.kv.mod_revision, colour ? kind.colour : "", kind.name, colour ? "\x1b[0m" : "",
      IsUtf8(event.kv.key) && GoQuote(event.kv.key).size() == event.kv.key.size() + 2 ? event.kv.key
                                                                                      : GoQuote(event.kv.key));
  std::vector<std::string> notes;
  if (event.type == Event::Type::kPut) {
    absl::StrAppend(&line, " = ", Shown(event.kv.value));
    if (event.prev_kv) notes.push_back(absl::StrCat("was ", Shown(event.prev_kv->value)));
    if (!event.is_create()) notes.push_back(absl::StrCat("version ", event.kv.version));
    if (event.kv.lease != 0) {
      notes.push_back(absl::StrFormat("lease %016x", static_cast<uint64_t>(event.kv.lease)));
    }
  } else if (event.prev_kv) {
    notes.push_back(absl::StrCat("was ", Shown(event.prev_kv->value)));
  }
  for (size_t i = 0; i < notes.size(); ++i) absl::StrAppend(&line, i == 0 ? "  (" : ", ", notes[i]);
  if (!notes.empty()) line += ")";
  return line;
}

}  // namespace keel::ctl
