#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "keel/client.h"
#include "server/restore/restore.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/growth_watch.h"
#include "tools/keelctl/progress_bar.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

Outcome RunSave(Context& context, const std::string& file) {
  if (context.flags.endpoints.size() != 1) {
    return {kExitInterrupted,
            absl::StrCat("snapshot must be requested to one selected node, not multiple [",
                         absl::StrJoin(context.flags.endpoints, " "), "]; name one with --endpoints")};
  }
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  CallOptions call;
  if (context.flags.command_timeout_given) call.timeout = context.flags.command_timeout;
  absl::StatusOr<SavedSnapshot> saved;
  {
    ProgressBar bar(context.err, "saving");
    saved = (*client)->maintenance().SaveSnapshot(
        context.flags.endpoints.front(), file,
        [&](uint64_t received, uint64_t remaining) {
          const double total = static_cast<double>(received + remaining);
          bar.Show(static_cast<double>(received), total,
                   absl::StrCat(HumanSize(static_cast<int64_t>(received)), " of ",
                                HumanSize(static_cast<int64_t>(received + remaining))));
        },
        call);
  }
  if (!saved.ok()) return Outcome::Of(saved.status(), kExitInterrupted);
  context.out << "Snapshot saved at " << file << "\n";
  if (!saved->version.empty()) context.out << "Server version " << saved->version << "\n";
  return Outcome::Ok();
}

// The flags of restore and import, as given.
struct RestoreFlags {
  std::string file;
  std::string data_dir;
  std::string name = "default";
  std::string initial_cluster;
  std::string token = "etcd-cluster";
  std::string peer_urls = "http://localhost:2380";
  int64_t bump_revision = 0;
  bool mark_compacted = false;
  bool skip_hash_check = false;
  bool drop_auth = false;
};

absl::StatusOr<server::RestoreOptions> OptionsOf(const RestoreFlags& flags) {
  server::RestoreOptions options;
  options.file = flags.file;
  options.name = flags.name;
  options.data_dir = flags.data_dir.empty() ? absl::StrCat(flags.name, ".keel") : flags.data_dir;
  const std::string cluster =
      flags.initial_cluster.empty() ? absl::StrCat(flags.name, "=http://localhost:2380") : flags.initial_cluster;
  KEEL_ASSIGN_OR_RETURN(options.initial_cluster, server::ParseInitialCluster(cluster));
  options.initial_cluster_token = flags.token;
  KEEL_ASSIGN_OR_RETURN(options.initial_advertise_peer_urls, ParseUrlList(flags.peer_urls));
  options.bump_revision = flags.bump_revision;
  options.skip_hash_check = flags.skip_hash_check;
  options.drop_auth = flags.drop_auth;
  return options;
}

Outcome RunRestore(Context& context, const RestoreFlags& flags,
                   absl::StatusOr<server::Restored> (*restore)(const server::RestoreOptions&)) {
  if (flags.bump_revision < 0) return Outcome::BadArguments("--bump-revision must not be negative");
  if (flags.bump_revision > 0 && !flags.mark_compacted) {
    return Outcome::BadArguments("--mark-compacted required if --revision-bump > 0");
  }
  if (flags.mark_compacted && flags.bump_revision == 0) {
    return Outcome::BadArguments("--mark-compacted needs --bump-revision: without it the old revisions stay in use");
  }
  const auto options = OptionsOf(flags);
  if (!options.ok()) return Outcome::Of(options.status());
  absl::StatusOr<server::Restored> restored;
  {
    ProgressBar bar(context.err, "restoring");
    std::error_code unknown;
    const auto bytes = std::filesystem::file_size(options->file, unknown);
    // Where a restore works until it is complete (see RestoreSnapshot).
    GrowthWatch watch(bar, absl::StrCat(options->data_dir, ".restoring"), unknown ? 0 : static_cast<int64_t>(bytes));
    restored = restore(*options);
  }
  if (!restored.ok()) return Outcome::Of(restored.status());
  context.err << "restored " << restored->keys << " keys and " << restored->leases << " leases at revision "
              << restored->revision << " into " << options->data_dir << ": member "
              << absl::StrCat(absl::Hex(restored->member_id)) << " of cluster "
              << absl::StrCat(absl::Hex(restored->cluster_id)) << "\n";
  return Outcome::Ok();
}

