#pragma once

// Fixed-width integers as bytes. Big-endian where byte order must sort as numbers do, little-endian in records.

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace keel {

static_assert(std::endian::native == std::endian::little, "Keel's codecs assume a little-endian machine");

inline void AppendBigEndian32(uint32_t v, std::string* out) {
  v = __builtin_bswap32(v);
  out->append(reinterpret_cast<const char*>(&v), sizeof v);
}
inline void AppendBigEndian64(uint64_t v, std::string* out) {
  v = __builtin_bswap64(v);
  out->append(reinterpret_cast<const char*>(&v), sizeof v);
}
inline void AppendLittleEndian32(uint32_t v, std::string* out) {
  out->append(reinterpret_cast<const char*>(&v), sizeof v);
}
inline void AppendLittleEndian64(uint64_t v, std::string* out) {
  out->append(reinterpret_cast<const char*>(&v), sizeof v);
}

// REQUIRES: `p` points at that many readable bytes.
inline uint32_t ReadBigEndian32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap32(v);
}
inline uint64_t ReadBigEndian64(const char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return __builtin_bswap64(v);
}
inline uint32_t ReadLittleEndian32(const char* p) {
  uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}
inline uint64_t ReadLittleEndian64(const char* p) {
  uint64_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

}  // namespace keel
