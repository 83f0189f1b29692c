#include "meter.h"

#include <ctime>
#include <fstream>
#include <string>

namespace keel::bench {
namespace {

absl::Duration Read(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return absl::Seconds(now.tv_sec) + absl::Nanoseconds(now.tv_nsec);
}

// A line "NAME:  123 kB" of /proc/self/status.
int64_t StatusBytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word != name) continue;
    int64_t kibibytes = 0;
    status >> kibibytes;
    return kibibytes << 10;
  }
  return 0;
}

}  // namespace

Reading ReadMeter() {
  return {.thread_cpu = Read(CLOCK_THREAD_CPUTIME_ID),
          .process_cpu = Read(CLOCK_PROCESS_CPUTIME_ID),
          .wall = Read(CLOCK_MONOTONIC)};
}

Reading operator-(const Reading& a, const Reading& b) {
  return {
      .thread_cpu = a.thread_cpu - b.thread_cpu, .process_cpu = a.process_cpu - b.process_cpu, .wall = a.wall - b.wall};
}

int64_t ResidentBytes() { return StatusBytes("VmRSS:"); }
int64_t PeakResidentBytes() { return StatusBytes("VmHWM:"); }
void ResetPeak() { std::ofstream("/proc/self/clear_refs") << "5"; }

}  // namespace keel::bench
