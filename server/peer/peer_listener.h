#pragma once

#include "absl/status/status.h"
#include "base/url.h"

namespace keel::server {

// Tries to take the address, and lets it go: gRPC would only say that it could not. kUnavailable
// "listen tcp 10.0.0.1:2380: bind: address already in use" and the like.
absl::Status ProbeListenAddress(const Url& url);

}  // namespace keel::server
