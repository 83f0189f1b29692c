#pragma once

// The words that generated requests are made of: few enough that requests meet each other, odd enough to hit the edges.

#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/random.h"

namespace keel::differential {

// Owned by one thread.
class Vocabulary {
 public:
  explicit Vocabulary(uint64_t seed) : random_(seed) {}

  Random& random() { return random_; }
  bool Chance(double p) { return random_.Chance(p); }
  int64_t Between(int64_t first, int64_t last) { return random_.Between(first, last); }
  int64_t OneOf(std::initializer_list<int64_t> values);

  std::string Key();
  // For a range that begins at `key`: none, all from there on, its prefix, another key before or after, itself.
  std::string RangeEnd(const std::string& key);
  std::string Value();
  // To read at or watch from: mostly of the sequence's own lifetime, sometimes compacted, ahead or nonsense.
  int64_t Revision();
  // To filter or compare by.
  int64_t SomeRevision();
  // An id out of few: chosen by the client, by the server, or granted by nobody.
  int64_t Lease();
  int64_t Ttl();

 private:
  Random random_;
};

}  // namespace keel::differential
