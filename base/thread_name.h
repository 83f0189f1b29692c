#pragma once

// Names the calling thread, for top, perf and gdb. At most 15 characters; longer names are cut.

#include <sys/prctl.h>

namespace keel {

inline void NameThread(const char* name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

}  // namespace keel
