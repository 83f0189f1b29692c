#pragma once

// absl::Status to gRPC status and back: the codes are the same numbers, the text travels unchanged. Linked by the rooms
// that speak gRPC only.

#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace keel {

inline grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      std::string(status.message().data(), status.message().size()));
}

inline absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

}  // namespace keel
