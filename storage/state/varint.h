#pragma once

// Base-128 integers, least significant group first, as on the wire of protobuf.

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace keel::storage {

inline constexpr size_t kVarintBytesMax = 10;

// Writes `v` at `p` and returns what follows it. REQUIRES: kVarintBytesMax bytes of room.
inline char* PutVarint(uint64_t v, char* p) {
  while (v >= 0x80) {
    *p++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *p++ = static_cast<char>(v);
  return p;
}

// Reads one that PutVarint wrote; moves `*p` behind it. REQUIRES: it is whole.
inline uint64_t GetVarint(const char** p) {
  uint64_t byte = static_cast<uint8_t>(*(*p)++);
  if (byte < 0x80) return byte;
  uint64_t v = byte & 0x7f;
  for (int shift = 7; byte >= 0x80 && shift < 64; shift += 7) {
    byte = static_cast<uint8_t>(*(*p)++);
    v |= (byte & 0x7f) << shift;
  }
  return v;
}

// Reads one from the front of `*bytes`, whoever wrote it. False: it is cut off, too long, or not as PutVarint has it;
// `*bytes` is as it was.
inline bool TakeVarint(std::string_view* bytes, uint64_t* v) {
  uint64_t result = 0;
  for (size_t i = 0; i < bytes->size() && i < kVarintBytesMax; ++i) {
    const uint64_t byte = static_cast<uint8_t>((*bytes)[i]);
    if (i == kVarintBytesMax - 1 && byte > 1) return false;
    result |= (byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      if (byte == 0 && i > 0) return false;  // Longer than PutVarint makes it: not ours.
      bytes->remove_prefix(i + 1);
      *v = result;
      return true;
    }
  }
  return false;
}

}  // namespace keel::storage
