#pragma once

#include <variant>

#include "absl/status/status.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"

namespace keel::server {

// What applying one command came to, for the call that waits for it. The same on every member. Response headers carry
// only what the contract says an apply sets (the revision); the api adds the rest.
struct ApplyResult {
  absl::Status status;   // Exact v3 code and text; not OK: nothing changed, `response` is empty.
  int64_t revision = 0;  // Keyspace revision after the command.
  std::variant<std::monostate, etcdserverpb::PutResponse, etcdserverpb::DeleteRangeResponse, etcdserverpb::TxnResponse,
               etcdserverpb::CompactionResponse, etcdserverpb::LeaseGrantResponse, etcdserverpb::LeaseRevokeResponse,
               etcdserverpb::AlarmResponse>
      response;
};

}  // namespace keel::server
