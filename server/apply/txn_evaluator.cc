#include "server/apply/txn_evaluator.h"

#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace keel::server {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RequestOp;
using etcdserverpb::ResponseOp;
using etcdserverpb::TxnRequest;
using etcdserverpb::TxnResponse;
using storage::ApplyBatch;
using storage::KeyFacts;
using storage::KeyspaceReader;
using OpList = google::protobuf::RepeatedPtrField<RequestOp>;

constexpr int64_t kComparePage = 128;  // Pairs fetched at once when values of a range are compared.

absl::Status KeyNotFound() { return absl::InvalidArgumentError("etcdserver: key not found"); }
absl::Status LeaseNotFound() { return absl::NotFoundError("etcdserver: requested lease not found"); }
absl::Status Compacted() { return absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"); }
absl::Status FutureRevision() {
  return absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision");
}

// A reader that fails has met a broken disk or index, not a bad request: never an answer that another member would not
// give as well.
absl::Status ReadFailed(const absl::Status& status) {
  return absl::InternalError(absl::StrCat("keyspace read failed: ", status.ToString()));
}

// Which branches a transaction takes: its own choice, then those of the nested transactions of the branch taken, in
// order.
using Path = std::vector<bool>;

// --- Compares.

bool Holds(Compare::CompareResult result, int order) {
  switch (result) {
    case Compare::EQUAL:
      return order == 0;
    case Compare::NOT_EQUAL:
      return order != 0;
    case Compare::GREATER:
      return order > 0;
    case Compare::LESS:
      return order < 0;
    default:
      return true;  // A number of a later version.
  }
}

int Order(int64_t stored, int64_t given) { return stored < given ? -1 : stored > given ? 1 : 0; }

// A member of the union that does not belong to the target reads as zero. A missing key has all-zero facts.
bool FactsHold(const Compare& compare, const KeyFacts& facts) {
  int order = 0;
  switch (compare.target()) {
    case Compare::VERSION:
      order = Order(facts.version, compare.version());
      break;
    case Compare::CREATE:
      order = Order(facts.create.value(), compare.create_revision());
      break;
    case Compare::MOD:
      order = Order(facts.mod.revision.value(), compare.mod_revision());
      break;
    case Compare::LEASE:
      order = Order(facts.lease.value(), compare.lease());
      break;
    default:
      break;  // A target of a later version counts as equal.
  }
  return Holds(compare.result(), order);
}

// There must be a key, and the value of every one must compare as asked.
absl::StatusOr<bool> ValuesHold(const Compare& compare, const KeyspaceReader& reader) {
  etcdserverpb::RangeRequest page;
  page.set_key(compare.key());
  page.set_range_end(compare.range_end());
  page.set_limit(kComparePage);
  for (bool first = true;; first = false) {
    etcdserverpb::RangeResponse pairs;
    if (absl::Status status = reader.Range(page, &pairs); !status.ok()) return ReadFailed(status);
    if (pairs.kvs().empty()) return !first;
    for (const mvccpb::KeyValue& pair : pairs.kvs()) {
      if (!Holds(compare.result(), pair.value().compare(compare.value()))) return false;
    }
    if (!pairs.more()) return true;
    page.set_key(pairs.kvs(pairs.kvs_size() - 1).key() + '\0');
  }
}

absl::StatusOr<bool> CompareHolds(const Compare& compare, const KeyspaceReader& reader) {
  if (compare.target() == Compare::VALUE) return ValuesHold(compare, reader);
  if (compare.range_end().empty()) {
    auto facts = reader.Find(compare.key());
    if (!facts.ok()) return ReadFailed(facts.status());
    return FactsHold(compare, facts->value_or(KeyFacts{}));
  }
  bool any = false;
  bool holds = true;
  const absl::Status status =
      reader.ForEach(compare.key(), compare.range_end(), [&](std::string_view /*key*/, const KeyFacts& facts) {
        any = true;
        return holds = FactsHold(compare, facts);
      });
  if (!status.ok()) return ReadFailed(status);
  return any ? holds : FactsHold(compare, KeyFacts{});
}

const OpList& Branch(const TxnRequest& txn, bool succeeded) { return succeeded ? txn.success() : txn.failure(); }

// Every compare of the tree is decided here, before anything is written.
absl::Status Decide(const TxnRequest& txn, const KeyspaceReader& reader, Path* path) {
  bool succeeded = true;
  for (const Compare& compare : txn.compare()) {
    KEEL_ASSIGN_OR_RETURN(succeeded, CompareHolds(compare, reader));
    if (!succeeded) break;
  }
  path->push_back(succeeded);
  for (const RequestOp& op : Branch(txn, succeeded)) {
    if (op.has_request_txn()) KEEL_RETURN_IF_ERROR(Decide(op.request_txn(), reader, path));
  }
  return absl::OkStatus();
}

// --- Checks of the branches taken.

bool InInterval(std::string_view key, std::string_view begin, std::string_view range_end) {
  if (range_end.empty()) return key == begin;
  if (range_end == std::string_view("\0", 1)) return key >= begin;
  return begin <= key && key < range_end;
}

// Walks the operations that will run and refuses what could not: first for every put, nested ones included, then for
// every range, each time in order. Of several errors the one found first is the answer.
class BranchChecker {
 public:
  BranchChecker(const ApplyBatch& batch, const Path& path) : batch_(batch), path_(path) {}

  absl::Status Check(const TxnRequest& txn) {
    KEEL_RETURN_IF_ERROR(CheckPuts(txn));
    next_ = 0;
    return CheckRanges(txn);
  }

 private:
  absl::Status CheckPuts(const TxnRequest& txn) {
    for (const RequestOp& op : Branch(txn, path_[next_++])) {
      switch (op.request_case()) {
        case RequestOp::kRequestPut:
          KEEL_RETURN_IF_ERROR(CheckPut(op.request_put()));
          break;
        case RequestOp::kRequestDeleteRange:
          deletes_.push_back(&op.request_delete_range());
          break;
        case RequestOp::kRequestTxn:
          KEEL_RETURN_IF_ERROR(CheckPuts(op.request_txn()));
          break;
        case RequestOp::kRequestRange:
          break;
        case RequestOp::REQUEST_NOT_SET:
          return KeyNotFound();
      }
    }
    return absl::OkStatus();
  }

  absl::Status CheckRanges(const TxnRequest& txn) {
    for (const RequestOp& op : Branch(txn, path_[next_++])) {
      if (op.has_request_range()) KEEL_RETURN_IF_ERROR(CheckRange(op.request_range()));
      if (op.has_request_txn()) KEEL_RETURN_IF_ERROR(CheckRanges(op.request_txn()));
    }
    return absl::OkStatus();
  }

  absl::Status CheckRange(const etcdserverpb::RangeRequest& range) const {
    if (range.revision() == 0) return absl::OkStatus();
    if (range.revision() > batch_.revision().value()) return FutureRevision();
    if (range.revision() < 0 || range.revision() < batch_.compact_revision().value()) return Compacted();
    return absl::OkStatus();
  }

  absl::Status CheckPut(const etcdserverpb::PutRequest& put) const {
    if (put.ignore_value() || put.ignore_lease()) {
      auto facts = batch_.Find(put.key());
      if (!facts.ok()) return ReadFailed(facts.status());
      if (!facts->has_value()) return KeyNotFound();
      // The duplicate rules let some deletes stand before a put of a key they cover; then there is nothing to keep.
      for (const etcdserverpb::DeleteRangeRequest* earlier : deletes_) {
        if (InInterval(put.key(), earlier->key(), earlier->range_end())) return KeyNotFound();
      }
    }
    if (put.lease() != 0 && !batch_.LeaseExists(storage::LeaseId{put.lease()})) return LeaseNotFound();
    return absl::OkStatus();
  }

  const ApplyBatch& batch_;
  const Path& path_;
  size_t next_ = 0;
  std::vector<const etcdserverpb::DeleteRangeRequest*> deletes_;  // Those that run before the operation at hand.
};

// --- Execution.

absl::Status ExecuteRange(const etcdserverpb::RangeRequest& request, const KeyspaceReader& reader,
                          ResponseOp* response) {
  etcdserverpb::RangeResponse* range = response->mutable_response_range();
  KEEL_RETURN_IF_ERROR(reader.Range(request, range));
  range->mutable_header()->set_revision(reader.revision().value());
  return absl::OkStatus();
}

// Runs the branches of `path` one operation after the other. Nothing can be wrong with them any more, so an error here
// is not an answer: the member has to stop.
class BranchExecutor {
 public:
  BranchExecutor(ApplyBatch* batch, const Path& path) : batch_(batch), path_(path) {}

  const OperationCounts& counts() const { return counts_; }

  absl::Status Execute(const TxnRequest& txn, TxnResponse* response) {
    ++counts_.txns;
    const bool succeeded = path_[next_++];
    if (response != nullptr) response->set_succeeded(succeeded);
    for (const RequestOp& op : Branch(txn, succeeded)) {
      KEEL_RETURN_IF_ERROR(ExecuteOp(op, response == nullptr ? nullptr : response->add_responses()));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status ExecuteOp(const RequestOp& op, ResponseOp* response) {
    switch (op.request_case()) {
      case RequestOp::kRequestRange:
        ++counts_.ranges;
        return response == nullptr ? absl::OkStatus() : ExecuteRange(op.request_range(), *batch_, response);
      case RequestOp::kRequestPut: {
        auto* put = response == nullptr ? nullptr : response->mutable_response_put();
        KEEL_RETURN_IF_ERROR(batch_->Put(op.request_put(), put));
        ++counts_.puts;
        counts_.put_bytes += op.request_put().key().size() + op.request_put().value().size();
        if (put != nullptr) put->mutable_header()->set_revision(batch_->revision().value());
        return absl::OkStatus();
      }
      case RequestOp::kRequestDeleteRange: {
        auto* deleted = response == nullptr ? nullptr : response->mutable_response_delete_range();
        KEEL_RETURN_IF_ERROR(batch_->DeleteRange(op.request_delete_range(), deleted));
        ++counts_.deletes;
        if (deleted != nullptr) deleted->mutable_header()->set_revision(batch_->revision().value());
        return absl::OkStatus();
      }
      case RequestOp::kRequestTxn: {
        TxnResponse* nested = response == nullptr ? nullptr : response->mutable_response_txn();
        if (nested != nullptr) nested->mutable_header();  // There, but empty.
        return Execute(op.request_txn(), nested);
      }
      case RequestOp::REQUEST_NOT_SET:
        break;
    }
    return absl::OkStatus();
  }

  ApplyBatch* const batch_;
  const Path& path_;
  size_t next_ = 0;
  OperationCounts counts_;
};

}  // namespace

bool IsReadOnly(const TxnRequest& txn) {
  for (const OpList* branch : {&txn.success(), &txn.failure()}) {
    for (const RequestOp& op : *branch) {
      if (!op.has_request_range()) return false;
    }
  }
  return true;
}

bool IsSerializable(const TxnRequest& txn) {
  for (const OpList* branch : {&txn.success(), &txn.failure()}) {
    for (const RequestOp& op : *branch) {
      if (!op.has_request_range() || !op.request_range().serializable()) return false;
    }
  }
  return true;
}

absl::Status EvaluateReadOnly(const TxnRequest& txn, const KeyspaceReader& view, TxnResponse* response) {
  Path path;
  KEEL_RETURN_IF_ERROR(Decide(txn, view, &path));
  for (const RequestOp& op : Branch(txn, path.front())) {
    absl::Status status = KeyNotFound();
    if (op.has_request_range()) {
      // A negative revision means the current one only outside of transactions.
      status = op.request_range().revision() < 0 ? Compacted()
                                                 : ExecuteRange(op.request_range(), view, response->add_responses());
    }
    if (!status.ok()) {
      response->Clear();
      return status;
    }
  }
  response->set_succeeded(path.front());
  response->mutable_header()->set_revision(view.revision().value());
  return absl::OkStatus();
}

absl::Status ExecuteTxn(const TxnRequest& txn, ApplyBatch* batch, TxnResponse* response, OperationCounts* counts) {
  Path path;
  KEEL_RETURN_IF_ERROR(Decide(txn, *batch, &path));
  KEEL_RETURN_IF_ERROR(BranchChecker(*batch, path).Check(txn));
  BranchExecutor executor(batch, path);
  if (absl::Status status = executor.Execute(txn, response); !status.ok()) return ReadFailed(status);
  if (counts != nullptr) *counts += executor.counts();
  if (response != nullptr) response->mutable_header()->set_revision(batch->revision().value());
  return absl::OkStatus();
}

}  // namespace keel::server
