#pragma once

// Why an endpoint could not be connected to, in words for a person. Pure.

#include <string>
#include <string_view>

namespace keel::client {

// "connection refused" out of the text of a call that gRPC failed for want of a connection to `endpoint`. What is not
// known is kept as gRPC says it, without its preamble.
std::string ConnectCause(std::string_view endpoint, std::string_view text);

// The text of an error that an endpoint was reached with. Who answers as no server of this protocol does is named:
// "endpoint 10.0.0.9:80: this is no Keel or etcd server: it answers with HTTP status 404". Others are kept.
std::string NameStranger(std::string_view endpoint, std::string_view text);

}  // namespace keel::client
