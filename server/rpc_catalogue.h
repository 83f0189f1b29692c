#pragma once

// Every RPC of the v3 protocol (rpc.md section 1.2), for metrics that exist before the first call.

#include <span>

#include "server/metrics.h"

namespace keel::server {

struct RpcMethod {
  const char* service;
  const char* method;
  RpcKind kind;
};

std::span<const RpcMethod> RpcCatalogue();

}  // namespace keel::server
