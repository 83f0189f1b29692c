#pragma once

// Reading ahead into the processor's caches. The index of millions of keys fits into none of them, and a search that
// waits for each line before it knows the next spends most of its time waiting.

#include <cstddef>

namespace keel::storage {

// The lines of [p, p + bytes), all of them on their way at once. Reads nothing, so any address will do.
inline void PrefetchLines(const void* p, size_t bytes) {
  constexpr size_t kLineBytes = 64;
  for (size_t at = 0; at < bytes; at += kLineBytes) __builtin_prefetch(static_cast<const char*>(p) + at);
}

}  // namespace keel::storage
