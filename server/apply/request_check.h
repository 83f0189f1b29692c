#pragma once

// What can be said of a request without looking at any state: is it well-formed, and what does it cost. Pure; the texts
// are the exact ones of the v3 protocol (rpc.md sections 2 and 3), because clients compare them.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "absl/status/status.h"
#include "base/random.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"

namespace keel::server {

// All of them: OK, or what the caller has to fix.
//   kInvalidArgument  key is not provided | key not found (an operation with nothing set) | value is provided |
//                     lease is provided | invalid sort option | too many operations in txn request |
//                     duplicate key given in txn request
//   kOutOfRange       too large lease TTL
absl::Status CheckRange(const etcdserverpb::RangeRequest& request);
absl::Status CheckPut(const etcdserverpb::PutRequest& request);
absl::Status CheckDeleteRange(const etcdserverpb::DeleteRangeRequest& request);
// The whole tree, both branches, nested transactions included. `ops_max` is --max-txn-ops; a nested transaction gets
// what its parent's longest list leaves over.
absl::Status CheckTxn(const etcdserverpb::TxnRequest& request, size_t ops_max);
absl::Status CheckLeaseGrant(const etcdserverpb::LeaseGrantRequest& request);
absl::Status CheckAlarm(const etcdserverpb::AlarmRequest& request);

// What a command must not leave to apply: a lease id (random, positive, when the request names none) and a TTL of at
// least the minimum. REQUIRES: CheckLeaseGrant() passed.
void ChooseLease(int64_t minimum_ttl, Random* random, etcdserverpb::LeaseGrantRequest* request);

// Bytes that a request is taken to add, for the quota. Zero: it passes a full member.
int64_t QuotaCost(const etcdserverpb::PutRequest& request);
int64_t QuotaCost(const etcdserverpb::TxnRequest& request);  // The dearer branch.
int64_t QuotaCost(const etcdserverpb::LeaseGrantRequest& request);

// A lock or campaign: the key below `name` that queues for it, with `value`, and a lease of its own unless it has one.
int64_t QueueCost(std::string_view name, std::string_view value, int64_t lease);

// --quota-backend-bytes as a limit: 0 means 2 GiB, negative no limit at all.
int64_t QuotaLimit(int64_t configured_bytes);
// True when `cost` more bytes do not fit.
bool QuotaExceeded(int64_t in_use_bytes, int64_t cost, int64_t configured_bytes);

// kResourceExhausted "etcdserver: mvcc: database space exceeded".
absl::Status NoSpaceError();
// kDataLoss "etcdserver: corrupt cluster".
absl::Status CorruptError();

}  // namespace keel::server
