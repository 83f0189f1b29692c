#pragma once

// A change as one line for a person: what happened to which key, at which revision.

#include <string>

#include "keel/types.h"

namespace keel::ctl {

// "rev 12  put     /config/a = "new"  (was "old", version 3)". `colour` adds the escapes of a terminal.
std::string EventLine(const Event& event, bool colour);

// Text as it is, when a line can hold it; else quoted with escapes; cut at `max` bytes with a count of the rest.
std::string Shown(const std::string& bytes, size_t max = 200);

}  // namespace keel::ctl
