#pragma once

namespace keel {

// Who carries out what a class has to do by itself, at a time or after an event: a thread of its own, or its owner, who
// calls Poll() until nothing is left to do and again when time has passed. In simulation, order and time are the
// world's, so the world is the owner.
enum class Drive { kThread, kOwner };

}  // namespace keel
