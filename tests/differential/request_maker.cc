#include "tests/differential/request_maker.h"

#include "absl/strings/str_cat.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "tests/differential/symbols.h"

namespace keel::differential {

using etcdserverpb::RangeRequest;

RangeRequest RequestMaker::Range() {
  RangeRequest range;
  if (!words_.Chance(0.02)) range.set_key(words_.Key());
  range.set_range_end(words_.Chance(0.2) ? std::string(1, '\0') : words_.RangeEnd(range.key()));
  if (words_.Chance(0.3)) range.set_limit(words_.Between(-1, 6));
  if (words_.Chance(0.4)) range.set_revision(words_.Revision());
  if (words_.Chance(0.4)) {
    range.set_sort_order(static_cast<RangeRequest::SortOrder>(words_.Between(0, 2)));
    range.set_sort_target(static_cast<RangeRequest::SortTarget>(words_.Between(0, 4)));
  }
  range.set_serializable(words_.Chance(0.2));
  range.set_keys_only(words_.Chance(0.15));
  range.set_count_only(words_.Chance(0.1));
  if (words_.Chance(0.12)) range.set_min_mod_revision(words_.SomeRevision());
  if (words_.Chance(0.12)) range.set_max_mod_revision(words_.SomeRevision());
  if (words_.Chance(0.12)) range.set_min_create_revision(words_.SomeRevision());
  if (words_.Chance(0.12)) range.set_max_create_revision(words_.SomeRevision());
  return range;
}

etcdserverpb::PutRequest RequestMaker::Put() {
  etcdserverpb::PutRequest put;
  if (!words_.Chance(0.02)) put.set_key(words_.Key());
  put.set_ignore_value(words_.Chance(0.12));
  if (!put.ignore_value() || words_.Chance(0.1)) put.set_value(words_.Value());
  put.set_ignore_lease(words_.Chance(0.12));
  if (words_.Chance(put.ignore_lease() ? 0.1 : 0.25)) put.set_lease(words_.Lease());
  put.set_prev_kv(words_.Chance(0.4));
  return put;
}

etcdserverpb::DeleteRangeRequest RequestMaker::Delete() {
  etcdserverpb::DeleteRangeRequest erase;
  if (!words_.Chance(0.02)) erase.set_key(words_.Key());
  if (words_.Chance(0.5)) erase.set_range_end(words_.RangeEnd(erase.key()));
  erase.set_prev_kv(words_.Chance(0.5));
  return erase;
}

etcdserverpb::CompactionRequest RequestMaker::Compact() {
  etcdserverpb::CompactionRequest compact;
  compact.set_revision(words_.Chance(0.5) ? Now(-words_.Between(0, 6)) : words_.Revision());
  compact.set_physical(words_.Chance(0.3));
  return compact;
}

etcdserverpb::Compare RequestMaker::Compare() {
  etcdserverpb::Compare compare;
  if (!words_.Chance(0.02)) compare.set_key(words_.Key());
  if (words_.Chance(0.3)) compare.set_range_end(words_.RangeEnd(compare.key()));
  compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(words_.Between(0, 3)));
  if (words_.Chance(0.02)) compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(9));
  const int64_t target = words_.Chance(0.02) ? 9 : words_.Between(0, 4);
  compare.set_target(static_cast<etcdserverpb::Compare::CompareTarget>(target));
  // Mostly the member that belongs to the target, sometimes another, sometimes none.
  switch (words_.Chance(0.85) ? target : words_.Between(0, 6)) {
    case etcdserverpb::Compare::VERSION:
      compare.set_version(words_.Between(-1, 3));
      break;
    case etcdserverpb::Compare::CREATE:
      compare.set_create_revision(words_.Chance(0.3) ? 0 : words_.SomeRevision());
      break;
    case etcdserverpb::Compare::MOD:
      compare.set_mod_revision(words_.Chance(0.3) ? 0 : words_.SomeRevision());
      break;
    case etcdserverpb::Compare::VALUE:
      compare.set_value(words_.Value());
      break;
    case etcdserverpb::Compare::LEASE:
      compare.set_lease(words_.Chance(0.3) ? 0 : words_.Lease());
      break;
    default:
      break;
  }
  return compare;
}

