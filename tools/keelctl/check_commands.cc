#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "keel/client.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/http_get.h"
#include "tools/keelctl/load_run.h"
#include "tools/keelctl/metrics_page.h"
#include "tools/keelctl/progress_bar.h"

namespace keel::ctl {
namespace {

struct CheckFlags {
  std::string load = "s";
  std::string prefix;
  bool auto_compact = false;
  bool auto_defrag = false;
  std::string duration = "60s";
};

struct Workload {
  const char* letter;
  const char* name;
  int writes_per_second;
  int pairs;
  int clients;
};
constexpr Workload kWorkloads[] = {{"s", "small", 150, 10'000, 50},
                                   {"m", "medium", 1'000, 100'000, 200},
                                   {"l", "large", 8'000, 1'000'000, 500},
                                   {"xl", "xlarge", 15'000, 3'000'000, 1'000}};

const Workload* FindWorkload(const std::string& load) {
  const std::string lower = absl::AsciiStrToLower(load);
  for (const Workload& each : kWorkloads) {
    if (lower == each.letter || lower == each.name) return &each;
  }
  return nullptr;
}

// Deletes what was written; then compacts and defragments, when asked to.
Outcome CleanUp(Context& context, Client& client, const CheckFlags& flags) {
  auto deleted = client.kv().Delete(flags.prefix, {.prefix = true}, {.timeout = absl::Minutes(5)});
  if (!deleted.ok()) return Outcome::Of(deleted.status());
  if (flags.auto_compact) {
    const int64_t revision = deleted->header.revision;
    context.out << "Compacting with revision " << revision << "\n";
    auto compacted = client.kv().Compact(revision, {.physical = true}, {.timeout = absl::Minutes(5)});
    if (!compacted.ok()) return Outcome::Of(compacted.status());
    context.out << "Compacted with revision " << revision << "\n";
  }
  if (flags.auto_defrag) {
    for (const std::string& endpoint : context.flags.endpoints) {
      context.out << "Defragmenting \"" << endpoint << "\"\n";
      auto defragmented = client.maintenance().Defragment(endpoint, {.timeout = absl::Minutes(5)});
      if (!defragmented.ok()) return Outcome::Of(defragmented.status());
      context.out << "Defragmented \"" << endpoint << "\"\n";
    }
  }
  return Outcome::Ok();
}

// Runs `body` on an empty prefix, and leaves it empty.
Outcome OnEmptyPrefix(Context& context, const CheckFlags& flags, const char* command,
                      const std::function<Outcome(Client&, const Workload&)>& body) {
  const Workload* workload = FindWorkload(flags.load);
  if (workload == nullptr) return {kExitBadFeature, absl::StrCat("unknown load option ", flags.load)};
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  auto before = (*client)->kv().Get(flags.prefix, {.prefix = true, .count_only = true});
  if (!before.ok()) return Outcome::Of(before.status());
  if (before->count > 0) {
    return {kExitInvalidInput,
            absl::StrCat("prefix \"", flags.prefix, "\" has keys. Delete with 'keelctl del --prefix ", flags.prefix,
                         "' first, or give ", command, " another --prefix")};
  }
  Outcome outcome = body(**client, *workload);
  const Outcome cleaned = CleanUp(context, **client, flags);
  return outcome.code == kExitOk ? cleaned : outcome;
}

Outcome RunPerf(Context& context, const CheckFlags& flags) {
  absl::Duration duration;
  if (!absl::ParseDuration(flags.duration, &duration) || duration < absl::Milliseconds(100)) {
    return Outcome::BadArguments(absl::StrCat("--duration: '", flags.duration, "' is not a duration such as 60s"));
  }
  return OnEmptyPrefix(context, flags, "check perf", [&](Client& client, const Workload& workload) {
    LoadResult result;
    {
      ProgressBar bar(context.err, "writing");
      const absl::Time start = absl::Now();
      result = RunLoad(client.kv(),
                       {.prefix = flags.prefix,
                        .puts = static_cast<int64_t>(workload.writes_per_second * absl::ToDoubleSeconds(duration)),
                        .puts_per_second = static_cast<double>(workload.writes_per_second),
                        .clients = workload.clients,
                        .deadline = start + duration},
                       [&](int64_t done) {
                         bar.Show(absl::ToDoubleSeconds(absl::Now() - start), absl::ToDoubleSeconds(duration),
                                  absl::StrCat(done, " writes"));
                       });
    }
    const PerfVerdict verdict = JudgePerf(result, workload.writes_per_second);
    for (const std::string& line : verdict.lines) context.out << line << "\n";
    return verdict.pass ? Outcome::Ok() : Outcome{kExitError};
  });
}

absl::StatusOr<double> ResidentBytes(const Context& context) {
  KEEL_ASSIGN_OR_RETURN(const HttpPage page, HttpGet(context.flags.endpoints.front(), "/metrics", context.flags.tls,
                                                     context.flags.command_timeout));
  KEEL_ASSIGN_OR_RETURN(const MetricsPage metrics, MetricsPage::Parse(page.body));
  return metrics.Sum("process_resident_memory_bytes");
}

Outcome RunDatascale(Context& context, const CheckFlags& flags) {
  return OnEmptyPrefix(context, flags, "check datascale", [&](Client& client, const Workload& workload) {
    const auto before = ResidentBytes(context);
    if (!before.ok()) return Outcome::Of(before.status());
    context.out << "Start data scale check for work load [" << workload.pairs
                << " key-value pairs, 1024 bytes per key-value, " << workload.clients << " concurrent clients].\n";
    context.out.flush();
    LoadResult result;
    {
      ProgressBar bar(context.err, "writing");
      result = RunLoad(client.kv(),
                       {.prefix = flags.prefix,
                        .puts = workload.pairs,
                        .clients = workload.clients,
                        .key_bytes = 512,
                        .value_bytes = 512},
                       [&](int64_t done) {
                         bar.Show(static_cast<double>(done), workload.pairs,
                                  absl::StrCat(done, " of ", workload.pairs, " pairs"));
                       });
    }
    const auto after = ResidentBytes(context);
    if (!after.ok()) return Outcome::Of(after.status());
    if (!result.errors.empty()) {
      context.out << "FAIL: too many errors\n";
      for (const auto& [error, count] : result.errors) {
        context.out << "FAIL: ERROR(" << error << ") -> " << count << "\n";
      }
      return Outcome{kExitError};
    }
    context.out << absl::StrFormat("PASS: Approximate system memory used : %.2f MB.\n",
                                   std::max(0.0, *after - *before) / 1e6);
    return Outcome::Ok();
  });
}

}  // namespace

void AddCheckCommands(CLI::App& app, Context& context, Outcome& outcome) {
  CLI::App* check = AddGroup(app, "check", "measure a cluster by a workload");
  const auto add_flags = [](CLI::App* command, CheckFlags* flags) {
    command->add_option("--load", flags->load, "s(mall), m(edium), l(arge) or xl(arge)")->capture_default_str();
    command->add_option("--prefix", flags->prefix, "where to write; must be empty, and is so afterwards")
        ->capture_default_str();
    command->add_flag("--auto-compact", flags->auto_compact, "compact afterwards");
    command->add_flag("--auto-defrag", flags->auto_defrag, "defragment afterwards");
  };
  auto perf = std::make_shared<CheckFlags>();
  perf->prefix = "/etcdctl-check-perf/";
  CLI::App* command =
      AddCommand(*check, "perf", "whether the cluster keeps up with 150 (s) to 15000 (xl) writes/s", Formats::kIgnored,
                 context, outcome, [&context, perf] { return RunPerf(context, *perf); });
  add_flags(command, perf.get());
  command->add_option("--duration", perf->duration, "for how long")->capture_default_str();
  auto scale = std::make_shared<CheckFlags>();
  scale->prefix = "/etcdctl-check-datascale/";
  add_flags(
      AddCommand(*check, "datascale", "what 10,000 (s) to 3,000,000 (xl) pairs cost the first endpoint in memory",
                 Formats::kIgnored, context, outcome, [&context, scale] { return RunDatascale(context, *scale); }),
      scale.get());
}

}  // namespace keel::ctl
