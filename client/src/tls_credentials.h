#pragma once

// How channels to https and unixs endpoints prove who they are, and whom they trust.

#include <grpcpp/grpcpp.h>

#include <memory>

#include "absl/status/statusor.h"
#include "keel/options.h"

namespace keel::client {

// Reads the files once. gRPC itself would find out about a bad one when it connects, and say no more than that it could
// not; so kNotFound names a file that cannot be read, kInvalidArgument one that does not hold what it should.
absl::StatusOr<std::shared_ptr<grpc::ChannelCredentials>> TlsCredentials(const TlsOptions& options);

}  // namespace keel::client
