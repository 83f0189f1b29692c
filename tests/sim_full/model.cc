#include "tests/sim_full/model.h"

#include <algorithm>
#include <utility>

namespace keel::sim {
namespace {

using etcdserverpb::Compare;
using etcdserverpb::RangeRequest;
using etcdserverpb::RequestOp;
using etcdserverpb::TxnRequest;

absl::Status KeyMissing() { return absl::InvalidArgumentError("etcdserver: key not found"); }
absl::Status LeaseMissing() { return absl::NotFoundError("etcdserver: requested lease not found"); }
absl::Status Compacted() { return absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"); }
absl::Status Future() { return absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision"); }
absl::Status OldLeader() { return absl::FailedPreconditionError("proposed by a former leader"); }

bool Is(Compare::CompareResult result, int order) {
  return (result == Compare::EQUAL && order == 0) || (result == Compare::NOT_EQUAL && order != 0) ||
         (result == Compare::GREATER && order > 0) || (result == Compare::LESS && order < 0);
}

int Sign(int64_t stored, int64_t given) { return stored == given ? 0 : stored < given ? -1 : 1; }

bool HoldsFor(const Compare& compare, const Model::Pair& pair) {
  switch (compare.target()) {
    case Compare::VERSION:
      return Is(compare.result(), Sign(pair.version, compare.version()));
    case Compare::CREATE:
      return Is(compare.result(), Sign(pair.create, compare.create_revision()));
    case Compare::MOD:
      return Is(compare.result(), Sign(pair.mod, compare.mod_revision()));
    case Compare::LEASE:
      return Is(compare.result(), Sign(pair.lease, compare.lease()));
    default:
      return Is(compare.result(), pair.value.compare(compare.value()));
  }
}

}  // namespace

bool Model::Inside(std::string_view key, std::string_view begin, std::string_view end) {
  if (end.empty()) return key == begin;
  return key >= begin && (end == std::string_view("\0", 1) || key < end);
}

void Model::Fill(const std::string& key, const Pair& pair, mvccpb::KeyValue* kv) {
  kv->set_key(key);
  kv->set_create_revision(pair.create);
  kv->set_mod_revision(pair.mod);
  kv->set_version(pair.version);
  kv->set_lease(pair.lease);
  kv->set_value(pair.value);
}

// --- Reads.

std::optional<Model::Pair> Model::PairAt(const std::string& key, int64_t revision) const {
  const auto found = versions_.find(key);
  if (found == versions_.end()) return std::nullopt;
  std::optional<Pair> pair;
  for (const auto& [since, version] : found->second) {
    if (since > revision) break;
    pair = version;
  }
  return pair;
}

Model::Pairs Model::At(int64_t revision) const {
  if (revision >= revision_ && changes_.empty()) return current_;
  Pairs pairs;
  for (const auto& [key, versions] : versions_) {
    if (std::optional<Pair> pair = PairAt(key, revision)) pairs.emplace(key, *std::move(pair));
  }
  return pairs;
}

std::optional<std::pair<std::string, Model::Pair>> Model::OldestUnder(const std::string& prefix, int64_t at) const {
  std::optional<std::pair<std::string, Pair>> oldest;
  for (auto it = versions_.lower_bound(prefix); it != versions_.end() && it->first.starts_with(prefix); ++it) {
    const std::optional<Pair> pair = PairAt(it->first, at);
    if (pair.has_value() && (!oldest.has_value() || pair->create < oldest->second.create)) {
      oldest.emplace(it->first, *pair);
    }
  }
  return oldest;
}

etcdserverpb::RangeResponse Model::RangeOf(const RangeRequest& request, const Pairs& pairs) const {
  std::vector<std::pair<std::string, Pair>> hits;
  int64_t count = 0;
  for (const auto& [key, pair] : pairs) {
    if (!Inside(key, request.key(), request.range_end())) continue;
    ++count;
    const auto in = [](int64_t x, int64_t min, int64_t max) {
      return (min == 0 || x >= min) && (max == 0 || x <= max);
    };
    if (in(pair.mod, request.min_mod_revision(), request.max_mod_revision()) &&
        in(pair.create, request.min_create_revision(), request.max_create_revision())) {
      hits.emplace_back(key, pair);
    }
  }
  etcdserverpb::RangeResponse response;
  response.set_count(count);
  if (request.count_only()) return response;
  const bool down = request.sort_order() == RangeRequest::DESCEND;
  const auto sort = [&](auto of) {
    std::stable_sort(hits.begin(), hits.end(),
                     [&](const auto& a, const auto& b) { return down ? of(b) < of(a) : of(a) < of(b); });
  };
  switch (request.sort_target()) {
    case RangeRequest::VERSION:
      sort([](const auto& hit) { return hit.second.version; });
      break;
    case RangeRequest::CREATE:
      sort([](const auto& hit) { return hit.second.create; });
      break;
    case RangeRequest::MOD:
      sort([](const auto& hit) { return hit.second.mod; });
      break;
    case RangeRequest::VALUE:
      sort([](const auto& hit) { return hit.second.value; });
      break;
    default:
      if (down) std::reverse(hits.begin(), hits.end());
  }
  if (request.limit() > 0 && hits.size() > static_cast<size_t>(request.limit())) {
    hits.resize(static_cast<size_t>(request.limit()));
    response.set_more(true);
  }
  for (auto& [key, pair] : hits) {
    if (request.keys_only()) pair.value.clear();
    Fill(key, pair, response.add_kvs());
  }
  return response;
}

absl::StatusOr<etcdserverpb::RangeResponse> Model::Range(const RangeRequest& request, int64_t at,
                                                         int64_t compact) const {
  if (request.revision() > at) return Future();
  if (request.revision() > 0 && request.revision() < compact) return Compacted();
  return RangeOf(request, At(request.revision() > 0 ? request.revision() : at));
}

absl::StatusOr<etcdserverpb::TxnResponse> Model::ReadTxn(const TxnRequest& txn, int64_t at, int64_t compact) const {
  etcdserverpb::TxnResponse response;
  response.set_succeeded(Holds(txn, At(at)));
  for (const RequestOp& op : response.succeeded() ? txn.success() : txn.failure()) {
    if (op.request_range().revision() < 0) return Compacted();
    absl::StatusOr<etcdserverpb::RangeResponse> range = Range(op.request_range(), at, compact);
    if (!range.ok()) return range.status();
    range->mutable_header()->set_revision(at);
    *response.add_responses()->mutable_response_range() = *std::move(range);
  }
  return response;
}

// --- Changes.

void Model::SetPair(const std::string& key, std::optional<Pair> pair) {
  const auto before = current_.find(key);
  Event event{.key = key, .pair = pair, .previous = std::nullopt};
  if (before != current_.end()) event.previous = before->second;
  changes_.push_back(std::move(event));
  if (pair.has_value()) {
    current_[key] = *std::move(pair);
  } else {
    current_.erase(key);
  }
}

// A put by itself; those of transactions are looked at in another order.
absl::Status Model::CheckPut(const etcdserverpb::PutRequest& request) const {
  if (request.lease() != 0 && !leases_.contains(request.lease())) return LeaseMissing();
  if ((request.ignore_value() || request.ignore_lease()) && !current_.contains(request.key())) return KeyMissing();
  return absl::OkStatus();
}

void Model::Put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) {
  const auto before = current_.find(request.key());
  const int64_t at = revision_ + 1;
  Pair pair{.create = at, .mod = at, .version = 1, .lease = request.lease(), .value = request.value()};
  if (before != current_.end()) {
    pair.create = before->second.create;
    pair.version = before->second.version + 1;
    if (request.ignore_value()) pair.value = before->second.value;
    if (request.ignore_lease()) pair.lease = before->second.lease;
    if (request.prev_kv()) Fill(request.key(), before->second, response->mutable_prev_kv());
  }
  SetPair(request.key(), std::move(pair));
  response->mutable_header()->set_revision(now());
}

int64_t Model::Delete(const std::string& begin, const std::string& end, etcdserverpb::DeleteRangeResponse* response) {
  std::vector<std::string> keys;
  for (const auto& [key, pair] : current_) {
    if (!Inside(key, begin, end)) continue;
    keys.push_back(key);
    if (response != nullptr) Fill(key, pair, response->add_prev_kvs());
  }
  for (const std::string& key : keys) SetPair(key, std::nullopt);
  return static_cast<int64_t>(keys.size());
}

bool Model::Revoke(int64_t id) {
  if (leases_.erase(id) == 0) return false;
  std::vector<std::string> keys;
  for (const auto& [key, pair] : current_) {
    if (pair.lease == id) keys.push_back(key);
  }
  for (const std::string& key : keys) SetPair(key, std::nullopt);
  return true;
}

// --- Transactions.

bool Model::Holds(const TxnRequest& txn, const Pairs& pairs) {
  for (const Compare& compare : txn.compare()) {
    bool any = false;
    for (const auto& [key, pair] : pairs) {
      if (!Inside(key, compare.key(), compare.range_end())) continue;
      any = true;
      if (!HoldsFor(compare, pair)) return false;
    }
    if (!any && (compare.target() == Compare::VALUE || !HoldsFor(compare, Pair()))) return false;
  }
  return true;
}

void Model::Choose(const TxnRequest& txn, const Pairs& pairs, std::vector<bool>* choices) {
  const bool holds = Holds(txn, pairs);
  choices->push_back(holds);
  for (const RequestOp& op : holds ? txn.success() : txn.failure()) {
    if (op.has_request_txn()) Choose(op.request_txn(), pairs, choices);
  }
}

void Model::Flatten(const TxnRequest& txn, const std::vector<bool>& choices, size_t* next,
                    std::vector<const RequestOp*>* ops) {
  for (const RequestOp& op : choices[(*next)++] ? txn.success() : txn.failure()) {
    if (op.has_request_txn()) {
      Flatten(op.request_txn(), choices, next, ops);
    } else {
      ops->push_back(&op);
    }
  }
}

// All puts first, then all ranges; of a put whether there is something to keep, then whether there is its lease.
absl::Status Model::CheckTxn(const std::vector<const RequestOp*>& ops) const {
  std::vector<const etcdserverpb::DeleteRangeRequest*> deletes;
  for (const RequestOp* op : ops) {
    if (op->has_request_delete_range()) deletes.push_back(&op->request_delete_range());
    if (!op->has_request_put()) continue;
    const etcdserverpb::PutRequest& put = op->request_put();
    if (put.ignore_value() || put.ignore_lease()) {
      const auto goes = [&](const auto* earlier) { return Inside(put.key(), earlier->key(), earlier->range_end()); };
      if (!current_.contains(put.key()) || std::any_of(deletes.begin(), deletes.end(), goes)) return KeyMissing();
    }
    if (put.lease() != 0 && !leases_.contains(put.lease())) return LeaseMissing();
  }
  for (const RequestOp* op : ops) {
    if (!op->has_request_range()) continue;
    const int64_t at = op->request_range().revision();
    if (at > revision_) return Future();
    if (at < 0 || (at > 0 && at < compact_)) return Compacted();
  }
  return absl::OkStatus();
}

void Model::Run(const TxnRequest& txn, const std::vector<bool>& choices, size_t* next,
                etcdserverpb::TxnResponse* response) {
  response->set_succeeded(choices[(*next)++]);
  for (const RequestOp& op : response->succeeded() ? txn.success() : txn.failure()) {
    etcdserverpb::ResponseOp* answer = response->add_responses();
    if (op.has_request_range()) {
      const int64_t at = op.request_range().revision();
      auto* range = answer->mutable_response_range();
      // An explicit revision is one of before the transaction; without one, its own writes show.
      *range = RangeOf(op.request_range(), at > 0 ? At(at) : current_);
      range->mutable_header()->set_revision(now());
    } else if (op.has_request_put()) {
      Put(op.request_put(), answer->mutable_response_put());
    } else if (op.has_request_delete_range()) {
      const etcdserverpb::DeleteRangeRequest& request = op.request_delete_range();
      auto* deleted = answer->mutable_response_delete_range();
      deleted->set_deleted(Delete(request.key(), request.range_end(), request.prev_kv() ? deleted : nullptr));
      deleted->mutable_header()->set_revision(now());
    } else {
      answer->mutable_response_txn()->mutable_header();
      Run(op.request_txn(), choices, next, answer->mutable_response_txn());
    }
  }
}

absl::Status Model::Txn(const TxnRequest& txn, etcdserverpb::TxnResponse* response) {
  std::vector<bool> choices;
  Choose(txn, current_, &choices);
  size_t next = 0;
  std::vector<const RequestOp*> ops;
  Flatten(txn, choices, &next, &ops);
  if (absl::Status status = CheckTxn(ops); !status.ok()) return status;
  next = 0;
  Run(txn, choices, &next, response);
  response->mutable_header()->set_revision(now());
  return absl::OkStatus();
}

// --- Commands.

Model::Outcome Model::Apply(uint64_t index, uint64_t term, const command::Command& command) {
  changes_.clear();
  Outcome outcome;
  const auto answer = [&](auto* response) {
    response->mutable_header()->set_revision(now());
    outcome.response = response->SerializeAsString();
  };
  switch (command.body_case()) {
    case command::Command::kPut: {
      etcdserverpb::PutResponse response;
      outcome.status = CheckPut(command.put());
      if (!outcome.status.ok()) break;
      Put(command.put(), &response);
      answer(&response);
      break;
    }
    case command::Command::kDeleteRange: {
      etcdserverpb::DeleteRangeResponse response;
      const etcdserverpb::DeleteRangeRequest& request = command.delete_range();
      response.set_deleted(Delete(request.key(), request.range_end(), request.prev_kv() ? &response : nullptr));
      answer(&response);
      break;
    }
    case command::Command::kTxn: {
      etcdserverpb::TxnResponse response;
      outcome.status = Txn(command.txn(), &response);
      if (outcome.status.ok()) answer(&response);
      break;
    }
    case command::Command::kCompaction: {
      etcdserverpb::CompactionResponse response;
      const int64_t to = command.compaction().revision();
      outcome.status = to <= compact_ ? Compacted() : to > revision_ ? Future() : absl::OkStatus();
      if (!outcome.status.ok()) break;
      compact_ = to;
      answer(&response);
      break;
    }
    case command::Command::kLeaseGrant: {
      etcdserverpb::LeaseGrantResponse response;
      const etcdserverpb::LeaseGrantRequest& request = command.lease_grant();
      if (leases_.contains(request.id())) {
        outcome.status = absl::FailedPreconditionError("etcdserver: lease already exists");
        break;
      }
      leases_[request.id()] = {.ttl = request.ttl(), .remaining = 0, .grant_index = index};
      response.set_id(request.id());
      response.set_ttl(request.ttl());
      answer(&response);
      break;
    }
    case command::Command::kLeaseRevoke: {
      etcdserverpb::LeaseRevokeResponse response;
      if (!Revoke(command.lease_revoke().id())) {
        outcome.status = LeaseMissing();
        break;
      }
      answer(&response);
      break;
    }
    case command::Command::kLeaseExpire:
      if (command.lease_expire().term() != term) {
        outcome.status = OldLeader();
        break;
      }
      for (const auto& item : command.lease_expire().leases()) {
        const auto lease = leases_.find(item.id());
        if (lease != leases_.end() && lease->second.grant_index == item.grant_index()) Revoke(item.id());
      }
      break;
    case command::Command::kLeaseCheckpoint:
      if (command.lease_checkpoint().term() != term) {
        outcome.status = OldLeader();
        break;
      }
      for (const auto& item : command.lease_checkpoint().leases()) {
        const auto lease = leases_.find(item.id());
        if (lease != leases_.end()) lease->second.remaining = item.remaining_ttl();
      }
      break;
    default:
      break;
  }
  outcome.wrote = !changes_.empty();
  if (outcome.wrote) {
    ++revision_;
    for (const Event& event : changes_) versions_[event.key].emplace_back(revision_, event.pair);
    events_.push_back(std::exchange(changes_, {}));
  }
  outcome.revision = revision_;
  return outcome;
}

}  // namespace keel::sim