etcdserverpb::RequestOp RequestMaker::Op(int depth) {
  etcdserverpb::RequestOp op;
  switch (words_.random().Below(10)) {
    case 0:
    case 1:
    case 2:
      *op.mutable_request_range() = Range();
      break;
    case 3:
    case 4:
    case 5:
      *op.mutable_request_put() = Put();
      break;
    case 6:
    case 7:
      *op.mutable_request_delete_range() = Delete();
      break;
    default:
      if (depth > 0) {
        *op.mutable_request_txn() = Txn(depth - 1);
      } else if (!words_.Chance(0.1)) {
        *op.mutable_request_put() = Put();
      }
      break;
  }
  return op;
}

namespace {

// True if some delete of the transaction may stand before a put of a key it covers: those of nested transactions and
// those from a key on are not seen as duplicates.
bool DeletesUnseen(const etcdserverpb::TxnRequest& txn, bool nested) {
  for (const auto* branch : {&txn.success(), &txn.failure()}) {
    for (const etcdserverpb::RequestOp& op : *branch) {
      if (op.has_request_txn() && DeletesUnseen(op.request_txn(), true)) return true;
      if (!op.has_request_delete_range()) continue;
      if (nested || op.request_delete_range().range_end() == std::string(1, '\0')) return true;
    }
  }
  return false;
}

void KeepNothing(etcdserverpb::TxnRequest* txn) {
  for (auto* branch : {txn->mutable_success(), txn->mutable_failure()}) {
    for (etcdserverpb::RequestOp& op : *branch) {
      if (op.has_request_txn()) KeepNothing(op.mutable_request_txn());
      if (!op.has_request_put()) continue;
      op.mutable_request_put()->clear_ignore_value();
      op.mutable_request_put()->clear_ignore_lease();
    }
  }
}

}  // namespace

etcdserverpb::TxnRequest RequestMaker::WholeTxn() {
  etcdserverpb::TxnRequest txn = Txn(2);
  // etcd ends itself when the pair that a put should keep was deleted earlier in the same transaction.
  if (DeletesUnseen(txn, false)) KeepNothing(&txn);
  return txn;
}

etcdserverpb::TxnRequest RequestMaker::Txn(int depth) {
  etcdserverpb::TxnRequest txn;
  for (int64_t n = words_.Between(0, 3); n > 0; --n) *txn.add_compare() = Compare();
  for (int64_t n = words_.Between(0, 4); n > 0; --n) *txn.add_success() = Op(depth);
  for (int64_t n = words_.Between(0, 4); n > 0; --n) *txn.add_failure() = Op(depth);
  if (words_.Chance(0.15)) {
    // Reads alone: another way through the server.
    txn.clear_success();
    txn.clear_failure();
    for (int64_t n = words_.Between(0, 3); n > 0; --n) *txn.add_success()->mutable_request_range() = Range();
    for (int64_t n = words_.Between(0, 2); n > 0; --n) *txn.add_failure()->mutable_request_range() = Range();
  }
  return txn;
}

etcdserverpb::TxnRequest RequestMaker::LongTxn() {
  etcdserverpb::TxnRequest txn;
  const auto fill = [&](etcdserverpb::TxnRequest* to, int64_t size) {
    for (int64_t i = 0; i < size; ++i) {
      to->add_success()->mutable_request_put()->set_key(absl::StrCat("n", i, "/", words_.random().Below(1000)));
    }
  };
  if (words_.Chance(0.5)) {
    fill(&txn, words_.Between(127, 129));
    return txn;
  }
  const int64_t outer = words_.Between(60, 68);
  fill(&txn, outer);
  fill(txn.add_success()->mutable_request_txn(), words_.Between(126, 128) - outer);
  return txn;
}

