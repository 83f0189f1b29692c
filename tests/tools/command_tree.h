#pragma once

// The whole command tree, as Run builds it, for tests that look at it.

#include <CLI/CLI.hpp>
#include <sstream>

#include "tools/keelctl/commands.h"

namespace keel::ctl {

struct CommandTree {
  CommandTree() {
    app.set_help_flag();
    raw.AddTo(app, /*base64=*/false);
    AddAllCommands(app, context, outcome);
  }

  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  Context context{in, out, err};
  Outcome outcome;
  RawFlags raw;
  CLI::App app{"reads and writes", "keelctl"};
};

}  // namespace keel::ctl
