#pragma once

// Which path of the gateway is which RPC (rpc.md section 5.1).

#include <google/protobuf/descriptor.h>

#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"

namespace keel::server {

struct Route {
  std::string service;  // "etcdserverpb.KV"
  std::string method;   // "/etcdserverpb.KV/Put"
  // Null: this server has no such service.
  const google::protobuf::MethodDescriptor* descriptor = nullptr;

  bool streams() const {
    return descriptor != nullptr && (descriptor->server_streaming() || descriptor->client_streaming());
  }
};

// Thread-safe: fixed after construction.
class Routes {
 public:
  Routes();
  // "/v3/kv/put", or its old form "/v3beta/kv/put". Null when there is none.
  const Route* Find(std::string_view path) const;

 private:
  absl::flat_hash_map<std::string, Route> routes_;  // By what follows "/v3/".
};

}  // namespace keel::server
