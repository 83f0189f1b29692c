#pragma once

// The text of a transaction: comparisons, an empty line, what to do on success, an empty line, what to do on failure,
// an empty line (operations.md section 4.3).

#include <istream>
#include <ostream>
#include <string>

#include "absl/status/statusor.h"
#include "keel/txn.h"

namespace keel::ctl {

// `target("key") op "operand"`, for example: mod("a") > "7". kInvalidArgument with etcdctl's wording.
absl::StatusOr<Compare> ParseCompare(const std::string& line);
// A put, get or del with the flags of the command.
absl::StatusOr<Op> ParseOperation(const std::string& line);

// Reads the three parts. `prompts`: where to ask for them; null: silent.
absl::StatusOr<Txn> ReadTxn(std::istream& in, std::ostream* prompts);

}  // namespace keel::ctl
