#pragma once

#include <grpcpp/support/server_callback.h>

#include <cstdint>

#include "proto/integrity.grpc.pb.h"
#include "server/api/worker_pool.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Tells peers the hashes of this member's state. Thread-safe.
class IntegrityService final : public integrity::Integrity::CallbackService {
 public:
  // The store outlives it.
  IntegrityService(uint64_t cluster_id, const storage::StateStore* store)
      : cluster_id_(cluster_id), store_(*store), worker_(1) {}

  grpc::ServerUnaryReactor* StateHashes(grpc::CallbackServerContext* context,
                                        const integrity::StateHashesRequest* request,
                                        integrity::StateHashesResponse* response) override;
  grpc::ServerUnaryReactor* HistoryHash(grpc::CallbackServerContext* context,
                                        const integrity::HistoryHashRequest* request,
                                        integrity::HistoryHashResponse* response) override;

 private:
  const uint64_t cluster_id_;
  const storage::StateStore& store_;
  WorkerPool worker_;  // Reads the whole history, one call after the other.
};

}  // namespace keel::server
