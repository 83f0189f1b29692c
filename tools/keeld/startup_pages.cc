#include "tools/keeld/startup_pages.h"

#include <sys/mman.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <vector>

namespace keel::keeld {
namespace {

struct Mapping {
  uintptr_t begin = 0;
  uintptr_t end = 0;
};

// Those of files that are read or run, never written: no page of them differs from the file, so any can be read again.
// What the dynamic linker has relocated does differ; the system counts such pages as anonymous.
std::vector<Mapping> UnchangedFiles() {
  std::vector<Mapping> found;
  std::ifstream smaps("/proc/self/smaps");
  Mapping current;
  bool candidate = false;
  for (std::string line; std::getline(smaps, line);) {
    char mode[5] = "";
    char path[2] = "";
    uintptr_t begin = 0;
    uintptr_t end = 0;
    unsigned kib = 0;
    const int fields =
        std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %*s %1s", &begin, &end, mode, path);
    if (fields >= 3) {
      current = {.begin = begin, .end = end};
      candidate = fields == 4 && path[0] == '/' && mode[0] == 'r' && mode[1] == '-' && mode[3] == 'p';
    } else if (candidate && std::sscanf(line.c_str(), "Anonymous: %u", &kib) == 1 && kib == 0) {
      found.push_back(current);
    }
  }
  return found;
}

}  // namespace

void ReleaseStartupPages() {
  for (const Mapping& mapping : UnchangedFiles()) {
    madvise(reinterpret_cast<void*>(mapping.begin), mapping.end - mapping.begin, MADV_DONTNEED);
  }
}

}  // namespace keel::keeld
