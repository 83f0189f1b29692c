#pragma once

// The running hash over everything that changes keys, leases, alarms and the compact revision, in the order of the log:
// equal on all members that have applied the same entries to the same beginning, whatever they have compacted, flushed
// or grouped. It is stored with the applied position, so it goes on after a restart and travels in snapshots.

#include <cstdint>
#include <deque>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace keel::storage {

// A few nanoseconds per change besides the CRC-32C of its bytes. The values are compared between members of different
// versions: what is hashed and how is part of the format.
class RunningHash {
 public:
  explicit RunningHash(uint64_t value = 0) : value_(value) {}

  // One change: what kind it is, and its bytes in two parts.
  void Add(char kind, std::string_view first, std::string_view second = {});
  uint64_t value() const { return value_; }

 private:
  uint64_t value_;
};

struct HashSample {
  uint64_t index = 0;  // Log position.
  uint64_t hash = 0;   // After that entry.

  friend bool operator==(const HashSample&, const HashSample&) = default;
};

// The recent past of a running hash at places where other members remember it, too. Thread-safe.
class HashTrail {
 public:
  static constexpr uint64_t kEvery = 256;  // Indexes that are a multiple are kept.
  static constexpr size_t kKept = 128;

  static bool IsPlace(uint64_t index) { return index % kEvery == 0; }

  // `samples` ascending and after all before; `current` is the last entry applied.
  void Extend(const std::vector<HashSample>& samples, HashSample current);
  // Ascending; the last one is the newest entry applied.
  std::vector<HashSample> Samples() const;

 private:
  mutable absl::Mutex mu_;
  std::deque<HashSample> places_ ABSL_GUARDED_BY(mu_);
  HashSample current_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::storage
