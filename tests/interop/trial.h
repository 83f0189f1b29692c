#pragma once

// One client program, or two at once, against a cluster of three.

#include <string>

#include "absl/status/status.h"
#include "tests/interop/client_program.h"

namespace keel::interop {

// The program tells all its stories against members of `server`. An error says which did not hold.
absl::Status RunStories(const ClientProgram& program, const std::string& server);

// Both programs add to one counter, by reading it and then writing it, under a lock of one name; the sum must be exact
// and the lock must have changed hands. kInvalidArgument: they do not share a lock protocol.
absl::Status RunPair(const ClientProgram& one, const ClientProgram& other, const std::string& server);

}  // namespace keel::interop
