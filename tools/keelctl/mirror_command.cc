#include <memory>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/mirror.h"
#include "tools/keelctl/progress_bar.h"

namespace keel::ctl {
namespace {

constexpr absl::Duration kReportEvery = absl::Seconds(30);

struct MirrorFlags {
  std::vector<std::string> destinations;
  std::string prefix;
  std::string dest_prefix;
  bool no_dest_prefix = false;
  int64_t revision = 0;
  size_t txn_ops_max = 128;
  std::string position_key;
  RawTlsFlags tls;
  CLI::Option* dest_prefix_option = nullptr;
};

Outcome RunMirror(Context& context, const MirrorFlags& flags) {
  if (flags.destinations.size() != 1) return Outcome::BadArguments("make-mirror takes one destination argument");
  if (flags.no_dest_prefix && flags.dest_prefix_option->count() > 0) {
    return Outcome::BadArguments("`--dest-prefix` and `--no-dest-prefix` cannot be set at the same time, choose one");
  }
  if (flags.revision < 0) return Outcome::BadArguments("--rev must not be negative");
  if (flags.txn_ops_max < 2) return Outcome::BadArguments("--max-txn-ops must be 2 or more");
  auto source = context.client();
  if (!source.ok()) return Outcome::Of(source.status(), kExitBadConnection);
  ClientOptions options = context.flags.client_options();
  options.endpoints.clear();
  for (const absl::string_view endpoint : absl::StrSplit(flags.destinations[0], ',', absl::SkipWhitespace())) {
    options.endpoints.push_back(flags.tls.WithScheme(std::string(endpoint)));
  }
  options.tls = flags.tls.options();
  auto destination = Client::Create(options);
  if (!destination.ok()) return Outcome::Of(destination.status(), kExitBadConnection);

  Interrupt::Install();
  ProgressBar bar(context.err, "mirroring");
  int64_t keys = 0;
  int64_t of_first_copy = 0;
  absl::Time reported = absl::Now();
  const auto report = [&](int64_t more, int64_t total) {
    keys += more;
    if (total > 0) {
      of_first_copy += more;
      bar.Show(static_cast<double>(of_first_copy), static_cast<double>(total), absl::StrCat(keys, " keys"));
    } else {
      bar.Show(0, 0, absl::StrCat(keys, " keys, following"));
    }
    if (absl::Now() - reported < kReportEvery) return;
    reported = absl::Now();
    context.out << keys << "\n" << std::flush;
  };
  const std::string dest_prefix = flags.no_dest_prefix                    ? ""
                                  : flags.dest_prefix_option->count() > 0 ? flags.dest_prefix
                                                                          : flags.prefix;
  Mirror mirror(**source, **destination,
                {.prefix = flags.prefix,
                 .dest_prefix = dest_prefix,
                 .start_revision = flags.revision,
                 .txn_ops_max = flags.txn_ops_max,
                 .position_key = flags.position_key},
                report);
  const absl::Status ended = mirror.Run([] { return Interrupt::happened(); });
  context.out << keys << "\n" << std::flush;
  return Interrupt::happened() ? Outcome::Ok() : Outcome::Of(ended);
}

}  // namespace

void AddMirrorCommand(CLI::App& app, Context& context, Outcome& outcome) {
  auto flags = std::make_shared<MirrorFlags>();
  CLI::App* command = AddCommand(app, "make-mirror", "keep a copy of a prefix in another cluster", Formats::kIgnored,
                                 context, outcome, [&context, flags] { return RunMirror(context, *flags); });
  command->add_option("destination", flags->destinations, "endpoints of the other cluster, comma-separated");
  command->add_option("--prefix", flags->prefix, "what to copy; everything if empty");
  flags->dest_prefix_option =
      command->add_option("--dest-prefix", flags->dest_prefix, "takes the place of --prefix in the copy");
  command->add_flag("--no-dest-prefix", flags->no_dest_prefix, "the copy's keys have no prefix");
  command->add_option("--rev", flags->revision, "copy only changes, from this revision on");
  command->add_option("--max-txn-ops", flags->txn_ops_max, "largest transaction the destination takes")
      ->capture_default_str();
  command->add_option("--resume", flags->position_key,
                      "a key of the destination that remembers how far the mirror has come; it goes on from there");
  command->add_option("--dest-cacert", flags->tls.cacert, "the CA bundle for the destination")->type_name("FILE");
  command->add_option("--dest-cert", flags->tls.cert, "this client's certificate there")->type_name("FILE");
  command->add_option("--dest-key", flags->tls.key, "the key of --dest-cert")->type_name("FILE");
  command->add_flag("--dest-insecure-transport", flags->tls.insecure_transport,
                    "no TLS for a destination without a scheme (the default)");
  command->add_flag("--dest-insecure-skip-tls-verify", flags->tls.insecure_skip_tls_verify,
                    "trust any certificate of the destination; for tests only");
}

}  // namespace keel::ctl
