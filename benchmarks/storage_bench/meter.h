#pragma once

// What a piece of work costs: CPU time of this thread and of the whole process, wall time, memory.

#include <cstdint>

#include "absl/time/time.h"

namespace keel::bench {

struct Reading {
  absl::Duration thread_cpu;
  absl::Duration process_cpu;
  absl::Duration wall;
};

// Since some fixed moment; differences mean something.
Reading ReadMeter();
Reading operator-(const Reading& a, const Reading& b);

// Resident memory of this process: now, and the most since the last ResetPeak().
int64_t ResidentBytes();
int64_t PeakResidentBytes();
void ResetPeak();

}  // namespace keel::bench
