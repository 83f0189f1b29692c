#include "server/apply/request_check.h"

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>

#include "base/status_macros.h"

namespace keel::server {
namespace {

using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;
using OpList = google::protobuf::RepeatedPtrField<RequestOp>;

constexpr int64_t kLeaseTtlMax = 9'000'000'000;  // Seconds.
constexpr int64_t kQuotaDefault = int64_t{2} << 30;
constexpr int64_t kPutOverheadBytes = 256;
constexpr int64_t kLeaseGrantBytes = 64;

absl::Status EmptyKey() { return absl::InvalidArgumentError("etcdserver: key is not provided"); }
absl::Status DuplicateKey() { return absl::InvalidArgumentError("etcdserver: duplicate key given in txn request"); }

// The keys that the deletes seen so far cover, as disjoint half-open intervals, so that a request of many overlapping
// deletes costs no more than a logarithm per put.
class CoveredKeys {
 public:
  size_t size() const { return ends_.size(); }

  void Add(const etcdserverpb::DeleteRangeRequest& request) {
    if (request.range_end().empty()) {
      Add(request.key(), request.key() + '\0');
    } else {
      // A from-key delete ends in "\0" and is empty when read as an interval: it is never seen to cover a put. Clients
      // may rely on such transactions being accepted.
      Add(request.key(), request.range_end());
    }
  }

  bool Covers(std::string_view key) const {
    auto it = ends_.upper_bound(key);
    return it != ends_.begin() && key < std::prev(it)->second;
  }

  void Merge(CoveredKeys&& other) {
    if (other.size() > size()) std::swap(ends_, other.ends_);
    for (auto& [begin, end] : other.ends_) Add(begin, end);
    other.ends_.clear();
  }

 private:
  void Add(std::string begin, std::string end) {
    if (begin >= end) return;
    auto it = ends_.upper_bound(begin);
    if (it != ends_.begin() && std::prev(it)->second >= begin) --it;
    while (it != ends_.end() && it->first <= end) {
      begin = std::min(begin, it->first);
      end = std::max(end, it->second);
      it = ends_.erase(it);
    }
    ends_.emplace(std::move(begin), std::move(end));
  }

