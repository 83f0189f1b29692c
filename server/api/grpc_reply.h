#pragma once

#include <grpcpp/support/byte_buffer.h>

#include "server/api/wire_reply.h"

namespace keel::server {

// The bytes as gRPC sends them, not copied. Their share of the budget is given back when gRPC has let go of the last of
// them: sent, or dropped with their call.
grpc::ByteBuffer ToByteBuffer(WireReply reply);

}  // namespace keel::server
