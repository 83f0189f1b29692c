#include <unistd.h>

#include <cstdlib>
#include <optional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/synchronization/mutex.h"
#include "tools/keelctl/child_command.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/event_line.h"
#include "tools/keelctl/printer.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

struct WatchFlags {
  std::vector<std::string> words;  // Key, end of the range.
  bool prefix = false;
  int64_t revision = 0;
  bool prev_kv = false;
  bool progress_notify = false;
  bool interactive = false;
  bool human = false;
  std::string exec;

  void AddTo(CLI::App& command) {
    command.add_option("key", words, "key, then optionally the end of a range; after -- a command per event");
    command.add_flag("--prefix", prefix, "all keys with the prefix");
    command.add_option("--rev", revision, "begin at this revision; 0: from now on");
    command.add_flag("--prev-kv", prev_kv, "print the pair before each change");
    command.add_flag("--progress-notify", progress_notify, "print now and then how far the watch has come");
  }
};

// A watch as it was asked for, whether on the command line or on a line of an interactive session.
struct WatchPlan {
  std::string key;
  WatchOptions options;
  std::vector<std::string> handler;
  bool human = false;
};

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// `from_environment`: the key may come as a variable.
absl::StatusOr<WatchPlan> PlanOf(const WatchFlags& flags, std::vector<std::string> handler, bool from_environment) {
  std::vector<std::string> words = flags.words;
  const std::string env_key = from_environment ? Variable("ETCDCTL_WATCH_KEY") : "";
  const std::string env_end = from_environment ? Variable("ETCDCTL_WATCH_RANGE_END") : "";
  if (env_key.empty() && !env_end.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("ETCDCTL_WATCH_KEY is empty but got ETCDCTL_WATCH_RANGE_END=\"", env_end, "\""));
  }
  if (!env_key.empty()) {
    if (!words.empty()) {
      return absl::InvalidArgumentError("bad number of arguments (found conflicting environment key)");
    }
    words.push_back(env_key);
    if (!env_end.empty()) words.push_back(env_end);
  }
  if (words.empty() || words.size() > 2) return absl::InvalidArgumentError("bad number of arguments");
  if (words.size() == 2 && flags.prefix) {
    return absl::InvalidArgumentError("`range_end` and `--prefix` are mutually exclusive");
  }
  return WatchPlan{.key = words[0],
                   .options = {.range_end = words.size() == 2 ? words[1] : "",
                               .prefix = flags.prefix,
                               .start_revision = flags.revision,
                               .prev_kv = flags.prev_kv || flags.human,
                               .progress_notify = flags.progress_notify},
                   .handler = std::move(handler),
                   .human = flags.human};
}

// The same names and quoting as etcdctl, so that handlers written for it work; and the bytes as they are.
Outcome RunHandler(const std::vector<std::string>& command, const ResponseHeader& header, const Event& event) {
  const std::string type = event.type == Event::Type::kPut ? "PUT" : "DELETE";
  std::vector<std::string> environment = {absl::StrCat("ETCD_WATCH_REVISION=", header.revision),
                                          absl::StrCat("ETCD_WATCH_EVENT_TYPE=", GoQuote(type)),
                                          absl::StrCat("ETCD_WATCH_KEY=", GoQuote(event.kv.key)),
                                          absl::StrCat("ETCD_WATCH_VALUE=", GoQuote(event.kv.value)),
                                          absl::StrCat("KEEL_WATCH_REVISION=", event.kv.mod_revision),
                                          absl::StrCat("KEEL_WATCH_TYPE=", type)};
  // The environment cannot hold a zero byte.
  for (const auto& [name, bytes] :
       {std::pair("KEEL_WATCH_KEY=", &event.kv.key), {"KEEL_WATCH_VALUE=", &event.kv.value}}) {
    if (bytes->find('\0') == std::string::npos) environment.push_back(absl::StrCat(name, *bytes));
  }
  const auto result = RunChildCommand(command, environment);
  if (!result.ok()) return Outcome::Of(result.status());
  if (*result != 0) {
    std::vector<std::string> quoted;
    for (const std::string& word : command) quoted.push_back(GoQuote(word));
    return {kExitError, absl::StrCat("command [", absl::StrJoin(quoted, " "), "] error (exit status ", *result, ")")};
  }
  return Outcome::Ok();
}

// Prints what comes until the watch ends or a handler fails. `mutex` keeps the lines of several watches apart.
Outcome Follow(Context& context, const WatchPlan& plan, Watcher& watcher, absl::Mutex& mutex) {
  auto printer = PrinterFor(context);
  const bool colour = plan.human && isatty(STDOUT_FILENO) == 1;
  while (true) {
    auto response = watcher.Next();
    absl::MutexLock lock(&mutex);
    if (absl::IsCancelled(response.status())) return {kExitInterrupted, ""};  // By this program, on its way out.
    if (!response.ok()) {
      context.err << "watch was canceled (" << response.status().message() << ")\n";
      return {kExitInterrupted, "watch is canceled by the server"};
    }
    if (response->canceled) continue;  // The next call says why.
    if (plan.human) {
      for (const Event& event : response->events) context.out << EventLine(event, colour) << "\n";
      if (response->is_progress()) context.out << "rev " << response->header.revision << "  nothing new\n";
      context.out.flush();
    } else {
      printer->Watch(*response);
    }
    if (!context.out.good()) return {kExitIo, "the output cannot be written"};
    if (plan.handler.empty()) continue;
    for (const Event& event : response->events) {
      if (Outcome outcome = RunHandler(plan.handler, response->header, event); outcome.code != kExitOk) return outcome;
    }
  }
}