Outcome RunFileStatus(Context& context, const std::string& file) {
  const auto facts = server::ExamineBackup(file, /*skip_hash_check=*/false);
  if (!facts.ok()) return Outcome::Of(facts.status());
  const std::string hash = absl::StrCat(absl::Hex(facts->hash));
  std::ostream& out = context.out;
  switch (context.flags.format) {
    case Format::kSimple:
      out << hash << ", " << facts->revision << ", " << facts->keys << ", " << HumanSize(facts->bytes) << ", "
          << facts->version << "\n";
      break;
    case Format::kJson:
      out << absl::StrCat(R"({"hash":)", facts->hash, R"(,"revision":)", facts->revision, R"(,"totalKey":)",
                          facts->keys, R"(,"totalSize":)", facts->bytes, R"(,"version":")", facts->version, "\"}\n");
      break;
    case Format::kFields:
      out << "\"Hash\" : " << facts->hash << "\n\"Revision\" : " << facts->revision << "\n\"Keys\" : " << facts->keys
          << "\n\"Size\" : " << facts->bytes << "\n\"Version\" : \"" << facts->version << "\"\n";
      break;
    case Format::kProtobuf:  // Refused before it came here.
      break;
    case Format::kTable: {
      Table table({"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE", "VERSION"});
      table.AddRow(
          {hash, absl::StrCat(facts->revision), absl::StrCat(facts->keys), HumanSize(facts->bytes), facts->version});
      out << table.ToString();
      break;
    }
  }
  return Outcome::Ok();
}

void AddRestoreFlags(CLI::App* command, RestoreFlags* flags) {
  command->add_option("file", flags->file, "the backup")->required();
  command->add_option("--data-dir", flags->data_dir, "the directory to make (default NAME.keel)");
  command->add_option("--name", flags->name, "the member's name")->capture_default_str();
  command->add_option("--initial-cluster", flags->initial_cluster,
                      "the new cluster's members (default NAME=http://localhost:2380)");
  command->add_option("--initial-cluster-token", flags->token, "the new cluster's token")->capture_default_str();
  command->add_option("--initial-advertise-peer-urls", flags->peer_urls, "this member's URLs in --initial-cluster")
      ->capture_default_str();
  command->add_option("--bump-revision", flags->bump_revision, "add this to the revision in the backup");
  command->add_flag("--mark-compacted", flags->mark_compacted,
                    "compact everything up to the bumped revision, so that watchers and caches start over");
  command->add_flag("--skip-hash-check", flags->skip_hash_check, "take a file without a digest");
}

}  // namespace

void AddSnapshotCommands(CLI::App& app, Context& context, Outcome& outcome) {
  CLI::App* snapshot = AddGroup(app, "snapshot", "backups of the whole state");
  auto file = std::make_shared<std::string>();
  AddCommand(*snapshot, "save", "write the state of one member to a file", Formats::kIgnored, context, outcome,
             [&context, file] { return RunSave(context, *file); })
      ->add_option("file", *file, "the file to write")
      ->required();
  AddCommand(*snapshot, "status", "say what is in a backup", Formats::kNoProtobuf, context, outcome,
             [&context, file] { return RunFileStatus(context, *file); })
      ->add_option("file", *file, "the backup")
      ->required();

  auto flags = std::make_shared<RestoreFlags>();
  AddRestoreFlags(AddCommand(*snapshot, "restore", "make a member's data directory of a new cluster out of a backup",
                             Formats::kIgnored, context, outcome,
                             [&context, flags] { return RunRestore(context, *flags, server::RestoreSnapshot); }),
                  flags.get());
  CLI::App* import =
      AddCommand(*snapshot, "import-etcd", "the same, out of a snapshot that etcd saved", Formats::kIgnored, context,
                 outcome, [&context, flags] { return RunRestore(context, *flags, server::RestoreEtcdSnapshot); });
  AddRestoreFlags(import, flags.get());
  import->add_flag("--drop-auth", flags->drop_auth, "leave users and roles behind: every client may do everything");
}

}  // namespace keel::ctl