  std::map<std::string, std::string, std::less<>> ends_;  // Begin to end.
};

using PutKeys = std::unordered_set<std::string_view>;

// What one list of operations writes, nested transactions included.
struct Writes {
  PutKeys puts;
  CoveredKeys deletes;
};

void MergeKeys(PutKeys&& from, PutKeys* into) {
  if (from.size() > into->size()) std::swap(from, *into);
  into->insert(from.begin(), from.end());
}

// Adds what a nested transaction writes to the writes of the list around it. Its branches exclude each other, so they
// may put the same key.
absl::Status AddNested(Writes then_writes, Writes else_writes, Writes* writes) {
  for (const PutKeys* puts : {&then_writes.puts, &else_writes.puts}) {
    for (std::string_view key : *puts) {
      if (writes->puts.contains(key) || writes->deletes.Covers(key)) return DuplicateKey();
    }
  }
  for (Writes* branch : {&then_writes, &else_writes}) {
    MergeKeys(std::move(branch->puts), &writes->puts);
    writes->deletes.Merge(std::move(branch->deletes));
  }
  return absl::OkStatus();
}

// The deletes of this level come first, then the nested transactions in order, then the puts of this level. The order
// decides which of two conflicting nested siblings is noticed: a delete in the earlier and a put in the later is, the
// reverse is not.
absl::Status CollectWrites(const OpList& ops, Writes* writes) {
  for (const RequestOp& op : ops) {
    if (op.has_request_delete_range()) writes->deletes.Add(op.request_delete_range());
  }
  for (const RequestOp& op : ops) {
    if (!op.has_request_txn()) continue;
    Writes then_writes;
    Writes else_writes;
    KEEL_RETURN_IF_ERROR(CollectWrites(op.request_txn().success(), &then_writes));
    KEEL_RETURN_IF_ERROR(CollectWrites(op.request_txn().failure(), &else_writes));
    KEEL_RETURN_IF_ERROR(AddNested(std::move(then_writes), std::move(else_writes), writes));
  }
  for (const RequestOp& op : ops) {
    if (!op.has_request_put()) continue;
    const std::string_view key = op.request_put().key();
    if (writes->deletes.Covers(key) || !writes->puts.insert(key).second) return DuplicateKey();
  }
  return absl::OkStatus();
}

absl::Status CheckShape(const TxnRequest& txn, size_t ops_max);

absl::Status CheckOp(const RequestOp& op, size_t nested_ops_max) {
  switch (op.request_case()) {
    case RequestOp::kRequestRange:
      return CheckRange(op.request_range());
    case RequestOp::kRequestPut:
      return CheckPut(op.request_put());
    case RequestOp::kRequestDeleteRange:
      return CheckDeleteRange(op.request_delete_range());
    case RequestOp::kRequestTxn:
      return CheckShape(op.request_txn(), nested_ops_max);
    case RequestOp::REQUEST_NOT_SET:
      break;
  }
  return absl::InvalidArgumentError("etcdserver: key not found");
}

// Everything but duplicate keys.
absl::Status CheckShape(const TxnRequest& txn, size_t ops_max) {
  const auto longest = static_cast<size_t>(std::max({txn.compare_size(), txn.success_size(), txn.failure_size()}));
  if (longest > ops_max) return absl::InvalidArgumentError("etcdserver: too many operations in txn request");
  for (const etcdserverpb::Compare& compare : txn.compare()) {
    if (compare.key().empty()) return EmptyKey();
  }
  for (const RequestOp& op : txn.success()) KEEL_RETURN_IF_ERROR(CheckOp(op, ops_max - longest));
  for (const RequestOp& op : txn.failure()) KEEL_RETURN_IF_ERROR(CheckOp(op, ops_max - longest));
  return absl::OkStatus();
}

int64_t QuotaCost(const OpList& ops) {
  int64_t cost = 0;
  for (const RequestOp& op : ops) {
    if (op.has_request_put()) cost += server::QuotaCost(op.request_put());
    if (op.has_request_txn()) cost += server::QuotaCost(op.request_txn());
  }
  return cost;
}

}  // namespace

absl::Status CheckRange(const etcdserverpb::RangeRequest& request) {
  if (request.key().empty()) return EmptyKey();
  if (!etcdserverpb::RangeRequest::SortOrder_IsValid(request.sort_order()) ||
      !etcdserverpb::RangeRequest::SortTarget_IsValid(request.sort_target())) {
    return absl::InvalidArgumentError("etcdserver: invalid sort option");
  }
  return absl::OkStatus();
}

absl::Status CheckPut(const etcdserverpb::PutRequest& request) {
  if (request.key().empty()) return EmptyKey();
  if (request.ignore_value() && !request.value().empty()) {
    return absl::InvalidArgumentError("etcdserver: value is provided");
  }
  if (request.ignore_lease() && request.lease() != 0) {
    return absl::InvalidArgumentError("etcdserver: lease is provided");
  }
  return absl::OkStatus();
}

absl::Status CheckDeleteRange(const etcdserverpb::DeleteRangeRequest& request) {
  return request.key().empty() ? EmptyKey() : absl::OkStatus();
}

absl::Status CheckTxn(const TxnRequest& request, size_t ops_max) {
  KEEL_RETURN_IF_ERROR(CheckShape(request, ops_max));
  for (const OpList* branch : {&request.success(), &request.failure()}) {
    Writes writes;
    KEEL_RETURN_IF_ERROR(CollectWrites(*branch, &writes));
  }
  return absl::OkStatus();
}

absl::Status CheckLeaseGrant(const etcdserverpb::LeaseGrantRequest& request) {
  if (request.ttl() > kLeaseTtlMax) return absl::OutOfRangeError("etcdserver: too large lease TTL");
  return absl::OkStatus();
}

absl::Status CheckAlarm(const etcdserverpb::AlarmRequest& request) {
  if (!etcdserverpb::AlarmRequest::AlarmAction_IsValid(request.action())) {
    return absl::InvalidArgumentError("etcdserver: unknown alarm action");
  }
  if (!etcdserverpb::AlarmType_IsValid(request.alarm())) {
    return absl::InvalidArgumentError("etcdserver: unknown alarm type");
  }
  return absl::OkStatus();
}

void ChooseLease(int64_t minimum_ttl, Random* random, etcdserverpb::LeaseGrantRequest* request) {
  while (request->id() == 0) request->set_id(static_cast<int64_t>(random->Next() >> 1));
  request->set_ttl(std::max(request->ttl(), minimum_ttl));
}

int64_t QuotaCost(const etcdserverpb::PutRequest& request) {
  return kPutOverheadBytes + static_cast<int64_t>(request.key().size() + request.value().size());
}

int64_t QuotaCost(const TxnRequest& request) {
  return std::max(QuotaCost(request.success()), QuotaCost(request.failure()));
}

int64_t QuotaCost(const etcdserverpb::LeaseGrantRequest& /*request*/) { return kLeaseGrantBytes; }

int64_t QueueCost(std::string_view name, std::string_view value, int64_t lease) {
  constexpr size_t kSlashAndLease = 1 + 16;  // "/" and the lease in hexadecimal.
  return kPutOverheadBytes + static_cast<int64_t>(name.size() + kSlashAndLease + value.size()) +
         (lease == 0 ? kLeaseGrantBytes : 0);
}

int64_t QuotaLimit(int64_t configured_bytes) { return configured_bytes == 0 ? kQuotaDefault : configured_bytes; }

bool QuotaExceeded(int64_t in_use_bytes, int64_t cost, int64_t configured_bytes) {
  const int64_t limit = QuotaLimit(configured_bytes);
  return limit > 0 && cost > 0 && in_use_bytes + cost >= limit;
}

absl::Status NoSpaceError() { return absl::ResourceExhaustedError("etcdserver: mvcc: database space exceeded"); }

absl::Status CorruptError() { return absl::DataLossError("etcdserver: corrupt cluster"); }

}  // namespace keel::server
