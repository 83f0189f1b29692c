#include "server/api/kv_handlers.h"

#include <algorithm>
#include <utility>

#include "server/apply/request_check.h"
#include "server/apply/txn_evaluator.h"

namespace keel::server {
namespace {

// Runs `read` once `call` may see the state: at once when it takes what is here, else behind the read gate. The gate
// answers on the threads of raft, which must not wait for a disk, so all but the smallest reads move to a reader.
enum class ReadSize { kPoint, kMany };

template <typename Read>
void WhenReadable(const ApiBase& base, const Call& call, bool serializable, ReadSize size, Done done, Read read) {
  auto run = [&base, size, done = std::move(done), read = std::move(read)](absl::Status readable) mutable {
    if (!readable.ok()) return done(std::move(readable));
    if (size == ReadSize::kPoint) return done(read());
    base.readers->Run([done = std::move(done), read = std::move(read)]() mutable { done(read()); });
  };
  if (serializable) return run(absl::OkStatus());
  AwaitReadable(*base.member, call, std::move(run));
}

ReadSize SizeOf(const etcdserverpb::RangeRequest& request) {
  return request.range_end().empty() ? ReadSize::kPoint : ReadSize::kMany;
}

ReadSize SizeOf(const etcdserverpb::TxnRequest& txn) {
  // Few points are a point still; the bound keeps a long list off the threads of raft.
  if (txn.compare_size() > 4) return ReadSize::kMany;
  for (const auto& compare : txn.compare()) {
    if (!compare.range_end().empty()) return ReadSize::kMany;
  }
  for (const auto* branch : {&txn.success(), &txn.failure()}) {
    if (branch->size() > 4) return ReadSize::kMany;
    for (const auto& op : *branch) {
      if (SizeOf(op.request_range()) == ReadSize::kMany) return ReadSize::kMany;
    }
  }
  return ReadSize::kPoint;
}

absl::Status CheckStreamable(const etcdserverpb::RangeRequest& request) {
  const bool key_order = request.sort_target() == etcdserverpb::RangeRequest::KEY &&
                         request.sort_order() != etcdserverpb::RangeRequest::DESCEND;
  if (!key_order) return absl::UnimplementedError("RangeStream does not support custom sort orders");
  if (request.min_mod_revision() != 0 || request.max_mod_revision() != 0 || request.min_create_revision() != 0 ||
      request.max_create_revision() != 0) {
    return absl::UnimplementedError("RangeStream does not support revision filters");
  }
  return absl::OkStatus();
}

}  // namespace

void KvHandlers::Range(const Call& call, const etcdserverpb::RangeRequest& request,
                       etcdserverpb::RangeResponse* response, Done done) const {
  const CallClass call_class = request.serializable() ? CallClass::kLearnersToo : CallClass::kOrdinary;
  if (auto status = base_->admission->Admit(call, call_class); !status.ok()) return done(std::move(status));
  if (auto status = CheckRange(request); !status.ok()) return done(std::move(status));
  const Member* member = base_->member;
  WhenReadable(*base_, call, request.serializable(), SizeOf(request), std::move(done),
               [member, &request, response]() -> absl::Status {
                 const storage::ReadView view = member->store->View();
                 if (auto status = view.Range(request, response); !status.ok()) return status;
                 member->FillHeader(view.revision().value(), response->mutable_header());
                 return absl::OkStatus();
               });
}

absl::StatusOr<std::shared_ptr<RangePager>> KvHandlers::RangeStream(const Call& call,
                                                                    const etcdserverpb::RangeRequest& request) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return status;
  if (auto status = CheckRange(request); !status.ok()) return status;
  if (auto status = CheckStreamable(request); !status.ok()) return status;
  return std::make_shared<RangePager>(base_, RangePager::Options(), call, request);
}

void KvHandlers::Put(const Call& call, const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response,
                     Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  if (auto status = base_->admission->AdmitBytes(QuotaCost(request)); !status.ok()) return done(std::move(status));
  if (auto status = CheckPut(request); !status.ok()) return done(std::move(status));
  command::Command command;
  *command.mutable_put() = request;
  Propose(*base_->member, call, std::move(command), response, std::move(done));
}

void KvHandlers::DeleteRange(const Call& call, const etcdserverpb::DeleteRangeRequest& request,
                             etcdserverpb::DeleteRangeResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  if (auto status = CheckDeleteRange(request); !status.ok()) return done(std::move(status));
  command::Command command;
  *command.mutable_delete_range() = request;
  Propose(*base_->member, call, std::move(command), response, std::move(done));
}

void KvHandlers::Txn(const Call& call, const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response,
                     Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  if (auto status = base_->admission->AdmitBytes(QuotaCost(request)); !status.ok()) return done(std::move(status));
  if (auto status = CheckTxn(request, base_->member->limits.txn_ops_max); !status.ok()) return done(std::move(status));
  if (!IsReadOnly(request)) {
    command::Command command;
    *command.mutable_txn() = request;
    return Propose(*base_->member, call, std::move(command), response, std::move(done));
  }
  const Member* member = base_->member;
  WhenReadable(*base_, call, IsSerializable(request), SizeOf(request), std::move(done),
               [member, &request, response]() -> absl::Status {
                 const storage::ReadView view = member->store->View();
                 if (auto status = EvaluateReadOnly(request, view, response); !status.ok()) {
                   response->Clear();
                   return status;
                 }
                 member->FillHeader(view.revision().value(), response->mutable_header());
                 return absl::OkStatus();
               });
}

void KvHandlers::Compact(const Call& call, const etcdserverpb::CompactionRequest& request,
                         etcdserverpb::CompactionResponse* response, Done done) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return done(std::move(status));
  command::Command command;
  *command.mutable_compaction() = request;
  if (!request.physical()) {
    return Propose(*base_->member, call, std::move(command), response, std::move(done));
  }
  // The answer waits for the space to be free, also when the revision had been compacted before: that compaction may
  // still be running.
  const storage::Revision revision{request.revision()};
  auto compacted = [base = base_, call, revision, done = std::move(done)](absl::Status status) mutable {
    const storage::StateStore* store = base->member->store;
    const storage::Revision target = store->compact_revision();
    const bool was_compacted = absl::IsOutOfRange(status) && revision <= target;
    if (!status.ok() && !was_compacted) return done(std::move(status));
    base->monitor->Poll(
        call, [store, target] { return store->compacted_physically() >= target; },
        [status = std::move(status), done = std::move(done)](absl::Status waited) mutable {
          done(waited.ok() ? std::move(status) : std::move(waited));
        });
  };
  Propose(*base_->member, call, std::move(command), response, std::move(compacted));
}

}  // namespace keel::server
