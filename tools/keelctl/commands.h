#pragma once

// The command table: each function adds its commands to the command line. What a command came to is left in `outcome`.

#include <CLI/CLI.hpp>

#include "tools/keelctl/cli.h"

namespace keel::ctl {

void AddKvCommands(CLI::App& app, Context& context, Outcome& outcome);        // put, get, del, compaction
void AddTxnCommand(CLI::App& app, Context& context, Outcome& outcome);        // txn
void AddWatchCommand(CLI::App& app, Context& context, Outcome& outcome);      // watch
void AddLeaseCommands(CLI::App& app, Context& context, Outcome& outcome);     // lease ...
void AddLockCommands(CLI::App& app, Context& context, Outcome& outcome);      // lock, elect
void AddClusterCommands(CLI::App& app, Context& context, Outcome& outcome);   // member, move-leader, alarm, defrag
void AddEndpointCommands(CLI::App& app, Context& context, Outcome& outcome);  // endpoint ...
void AddSnapshotCommands(CLI::App& app, Context& context, Outcome& outcome);  // snapshot ...

// Adds a command whose body runs after parsing. `tables` says whether `-w table` has a meaning for it.
enum class Tables { kNo, kYes };
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& help, Tables tables,
                     Context& context, Outcome& outcome, std::function<Outcome()> body);

// SIGINT and SIGTERM turn into this for commands that hold something: they then let go and end in order.
class Interrupt {
 public:
  // Installs the handlers; once per process.
  static void Install();
  static bool happened();
  // Blocks until a signal came or `deadline`. True: it came.
  static bool Wait(absl::Time deadline);
};

}  // namespace keel::ctl