etcdserverpb::WatchRequest RequestMaker::Watch() {
  etcdserverpb::WatchRequest request;
  if (words_.Chance(0.2)) {
    request.mutable_cancel_request()->set_watch_id(words_.Between(0, 5));
    return request;
  }
  if (words_.Chance(0.08)) {
    request.mutable_progress_request();
    return request;
  }
  etcdserverpb::WatchCreateRequest* create = request.mutable_create_request();
  if (!words_.Chance(0.05)) create->set_key(words_.Key());
  create->set_range_end(words_.Chance(0.4) ? std::string(1, '\0') : words_.RangeEnd(create->key()));
  if (words_.Chance(0.5))
    create->set_start_revision(words_.Chance(0.2) ? Now(words_.Between(1, 5)) : words_.Revision());
  create->set_progress_notify(words_.Chance(0.1));
  create->set_prev_kv(words_.Chance(0.5));
  create->set_fragment(words_.Chance(0.3));
  if (words_.Chance(0.2)) create->add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
  if (words_.Chance(0.2)) create->add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
  if (words_.Chance(0.2)) create->set_watch_id(words_.Between(-1, 4));
  return request;
}

Step RequestMaker::LeaseStep() {
  switch (words_.random().Below(8)) {
    case 0:
    case 1:
    case 2: {
      etcdserverpb::LeaseGrantRequest grant;
      grant.set_ttl(words_.Ttl());
      if (!words_.Chance(0.3)) grant.set_id(words_.Lease());
      return MakeStep("grant", grant);
    }
    case 3: {
      etcdserverpb::LeaseRevokeRequest revoke;
      revoke.set_id(words_.Chance(0.05) ? 0 : words_.Lease());
      return MakeStep("revoke", revoke);
    }
    case 4: {
      etcdserverpb::LeaseKeepAliveRequest keepalive;
      keepalive.set_id(words_.Chance(0.05) ? 0 : words_.Lease());
      return MakeStep("keepalive", keepalive);
    }
    case 5:
      return MakeStep("leases", etcdserverpb::LeaseLeasesRequest());
    default: {
      etcdserverpb::LeaseTimeToLiveRequest time_to_live;
      time_to_live.set_id(words_.Chance(0.05) ? 0 : words_.Lease());
      time_to_live.set_keys(words_.Chance(0.7));
      return MakeStep("timetolive", time_to_live);
    }
  }
}

Step RequestMaker::MaintenanceStep() {
  switch (words_.random().Below(6)) {
    case 0:
      return MakeStep("status", etcdserverpb::StatusRequest());
    case 1: {
      etcdserverpb::HashKVRequest hash;
      hash.set_revision(words_.Revision());
      return MakeStep("hashkv", hash);
    }
    case 2: {
      etcdserverpb::MemberListRequest list;
      list.set_linearizable(words_.Chance(0.5));
      return MakeStep("members", list);
    }
    case 3:
      return MakeStep("defragment", etcdserverpb::DefragmentRequest());
    default: {
      etcdserverpb::AlarmRequest alarm;
      alarm.set_action(static_cast<etcdserverpb::AlarmRequest::AlarmAction>(words_.Between(0, 2)));
      alarm.set_alarm(static_cast<etcdserverpb::AlarmType>(words_.Between(0, 1)));
      alarm.set_memberid(static_cast<uint64_t>(words_.Between(0, 2)));
      // etcd ends itself when told to raise the alarm NONE.
      if (alarm.action() == etcdserverpb::AlarmRequest::ACTIVATE) alarm.set_alarm(etcdserverpb::NOSPACE);
      return MakeStep("alarm", alarm);
    }
  }
}

Step RequestMaker::MalformedStep() {
  static const char* const words[] = {"raw/range", "raw/put", "raw/delete", "raw/txn", "raw/compact"};
  Step step;
  step.method = FindMethod(words[words_.random().Below(std::size(words))]);
  if (words_.Chance(0.4)) {
    // A message with a field of a number that no version has.
    step.raw = (words_.Chance(0.5) ? Put().SerializeAsString() : Range().SerializeAsString()) + "\xfa\x3e\x03odd";
    step.method = FindMethod(words_.Chance(0.5) ? "raw/put" : "raw/delete");
    return step;
  }
  for (int64_t n = words_.Between(1, 12); n > 0; --n) step.raw.push_back(static_cast<char>(words_.Between(0, 255)));
  return step;
}

Step RequestMaker::LargeStep() {
  etcdserverpb::PutRequest put;
  put.set_key(words_.Key());
  put.set_value(
      absl::StrCat("@fill:", words_.OneOf({1'000'000, 1'572'700, 1'572'864, 1'600'000, 2'097'000, 2'097'153}), ":x"));
  return MakeStep("put", put);
}

}  // namespace keel::differential
