#pragma once

// Why an endpoint could not be connected to, in words for a person. Pure.

#include <string>
#include <string_view>

namespace keel::client {

// "connection refused" out of the text of a call that gRPC failed for want of a connection. What is not known is kept
// as gRPC says it, without its preamble.
std::string ConnectCause(std::string_view text);

}  // namespace keel::client
