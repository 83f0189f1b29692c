#pragma once

// Decides and executes transactions. Pure over the reader or batch it is given (rpc.md section 2.6).

#include "absl/status/status.h"
#include "proto/etcdserver_kv.pb.h"
#include "server/apply/apply_observer.h"
#include "storage/state/apply_batch.h"
#include "storage/state/read_view.h"

namespace keel::server {

// True when every operation of both branches is a range and nothing is nested: it needs no log entry.
bool IsReadOnly(const etcdserverpb::TxnRequest& txn);
// True when it is read-only and every range is serializable (vacuously when there are none).
bool IsSerializable(const etcdserverpb::TxnRequest& txn);

// Evaluates a read-only txn on one view. Fills everything but the header's ids; header.revision is the view's.
absl::Status EvaluateReadOnly(const etcdserverpb::TxnRequest& txn, const storage::KeyspaceReader& view,
                              etcdserverpb::TxnResponse* response);

// Executes a txn inside the batch's current entry. Compares see the state before it; the branch taken is checked before
// anything is written, so an error leaves no trace. kNotFound, kInvalidArgument and kOutOfRange are answers; any other
// code (kInternal: the keyspace cannot be read) means that this member must stop. `response` and `counts` may be null;
// what was executed is added to the latter.
absl::Status ExecuteTxn(const etcdserverpb::TxnRequest& txn, storage::ApplyBatch* batch,
                        etcdserverpb::TxnResponse* response, OperationCounts* counts = nullptr);

}  // namespace keel::server
