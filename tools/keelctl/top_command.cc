#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <optional>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/endpoint_set.h"
#include "tools/keelctl/top_view.h"

namespace keel::ctl {
namespace {

constexpr size_t kPrefixesShown = 15;
constexpr absl::Duration kLook = absl::Milliseconds(100);

struct TopFlags {
  bool once = false;
  std::string interval = "2s";
  int depth = 1;
};

// Keys arrive as they are typed, unseen; the terminal is put back by the destructor.
class RawTerminal {
 public:
  RawTerminal() : active_(isatty(STDIN_FILENO) == 1 && tcgetattr(STDIN_FILENO, &before_) == 0) {
    if (!active_) return;
    termios raw = before_;
    raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    raw.c_cc[VMIN] = 0;
    raw.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  }
  ~RawTerminal() {
    if (active_) tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

  bool PressedQ() const {
    char key = 0;
    return active_ && read(STDIN_FILENO, &key, 1) == 1 && (key == 'q' || key == 'Q');
  }

 private:
  termios before_ = {};
  const bool active_;
};

Outcome RunTop(Context& context, const TopFlags& flags) {
  absl::Duration interval;
  if (!absl::ParseDuration(flags.interval, &interval) || interval < absl::Milliseconds(100)) {
    return Outcome::BadArguments(
        absl::StrCat("--interval: '", flags.interval, "' is not a duration of 100ms or more, such as 2s"));
  }
  if (flags.depth < 1) return Outcome::BadArguments("--depth must be 1 or more");
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  // Every member if the cluster can say who they are; what was given if not, to show at least that.
  std::vector<std::string> endpoints = context.flags.endpoints;
  if (auto all = EndpointSet(context, /*whole_cluster=*/true); all.ok() && !all->empty()) endpoints = *all;

  PrefixCounter counter(flags.depth);
  std::atomic<bool> watching = true;
  auto watcher = (*client)->Watch("", {.from_key = true}, [&](const absl::StatusOr<WatchResponse>& response) {
    if (!response.ok()) {
      watching = false;
      return;
    }
    for (const Event& event : response->events) counter.Add(event);
  });

  Interrupt::Install();
  const bool live = !flags.once && context.flags.format == Format::kSimple && isatty(STDOUT_FILENO) == 1;
  std::optional<RawTerminal> terminal;
  if (live) terminal.emplace();
  std::vector<MemberSample> before = SampleMembers(context, endpoints);
  absl::Time since = absl::Now();
  while (true) {
    bool quit = false;
    while (!quit && absl::Now() < since + interval) {
      quit = Interrupt::Wait(std::min(since + interval, absl::Now() + kLook)) || (live && terminal->PressedQ());
    }
    if (quit) break;
    std::vector<MemberSample> now = SampleMembers(context, endpoints);
    const absl::Time until = absl::Now();
    const TopView view{.interval = until - since,
                       .members = RatesBetween(before, now),
                       .prefixes = counter.Take(kPrefixesShown),
                       .prefixes_known = watching};
    if (live) {
      // From the top corner; what is left of the last picture goes.
      context.out << "\x1b[H\x1b[2Jkeelctl top  every " << absl::FormatDuration(interval) << ", q ends it\n\n";
    }
    context.out << (context.flags.format == Format::kJson ? TopJson(view) : TopText(view));
    context.out.flush();
    before = std::move(now);
    since = until;
    if (flags.once) break;
    if (!context.out.good()) return {kExitIo, "the output cannot be written"};
  }
  watcher->Cancel();
  watcher.reset();  // Waits for a callback that runs: it uses what ends here.
  const bool any = std::any_of(before.begin(), before.end(), [](const MemberSample& s) { return s.metrics.ok(); });
  if (!any) return {kExitError, "no member's /metrics could be read"};
  return Outcome::Ok();
}

}  // namespace

void AddTopCommand(CLI::App& app, Context& context, Outcome& outcome) {
  auto flags = std::make_shared<TopFlags>();
  CLI::App* command =
      AddCommand(app, "top", "what the members do right now, and where it is written most", Formats::kTextOrJson,
                 context, outcome, [&context, flags] { return RunTop(context, *flags); });
  command->add_flag("--once", flags->once, "print one interval and end");
  command->add_option("--interval", flags->interval, "how long to count")->capture_default_str();
  command->add_option("--depth", flags->depth, "parts of a key that make a prefix")->capture_default_str();
}

}  // namespace keel::ctl
