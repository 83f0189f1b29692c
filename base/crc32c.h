#pragma once

// CRC-32C (Castagnoli), by the processor's instruction where it has one.

#include <cstdint>
#include <string_view>

namespace keel {

// The checksum of the bytes so far, continued over `data`; start with 0. Crc32c("123456789") == 0xe3069283.
uint32_t ExtendCrc32c(uint32_t crc, std::string_view data);

inline uint32_t Crc32c(std::string_view data) { return ExtendCrc32c(0, data); }

}  // namespace keel
