#include <cstdlib>

#include "absl/strings/str_cat.h"
#include "tools/keelctl/child_command.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/printer.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

struct WatchFlags {
  std::vector<std::string> words;  // Key, end of the range, and after "--" a command to run per event.
  bool prefix = false;
  int64_t revision = 0;
  bool prev_kv = false;
  bool progress_notify = false;
};

// The same names and quoting as etcdctl, so that handlers written for it work.
Outcome RunHandler(const std::vector<std::string>& command, const ResponseHeader& header, const Event& event) {
  const auto result = RunChildCommand(
      command, {absl::StrCat("ETCD_WATCH_REVISION=", header.revision),
                absl::StrCat("ETCD_WATCH_EVENT_TYPE=", GoQuote(event.type == Event::Type::kPut ? "PUT" : "DELETE")),
                absl::StrCat("ETCD_WATCH_KEY=", GoQuote(event.kv.key)),
                absl::StrCat("ETCD_WATCH_VALUE=", GoQuote(event.kv.value))});
  if (!result.ok()) return Outcome::Of(result.status());
  if (*result != 0) return {kExitError, absl::StrCat("command ", command[0], " error (exit status ", *result, ")")};
  return Outcome::Ok();
}

Outcome RunWatch(Context& context, const WatchFlags& flags, const std::vector<std::string>& handler) {
  std::vector<std::string> words = flags.words;
  const char* env_key = std::getenv("ETCDCTL_WATCH_KEY");
  const char* env_end = std::getenv("ETCDCTL_WATCH_RANGE_END");
  if (env_key != nullptr && *env_key != '\0') {
    if (!words.empty()) {
      return Outcome::BadArguments("bad number of arguments (found conflicting environment key)");
    }
    words.push_back(env_key);
    if (env_end != nullptr && *env_end != '\0') words.push_back(env_end);
  }
  if (words.empty() || words.size() > 2) return Outcome::BadArguments("bad number of arguments");
  if (words.size() == 2 && flags.prefix) {
    return Outcome::BadArguments("`range_end` and `--prefix` are mutually exclusive");
  }

  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto watcher = (*client)->Watch(words[0], {.range_end = words.size() == 2 ? words[1] : "",
                                             .prefix = flags.prefix,
                                             .start_revision = flags.revision,
                                             .prev_kv = flags.prev_kv,
                                             .progress_notify = flags.progress_notify});
  auto printer = PrinterFor(context);
  while (true) {
    auto response = watcher->Next();
    if (!response.ok()) {
      context.err << "watch was canceled (" << response.status().message() << ")\n";
      return {kExitInterrupted, "watch is canceled by the server"};
    }
    if (response->canceled) continue;  // The next call says why.
    printer->Watch(*response);
    if (handler.empty()) continue;
    for (const Event& event : response->events) {
      if (Outcome outcome = RunHandler(handler, response->header, event); outcome.code != kExitOk) return outcome;
    }
  }
}

}  // namespace

void AddWatchCommand(CLI::App& app, Context& context, Outcome& outcome) {
  auto flags = std::make_shared<WatchFlags>();
  CLI::App* command = AddCommand(app, "watch", "print changes as they happen", Tables::kNo, context, outcome,
                                 [&context, flags] { return RunWatch(context, *flags, context.after_dashes); });
  command->add_option("key", flags->words, "key, then optionally the end of a range; after -- a command per event");
  command->add_flag("--prefix", flags->prefix, "all keys with the prefix");
  command->add_option("--rev", flags->revision, "begin at this revision; 0: from now on");
  command->add_flag("--prev-kv", flags->prev_kv, "print the pair before each change");
  command->add_flag("--progress-notify", flags->progress_notify, "print now and then how far the watch has come");
}

}  // namespace keel::ctl
