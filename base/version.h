#pragma once

namespace keel {

// Keel's own release.
inline constexpr const char kVersion[] = "0.1.0";
// The release of the v3 protocol that clients are told (Status, /version): clients switch features by it, and some
// parse every part as an integer.
inline constexpr const char kProtocolVersion[] = "3.6.0";
inline constexpr const char kProtocolClusterVersion[] = "3.6.0";

}  // namespace keel
