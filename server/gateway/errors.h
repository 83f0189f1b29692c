#pragma once

// How a gRPC status looks over HTTP (rpc.md section 5.3).

#include <string>

#include "absl/status/status.h"
#include "server/http/http_handler.h"

namespace keel::server {

int HttpStatusOf(absl::StatusCode code);

// The whole answer to a call that failed. Its body serves clients of every generation: "error" and "message" hold the
// same text.
HttpResponse ErrorResponse(const absl::Status& status);

// {"error":{...}} and a newline: how a stream fails, before or after its first message.
std::string StreamErrorLine(const absl::Status& status);
HttpResponse StreamErrorResponse(const absl::Status& status);

}  // namespace keel::server
