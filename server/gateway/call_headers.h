#pragma once

// What the headers of an HTTP request mean to the call behind it (rpc.md section 5.5).

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "server/http/http_handler.h"

namespace keel::server {

struct CallHeaders {
  absl::Time deadline = absl::InfiniteFuture();  // Grpc-Timeout, from when the request was read.
  // Legal for gRPC, which takes no excuses: names in lower case, values printable unless the name ends in "-bin".
  std::vector<std::pair<std::string, std::string>> metadata;
};

// kInvalidArgument names the header that cannot be understood. Headers that mean nothing here are left out.
absl::StatusOr<CallHeaders> ReadCallHeaders(const HttpRequest& request, absl::Time now);

}  // namespace keel::server
