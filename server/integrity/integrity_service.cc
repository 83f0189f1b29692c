#include "server/integrity/integrity_service.h"

#include "absl/strings/str_format.h"
#include "base/grpc_status.h"

namespace keel::server {
namespace {

absl::Status CheckCluster(uint64_t theirs, uint64_t ours) {
  if (theirs == ours) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrFormat("cluster ID mismatch: caller is of cluster %x, this member of %x", theirs, ours));
}

}  // namespace

grpc::ServerUnaryReactor* IntegrityService::StateHashes(grpc::CallbackServerContext* context,
                                                        const integrity::StateHashesRequest* request,
                                                        integrity::StateHashesResponse* response) {
  const absl::Status status = CheckCluster(request->cluster_id(), cluster_id_);
  if (status.ok()) {
    for (const storage::HashSample& sample : store_.hash_samples()) {
      auto* said = response->add_samples();
      said->set_index(sample.index);
      said->set_hash(sample.hash);
    }
  }
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(ToGrpc(status));
  return reactor;
}

grpc::ServerUnaryReactor* IntegrityService::HistoryHash(grpc::CallbackServerContext* context,
                                                        const integrity::HistoryHashRequest* request,
                                                        integrity::HistoryHashResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  if (const absl::Status status = CheckCluster(request->cluster_id(), cluster_id_); !status.ok()) {
    reactor->Finish(ToGrpc(status));
    return reactor;
  }
  worker_.Run([this, reactor, request, response] {
    const auto hash = store_.HashKv(storage::Revision(request->revision()));
    if (hash.ok()) {
      response->set_hash(hash->hash);
      response->set_compact_revision(hash->compact_revision.value());
    }
    reactor->Finish(ToGrpc(hash.status()));
  });
  return reactor;
}

}  // namespace keel::server
