#pragma once

// A bound, listening stream socket for a URL.

#include "absl/status/statusor.h"
#include "base/url.h"

namespace keel::server {

struct ListenSocket {
  int fd = -1;  // Owned by whoever holds this; non-blocking.
  Url url;      // As asked for, with the real port.
};

// kUnavailable "listen tcp 127.0.0.1:2379: bind: address already in use" and the like. A unix socket file that nobody
// listens on any more is replaced.
absl::StatusOr<ListenSocket> OpenListenSocket(const Url& url);

}  // namespace keel::server
