#pragma once

// Addresses as members and clients write them: http://host:port, https://host:port, unix:///path, unixs:///path.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keel {

struct Url {
  enum class Scheme { kHttp, kHttps, kUnix, kUnixs };

  Scheme scheme = Scheme::kHttp;
  std::string host;   // Without brackets; empty for unix.
  uint16_t port = 0;  // 0 for unix, or "any free port" when listening.
  std::string path;   // Socket path; empty for http and https.

  bool is_unix() const { return scheme == Scheme::kUnix || scheme == Scheme::kUnixs; }
  bool is_tls() const { return scheme == Scheme::kHttps || scheme == Scheme::kUnixs; }

  // As it was written: "http://10.0.0.1:2379".
  std::string ToString() const;
  // What gRPC dials: "10.0.0.1:2379", "[::1]:2379", "unix:/path".
  std::string Target() const;

  friend bool operator==(const Url&, const Url&) = default;
};

// kInvalidArgument names the text and what is wrong with it.
absl::StatusOr<Url> ParseUrl(std::string_view text);
// Comma-separated; sorted, without duplicates. Empty text gives an empty list.
absl::StatusOr<std::vector<Url>> ParseUrlList(std::string_view text);
// A client's endpoint: a URL, or a bare host:port, which is taken as http.
absl::StatusOr<Url> ParseEndpoint(std::string_view text);

}  // namespace keel
