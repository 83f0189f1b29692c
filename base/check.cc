#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace keel::internal {

CheckFailure::CheckFailure(const char* file, int line, const char* condition) {
  stream_ << "keel: check failed at " << file << ":" << line << ": " << condition << " ";
}

CheckFailure::~CheckFailure() {
  const std::string text = stream_.str();
  std::fprintf(stderr, "%s\n", text.c_str());
  std::fflush(stderr);
  std::abort();
}

}  // namespace keel::internal
