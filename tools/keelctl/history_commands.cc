#include <unistd.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/event_line.h"
#include "tools/keelctl/key_history.h"
#include "tools/keelctl/line_diff.h"
#include "tools/keelctl/printer.h"

namespace keel::ctl {
namespace {

// diff(1) says 0 for the same, 1 for different and 2 for trouble.
constexpr int kDifferent = 1;
constexpr int kTrouble = 2;

Outcome RunHistory(Context& context, const std::string& key, int64_t limit) {
  if (limit < 0) return Outcome::BadArguments("--limit must not be negative");
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  const auto history = ReadHistory(**client, key, static_cast<size_t>(limit), context.flags.command_timeout);
  if (!history.ok()) return Outcome::Of(history.status());
  if (context.flags.format == Format::kJson) {
    PrinterFor(context)->Watch({.header = {.revision = history->revision},
                                .compact_revision = history->compact_revision,
                                .events = history->changes});
    return Outcome::Ok();
  }
  const bool colour = isatty(STDOUT_FILENO) == 1;
  for (const Event& event : history->changes) context.out << EventLine(event, colour) << "\n";
  if (history->compact_revision > 0) {
    context.err << "what was before revision " << history->compact_revision << " has been compacted\n";
  }
  return Outcome::Ok();
}

// The pair at that revision, or why there is none.
absl::StatusOr<KeyValue> ReadAt(Client& client, const KeyAt& at) {
  auto response = client.kv().Get(at.key, {.revision = at.revision});
  if (!response.ok()) {
    return absl::Status(response.status().code(),
                        absl::StrCat(at.key, "@", at.revision, ": ", response.status().message()));
  }
  if (response->kvs.empty()) {
    return absl::NotFoundError(absl::StrCat(at.key, at.revision == 0
                                                        ? std::string(" does not exist")
                                                        : absl::StrCat(" did not exist at revision ", at.revision)));
  }
  return response->kvs.front();
}

Outcome RunDiff(Context& context, const std::string& before_text, const std::string& after_text) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kTrouble);
  const auto before = ReadAt(**client, ParseKeyAt(before_text));
  if (!before.ok()) return Outcome::Of(before.status(), kTrouble);
  const auto after = ReadAt(**client, ParseKeyAt(after_text));
  if (!after.ok()) return Outcome::Of(after.status(), kTrouble);
  const auto name = [](const KeyValue& kv) {
    return absl::StrCat(kv.key, "@", kv.mod_revision, "\tversion ", kv.version);
  };
  context.out << UnifiedDiff(before->value, after->value, {.before = name(*before), .after = name(*after)},
                             isatty(STDOUT_FILENO) == 1);
  return {before->value == after->value ? kExitOk : kDifferent};
}

}  // namespace

void AddHistoryCommands(CLI::App& app, Context& context, Outcome& outcome) {
  auto key = std::make_shared<std::string>();
  auto limit = std::make_shared<int64_t>(0);
  CLI::App* history =
      AddCommand(app, "history", "every change of a key that is not compacted yet, oldest first", Formats::kTextOrJson,
                 context, outcome, [&context, key, limit] { return RunHistory(context, *key, *limit); });
  history->add_option("key", *key, "key")->required();
  history->add_option("--limit", *limit, "only the last so many; 0: all");

  auto before = std::make_shared<std::string>();
  auto after = std::make_shared<std::string>();
  CLI::App* diff =
      AddCommand(app, "diff", "compare two values; status 0: same, 1: different, 2: trouble", Formats::kIgnored,
                 context, outcome, [&context, before, after] { return RunDiff(context, *before, *after); });
  diff->add_option("before", *before, "KEY@REVISION, or KEY for the newest")->required();
  diff->add_option("after", *after, "the same")->required();
}

}  // namespace keel::ctl
