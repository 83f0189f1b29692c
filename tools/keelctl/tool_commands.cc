#include <memory>

#include "base/version.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/completion.h"
#include "tools/keelctl/help_page.h"

namespace keel::ctl {

void AddToolCommands(CLI::App& app, Context& context, Outcome& outcome) {
  auto shell = std::make_shared<std::string>();
  AddCommand(app, "completion", "print a script that completes commands and flags in a shell", Formats::kIgnored,
             context, outcome,
             [&app, &context, shell] {
               auto script = CompletionScript(*shell, app.get_name());
               if (!script.ok()) return Outcome::Of(script.status(), kExitBadFeature);
               context.out << *script;
               return Outcome::Ok();
             })
      ->add_option("shell", *shell, "bash, zsh or fish")
      ->required();

  AddCommand(app, "man", "print the manual page", Formats::kIgnored, context, outcome, [&app, &context] {
    context.out << ManPage(app);
    return Outcome::Ok();
  });
  AddCommand(app, "version", "print the versions of keelctl and of the protocol", Formats::kIgnored, context, outcome,
             [&context] {
               const std::string protocol = kProtocolVersion;
               context.out << "keelctl version: " << kVersion
                           << "\nAPI version: " << protocol.substr(0, protocol.rfind('.')) << "\n";
               return Outcome::Ok();
             });
}

}  // namespace keel::ctl