// Watches and progress requests by lines, until the input ends. Single-use.
class InteractiveSession {
 public:
  InteractiveSession(Context& context, Client& client) : context_(context), client_(client) {}
  ~InteractiveSession() {
    for (auto& watcher : watchers_) watcher->Cancel();
    for (std::thread& follower : followers_) follower.join();
  }

  Outcome Run() {
    std::string line;
    while (std::getline(context_.in, line)) Take(line);
    return {kExitInvalidInput, "Error reading watch request line: EOF"};
  }

 private:
  void Complain(const std::string& text) {
    absl::MutexLock lock(&mutex_);
    context_.err << "Invalid command " << text << "\n";
  }

  void Take(const std::string& line) {
    auto words = SplitWords(line);
    if (!words.ok()) return Complain(absl::StrCat(line, " (", words.status().message(), ")"));
    if (words->empty()) return Complain(": (watch and progress supported)");
    if (words->front() == "progress") {
      for (auto& watcher : watchers_) {
        if (absl::Status asked = watcher->RequestProgress(); !asked.ok()) {
          absl::MutexLock lock(&mutex_);
          context_.err << "progress request failed (" << asked.message() << ")\n";
        }
      }
      return;
    }
    if (words->front() != "watch") return Complain(absl::StrCat(words->front(), " (only support watch)"));
    std::vector<std::string> handler;
    const auto dashes = std::find(words->begin(), words->end(), "--");
    if (dashes != words->end()) {
      handler.assign(dashes + 1, words->end());
      words->erase(dashes, words->end());
    }
    WatchFlags flags;
    CLI::App parser;
    flags.AddTo(parser);
    try {  // CLI11 reports by exceptions; they stop here.
      parser.parse(std::vector<std::string>(words->rbegin(), words->rend() - 1));
    } catch (const CLI::Error& e) {
      return Complain(absl::StrCat(line, " (", e.what(), ")"));
    }
    if (flags.words.empty()) return Complain(absl::StrCat(line, " (command type or key is not provided)"));
    auto plan = PlanOf(flags, std::move(handler), /*from_environment=*/false);
    if (!plan.ok()) return Complain(absl::StrCat(line, " (", plan.status().message(), ")"));
    watchers_.push_back(client_.Watch(plan->key, plan->options));
    followers_.emplace_back([this, plan = *std::move(plan), watcher = watchers_.back().get()] {
      const Outcome outcome = Follow(context_, plan, *watcher, mutex_);
      absl::MutexLock lock(&mutex_);
      if (!outcome.message.empty()) context_.err << outcome.message << "\n";
    });
  }

  Context& context_;
  Client& client_;
  absl::Mutex mutex_;  // The streams.
  std::vector<std::unique_ptr<Watcher>> watchers_;
  std::vector<std::thread> followers_;
};

Outcome RunWatch(Context& context, const WatchFlags& flags) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  if (flags.interactive) return InteractiveSession(context, **client).Run();

  std::vector<std::string> handler = context.after_dashes;
  if (!flags.exec.empty()) {
    if (!handler.empty()) return Outcome::BadArguments("--exec and a command after -- are two handlers: give one");
    handler = {"sh", "-c", flags.exec};
  }
  if (flags.human && context.flags.format != Format::kSimple) {
    return Outcome::BadArguments("--human is a format of its own: leave -w out");
  }
  auto plan = PlanOf(flags, std::move(handler), /*from_environment=*/true);
  if (!plan.ok()) return Outcome::BadArguments(std::string(plan.status().message()));
  auto watcher = (*client)->Watch(plan->key, plan->options);
  absl::Mutex mutex;
  return Follow(context, *plan, *watcher, mutex);
}

}  // namespace

void AddWatchCommand(CLI::App& app, Context& context, Outcome& outcome) {
  auto flags = std::make_shared<WatchFlags>();
  CLI::App* command = AddCommand(app, "watch", "print changes as they happen", Formats::kNoTable, context, outcome,
                                 [&context, flags] { return RunWatch(context, *flags); });
  flags->AddTo(*command);
  command->add_flag("--human", flags->human, "one line per change, with what was there before");
  command->add_option("--exec", flags->exec,
                      "run this with sh for every change; it finds KEEL_WATCH_TYPE, _KEY, _VALUE and _REVISION");
  command->add_flag("-i,--interactive", flags->interactive, "read watches and progress requests from standard input");
}

}  // namespace keel::ctl
