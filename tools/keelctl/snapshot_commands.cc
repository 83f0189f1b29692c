#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "keel/client.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

// A line that writes over itself on a terminal; silent elsewhere.
class ProgressLine {
 public:
  explicit ProgressLine(std::ostream& err) : err_(err), shown_(isatty(STDERR_FILENO) == 1) {}
  ~ProgressLine() {
    if (percent_ >= 0) err_ << "\n";
  }

  void Show(uint64_t done, uint64_t left) {
    if (!shown_ || done + left == 0) return;
    const int percent = static_cast<int>(done * 100 / (done + left));
    if (percent == percent_) return;
    percent_ = percent;
    err_ << "\r" << percent << "% of " << HumanSize(static_cast<int64_t>(done + left)) << "   " << std::flush;
  }

 private:
  std::ostream& err_;
  const bool shown_;
  int percent_ = -1;
};

Outcome RunSave(Context& context, const std::string& file) {
  if (context.flags.endpoints.size() != 1) {
    return {kExitInterrupted, absl::StrCat("snapshot must be requested to one selected node, not multiple [",
                                           absl::StrJoin(context.flags.endpoints, " "), "]")};
  }
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  CallOptions call;
  if (context.flags.command_timeout_given) call.timeout = context.flags.command_timeout;
  absl::StatusOr<SavedSnapshot> saved;
  {
    ProgressLine progress(context.err);
    saved = (*client)->maintenance().SaveSnapshot(
        context.flags.endpoints.front(), file,
        [&](uint64_t received, uint64_t remaining) { progress.Show(received, remaining); }, call);
  }
  if (!saved.ok()) return Outcome::Of(saved.status(), kExitInterrupted);
  context.out << "Snapshot saved at " << file << "\n";
  if (!saved->version.empty()) context.out << "Server version " << saved->version << "\n";
  return Outcome::Ok();
}

}  // namespace

void AddSnapshotCommands(CLI::App& app, Context& context, Outcome& outcome) {
  CLI::App* snapshot = app.add_subcommand("snapshot", "backups of the whole state");
  snapshot->require_subcommand(1)->fallthrough();
  auto file = std::make_shared<std::string>();
  AddCommand(*snapshot, "save", "write the state of one member to a file", Tables::kYes, context, outcome,
             [&context, file] { return RunSave(context, *file); })
      ->add_option("file", *file, "the file to write")
      ->required();
}

}  // namespace keel::ctl
