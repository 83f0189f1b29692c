#pragma once

// The command table: each function adds its commands to the command line. What a command came to is left in `outcome`.

#include <CLI/CLI.hpp>

#include "tools/keelctl/cli.h"
#include "tools/keelctl/interrupt.h"

namespace keel::ctl {

void AddKvCommands(CLI::App& app, Context& context, Outcome& outcome);        // put, get, del, compaction
void AddTxnCommand(CLI::App& app, Context& context, Outcome& outcome);        // txn
void AddWatchCommand(CLI::App& app, Context& context, Outcome& outcome);      // watch
void AddHistoryCommands(CLI::App& app, Context& context, Outcome& outcome);   // history, diff
void AddLeaseCommands(CLI::App& app, Context& context, Outcome& outcome);     // lease ...
void AddLockCommands(CLI::App& app, Context& context, Outcome& outcome);      // lock, elect
void AddClusterCommands(CLI::App& app, Context& context, Outcome& outcome);   // member, move-leader, alarm, defrag
void AddEndpointCommands(CLI::App& app, Context& context, Outcome& outcome);  // endpoint ...
void AddSnapshotCommands(CLI::App& app, Context& context, Outcome& outcome);  // snapshot ...
void AddCheckCommands(CLI::App& app, Context& context, Outcome& outcome);     // check ...
void AddMirrorCommand(CLI::App& app, Context& context, Outcome& outcome);     // make-mirror
void AddTopCommand(CLI::App& app, Context& context, Outcome& outcome);        // top
void AddDoctorCommand(CLI::App& app, Context& context, Outcome& outcome);     // doctor
void AddToolCommands(CLI::App& app, Context& context, Outcome& outcome);      // completion, man, version

// All of these, in the groups of the help page.
void AddAllCommands(CLI::App& app, Context& context, Outcome& outcome);

// The formats of -w that a command has; another one is refused before the command does anything.
enum class Formats {
  kAll,
  kNoTable,
  kNoProtobuf,
  kTextOrJson,
  kIgnored,  // It prints the same whatever -w says.
};

// Groups of the help page. A command without a group is not shown.
inline constexpr const char kKeyValueGroup[] = "Keys and values";
inline constexpr const char kCoordinationGroup[] = "Coordination";
inline constexpr const char kOperationsGroup[] = "Operating a cluster";
inline constexpr const char kToolGroup[] = "About keelctl";

// Adds a command whose body runs after parsing.
CLI::App* AddCommand(CLI::App& parent, const std::string& name, const std::string& help, Formats formats,
                     Context& context, Outcome& outcome, std::function<Outcome()> body);
// Adds a command that only has others below it.
CLI::App* AddGroup(CLI::App& parent, const std::string& name, const std::string& help);

}  // namespace keel::ctl
