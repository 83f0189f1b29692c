// The commands that change keys.

#include <utility>

#include "base/status_macros.h"
#include "server/apply/command_executor.h"
#include "server/apply/request_check.h"
#include "server/apply/txn_evaluator.h"

namespace keel::server {
namespace {

// Puts `response`, with the revision in its header, into the result when somebody reads it.
template <typename Response>
void Answer(Response response, const storage::ApplyBatch& batch, ApplyResult* result) {
  response.mutable_header()->set_revision(batch.revision().value());
  result->response = std::move(response);
}

}  // namespace

absl::Status CommandExecutor::Put(const etcdserverpb::PutRequest& request, Step* step) {
  const int64_t cost = QuotaCost(request);
  if (step->result->status = Gate(cost); !step->result->status.ok()) return absl::OkStatus();
  etcdserverpb::PutResponse response;
  KEEL_RETURN_IF_ERROR(step->batch->Put(request, step->wants_response ? &response : nullptr));
  ++step->effects->operations.puts;
  step->effects->operations.put_bytes += request.key().size() + request.value().size();
  if (TakesOverQuota(cost)) {
    step->effects->over_quota = true;
    step->result->status = NoSpaceError();
  } else if (step->wants_response) {
    Answer(std::move(response), *step->batch, step->result);
  }
  return absl::OkStatus();
}

absl::Status CommandExecutor::DeleteRange(const etcdserverpb::DeleteRangeRequest& request, Step* step) {
  if (step->result->status = Gate(-1); !step->result->status.ok()) return absl::OkStatus();
  etcdserverpb::DeleteRangeResponse response;
  KEEL_RETURN_IF_ERROR(step->batch->DeleteRange(request, step->wants_response ? &response : nullptr));
  ++step->effects->operations.deletes;
  if (step->wants_response) Answer(std::move(response), *step->batch, step->result);
  return absl::OkStatus();
}

absl::Status CommandExecutor::Txn(const etcdserverpb::TxnRequest& request, Step* step) {
  const int64_t cost = QuotaCost(request);
  if (step->result->status = Gate(cost); !step->result->status.ok()) return absl::OkStatus();
  etcdserverpb::TxnResponse response;
  KEEL_RETURN_IF_ERROR(
      ExecuteTxn(request, step->batch, step->wants_response ? &response : nullptr, &step->effects->operations));
  if (TakesOverQuota(cost)) {
    step->effects->over_quota = true;
    step->result->status = NoSpaceError();
  } else if (step->wants_response) {
    Answer(std::move(response), *step->batch, step->result);
  }
  return absl::OkStatus();
}

absl::Status CommandExecutor::Compact(const etcdserverpb::CompactionRequest& request, Step* step) {
  if (step->result->status = Gate(-1); !step->result->status.ok()) return absl::OkStatus();
  KEEL_RETURN_IF_ERROR(step->batch->Compact(storage::Revision{request.revision()}));
  if (step->wants_response) Answer(etcdserverpb::CompactionResponse(), *step->batch, step->result);
  return absl::OkStatus();
}

}  // namespace keel::server
