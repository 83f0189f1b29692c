#pragma once

// Executes the commands of a scenario (README.md has the list) on one Group. Owned by one thread.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/scenarios/group.h"

namespace keel::raft::scenario {

// One command, taken apart: words, and key=value pairs; a value may be a list in parentheses.
struct Command {
  std::string line;  // As written.
  std::string name;
  std::vector<std::string> words;
  std::map<std::string, std::string> options;

  static absl::StatusOr<Command> Parse(std::string_view line);
};

class Interpreter {
 public:
  Interpreter();

  // What it printed, in lines.
  std::string Execute(const std::string& line);
  // The first error in a command, false `expect`, or broken invariant. Empty: none.
  const std::string& failure() const { return failure_; }
  uint64_t comparisons() const { return group_.oracle().comparisons() + expectations_; }

 private:
  using Handler = std::function<absl::Status(const Command&)>;

  absl::Status AddNodes(const Command& command);
  absl::Status Deliver(const Command& command);
  absl::Status Inject(const Command& command);
  absl::Status Drop(const Command& command);
  absl::Status Duplicate(const Command& command);
  absl::Status Cut(const Command& command);
  absl::Status Partition(const Command& command);
  absl::Status Propose(const Command& command);
  absl::Status ChangeMembership(const Command& command);
  absl::Status Timeout(const Command& command);
  absl::Status Elect(const Command& command);
  absl::Status Crash(const Command& command);
  absl::Status Restart(const Command& command);
  absl::Status Truncate(const Command& command);
  absl::Status Hold(const Command& command);
  absl::Status Damage(const Command& command);
  absl::Status Say(const Command& command);
  absl::Status Expect(const Command& command);

  // The members a word names: "2", "1,3", "all". Of those that are up, if `up`.
  absl::StatusOr<std::vector<MemberId>> Members(const std::string& word, bool up = true) const;
  absl::StatusOr<MemberId> OneUp(const Command& command, size_t word = 0) const;
  // Calls `act` for each member that the first word names (all, when there is none).
  absl::Status ForEach(const Command& command, const std::function<void(MemberId)>& act);
  // The numbers of the parcels that "FROM->TO", a kind and "all", "last" or "first" select, in order of sending.
  absl::StatusOr<std::vector<uint64_t>> Select(const Command& command) const;
  void Print(const std::string& line) { printed_ += line + "\n"; }
  void PrintNotes();

  Group group_;
  std::map<std::string, Handler> handlers_;
  std::string printed_;
  std::string failure_;
  uint64_t expectations_ = 0;
};

}  // namespace keel::raft::scenario
