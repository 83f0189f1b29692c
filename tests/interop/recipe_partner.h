#pragma once

// Our side of the story "recipes", in which another language's client and ours use the same keys.

#include <string_view>

#include "absl/status/status.h"
#include "keel/client.h"

namespace keel::interop {

// Does one step, which may wait for the other side; an error says what was not as it should be.
//   take     the other has put "go 1" and "go 2" into the queue "recipes/queue", "go late" of priority 9 into
//            "recipes/priorities", holds "recipes/lock" for reading, and gets "ours" and "ours urgent", "ours later"
//   wait     the other holds "recipes/lock" for writing and lets go when we wait
//   pass     the other holds the barrier "recipes/gate" and releases it
//   meet     the other enters and leaves the meeting "recipes/meeting" of two
absl::Status UseRecipes(Client& client, std::string_view step);

}  // namespace keel::interop
