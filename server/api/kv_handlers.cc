#include "server/api/kv_handlers.h"

#include <algorithm>
#include <utility>

#include "server/api/budgeted_read.h"
#include "server/apply/request_check.h"
#include "server/apply/txn_evaluator.h"

namespace keel::server {
namespace {

// Calls attempt(share) until it has its memory, once `call` may see the state: at once when it takes what is here, else
// behind the read gate. The gate answers on the threads of raft, which must not wait for a disk, so all but the
// smallest reads move to a reader.
enum class ReadSize { kPoint, kMany };

void WhenReadable(const ApiBase& base, const Call& call, bool serializable, ReadSize size, Done done,
                  ReadAttempt attempt) {
  auto run = [&base, call, size, done = std::move(done), attempt = std::move(attempt)](absl::Status readable) mutable {
    if (!readable.ok()) return done(std::move(readable));
    if (size == ReadSize::kPoint) return ReadWithinBudget(base, call, std::move(attempt), std::move(done));
    base.readers->Run([&base, call = std::move(call), done = std::move(done), attempt = std::move(attempt)]() mutable {
      ReadWithinBudget(base, call, std::move(attempt), std::move(done));
    });
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

void KvHandlers::Range(const Call& call, const etcdserverpb::RangeRequest& request, WireReply* reply, Done done) const {
  const CallClass call_class = request.serializable() ? CallClass::kLearnersToo : CallClass::kOrdinary;
  if (auto status = base_->admission->Admit(call, call_class); !status.ok()) return done(std::move(status));
  if (auto status = CheckRange(request); !status.ok()) return done(std::move(status));
  const Member* member = base_->member;
  WhenReadable(*base_, call, request.serializable(), SizeOf(request), std::move(done),
               [member, &request, reply](const std::shared_ptr<ReplyShare>& share) -> absl::Status {
                 const storage::ReadView view = member->store->View();
                 etcdserverpb::ResponseHeader header;
                 member->FillHeader(view.revision().value(), &header);
                 *reply = WireReply(share);
                 reply->PutHeader(header);
                 const auto totals = view.ReadRange(request, reply);
                 if (!totals.ok() || totals->stopped) {
                   *reply = WireReply();
                   return totals.status();
                 }
                 reply->PutTotals(totals->more, totals->count);
                 return absl::OkStatus();
               });
}

absl::StatusOr<std::shared_ptr<RangePager>> KvHandlers::RangeStream(const Call& call,
                                                                    const etcdserverpb::RangeRequest& request) const {
  if (auto status = base_->admission->Admit(call); !status.ok()) return status;
  if (auto status = CheckRange(request); !status.ok()) return status;
  if (auto status = CheckStreamable(request); !status.ok()) return status;
  RangePager::Options options;
  options.piece_bytes = std::min(base_->member->limits.request_bytes_max, base_->replies->options().request_bytes);
  return std::make_shared<RangePager>(base_, options, call, request);
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
               [member, &request, response](const std::shared_ptr<ReplyShare>& share) -> absl::Status {
                 const storage::ReadView view = member->store->View();
                 const BudgetedReader reader(&view, share.get());
                 if (auto status = EvaluateReadOnly(request, reader, response); !status.ok()) {
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
