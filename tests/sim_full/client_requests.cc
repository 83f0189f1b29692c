// What clients ask for, at random.

#include "tests/sim_full/client_call.h"

namespace keel::sim {

std::string Client::RandomKey() { return absl::StrCat("k", random_.Below(8)); }

void Client::RandomInterval(std::string* key, std::string* end) {
  *key = RandomKey();
  end->clear();
  const uint64_t kind = random_.Below(6);
  if (kind == 0) *end = RandomKey();
  if (kind == 1) *end = kToTheEnd;
  if (kind == 2) {
    *key = "k";
    *end = "l";
  }
  if (kind == 3) *key = *end = kToTheEnd;
}

std::string Client::FreshValue() { return absl::StrCat(id_, "-", ++values_); }

int64_t Client::RandomLease() {
  if (leases_.empty() || random_.Chance(0.1)) return random_.Chance(0.5) ? 0 : 999999;
  return leases_[random_.Below(leases_.size())].id;
}

etcdserverpb::PutRequest Client::RandomPut() {
  etcdserverpb::PutRequest put;
  put.set_key(RandomKey());
  if (random_.Chance(0.08)) {
    put.set_ignore_value(true);
  } else {
    put.set_value(FreshValue());
  }
  if (random_.Chance(0.3)) {
    put.set_lease(RandomLease());
  } else if (random_.Chance(0.1)) {
    put.set_ignore_lease(true);
  }
  put.set_prev_kv(random_.Chance(0.4));
  return put;
}

etcdserverpb::RangeRequest Client::RandomRange() {
  etcdserverpb::RangeRequest range;
  RandomInterval(range.mutable_key(), range.mutable_range_end());
  if (random_.Chance(0.3)) {
    const int64_t newest = shared_.highest_revision + 1;
    range.set_revision(random_.Between(std::max<int64_t>(1, newest - 60), newest));
  }
  if (random_.Chance(0.3)) range.set_limit(random_.Between(1, 4));
  range.set_keys_only(random_.Chance(0.1));
  range.set_count_only(random_.Chance(0.1));
  if (random_.Chance(0.2)) range.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
  if (random_.Chance(0.1)) range.set_min_mod_revision(random_.Between(1, shared_.highest_revision));
  if (random_.Chance(0.1)) range.set_max_create_revision(random_.Between(1, shared_.highest_revision));
  return range;
}

etcdserverpb::Compare Client::RandomCompare() {
  etcdserverpb::Compare compare;
  RandomInterval(compare.mutable_key(), compare.mutable_range_end());
  compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(random_.Below(4)));
  switch (random_.Below(5)) {
    case 0:
      compare.set_target(etcdserverpb::Compare::VERSION);
      compare.set_version(random_.Between(0, 3));
      break;
    case 1:
      compare.set_target(etcdserverpb::Compare::CREATE);
      compare.set_create_revision(random_.Between(0, shared_.highest_revision));
      break;
    case 2:
      compare.set_target(etcdserverpb::Compare::MOD);
      compare.set_mod_revision(random_.Between(0, shared_.highest_revision));
      break;
    case 3:
      compare.set_target(etcdserverpb::Compare::VALUE);
      compare.set_value(absl::StrCat(random_.Below(9)));
      break;
    default:
      compare.set_target(etcdserverpb::Compare::LEASE);
      compare.set_lease(RandomLease());
  }
  return compare;
}

etcdserverpb::TxnRequest Client::RandomTxn(int depth) {
  etcdserverpb::TxnRequest txn;
  for (uint64_t n = random_.Below(3); n > 0; --n) *txn.add_compare() = RandomCompare();
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (uint64_t n = random_.Below(4); n > 0; --n) {
      etcdserverpb::RequestOp* op = branch->Add();
      const uint64_t kind = random_.Below(10);
      if (kind < 4) {
        *op->mutable_request_put() = RandomPut();
      } else if (kind < 6) {
        RandomInterval(op->mutable_request_delete_range()->mutable_key(),
                       op->mutable_request_delete_range()->mutable_range_end());
        op->mutable_request_delete_range()->set_prev_kv(random_.Chance(0.5));
      } else if (kind < 9 || depth == 0) {
        *op->mutable_request_range() = RandomRange();
      } else {
        *op->mutable_request_txn() = RandomTxn(depth - 1);
      }
    }
  }
  return txn;
}

}  // namespace keel::sim
