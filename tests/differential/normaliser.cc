#include "tests/differential/normaliser.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "proto/election.pb.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"

namespace keel::differential {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// What a present number of the server's own choice becomes.
constexpr uint64_t kSome = 1;

template <typename Number>
Number Presence(Number n) {
  return n > 0 ? static_cast<Number>(kSome) : n;
}

void NormaliseHeader(const ServerFacts& facts, etcdserverpb::ResponseHeader* header) {
  if (header->cluster_id() == facts.cluster_id) header->set_cluster_id(kSome);
  if (header->member_id() == facts.member_id) header->set_member_id(kSome);
  header->set_raft_term(Presence(header->raft_term()));
}

void NormaliseMember(const ServerFacts& facts, etcdserverpb::Member* member) {
  if (member->id() == facts.member_id) member->set_id(kSome);
  for (std::string& url : *member->mutable_clienturls()) url = "a client URL";
  for (std::string& url : *member->mutable_peerurls()) url = "a peer URL";
}

void NormaliseStatus(const ServerFacts& facts, etcdserverpb::StatusResponse* status) {
  if (status->leader() == facts.member_id) status->set_leader(kSome);
  status->set_dbsize(Presence(status->dbsize()));
  status->set_dbsizeinuse(Presence(status->dbsizeinuse()));
  status->set_raftindex(Presence(status->raftindex()));
  status->set_raftterm(Presence(status->raftterm()));
  status->set_raftappliedindex(Presence(status->raftappliedindex()));
  std::sort(status->mutable_errors()->begin(), status->mutable_errors()->end());  // Alarms come in no order.
}

// A remaining time that a clock can explain becomes what is left right after the grant; any other stays.
void NormaliseTimeToLive(const ServerFacts& facts, etcdserverpb::LeaseTimeToLiveResponse* lease) {
  const int64_t fresh = lease->grantedttl() - 1;  // Truncated to whole seconds.
  if (lease->grantedttl() > 0 && lease->ttl() <= fresh &&
      lease->ttl() >= fresh - absl::ToInt64Seconds(facts.elapsed) - 1 && lease->ttl() >= 0) {
    lease->set_ttl(fresh);
  }
  std::sort(lease->mutable_keys()->begin(), lease->mutable_keys()->end());
}

void NormaliseLeases(etcdserverpb::LeaseLeasesResponse* response) {
  std::vector<int64_t> ids;
  for (const etcdserverpb::LeaseStatus& lease : response->leases()) ids.push_back(lease.id());
  std::sort(ids.begin(), ids.end());
  for (int i = 0; i < response->leases_size(); ++i) response->mutable_leases(i)->set_id(ids[i]);
}

bool HoldsALease(const FieldDescriptor& field) {
  if (field.type() != FieldDescriptor::TYPE_INT64) return false;
  return field.name() == "lease" || field.name() == "ID";
}

// At any depth: leases that the server chose, and headers.
void NormaliseFields(const ServerFacts& facts, Message* message) {
  if (auto* header = dynamic_cast<etcdserverpb::ResponseHeader*>(message)) return NormaliseHeader(facts, header);
  if (auto* member = dynamic_cast<etcdserverpb::Member*>(message)) return NormaliseMember(facts, member);
  if (auto* alarm = dynamic_cast<etcdserverpb::AlarmMember*>(message)) {
    if (alarm->memberid() == facts.member_id) alarm->set_memberid(kSome);
  }
  const google::protobuf::Reflection* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (HoldsALease(*field)) {
      reflection->SetInt64(message, field, NameOfLease(facts.symbols, reflection->GetInt64(*message, field)));
    } else if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
      continue;
    } else if (!field->is_repeated()) {
      NormaliseFields(facts, reflection->MutableMessage(message, field));
    } else {
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        NormaliseFields(facts, reflection->MutableRepeatedMessage(message, field, i));
      }
    }
  }
}

// Orders as the range did, ties by key.
int CompareBy(etcdserverpb::RangeRequest::SortTarget target, const mvccpb::KeyValue& a, const mvccpb::KeyValue& b) {
  const auto three_way = [](const auto& x, const auto& y) { return x < y ? -1 : y < x ? 1 : 0; };
  switch (target) {
    case etcdserverpb::RangeRequest::VERSION:
      return three_way(a.version(), b.version());
    case etcdserverpb::RangeRequest::CREATE:
      return three_way(a.create_revision(), b.create_revision());
    case etcdserverpb::RangeRequest::MOD:
      return three_way(a.mod_revision(), b.mod_revision());
    case etcdserverpb::RangeRequest::VALUE:
      return three_way(a.value(), b.value());
    default:
      return three_way(a.key(), b.key());
  }
}

void NormaliseRangeTies(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) {
  const auto target = request.sort_target();
  // Values that are not shown cannot be seen to be equal.
  if (target == etcdserverpb::RangeRequest::KEY || response->kvs().empty()) return;
  auto* pairs = response->mutable_kvs();
  for (auto begin = pairs->begin(); begin != pairs->end();) {
    auto end = begin;
    while (end != pairs->end() && CompareBy(target, *begin, *end) == 0) ++end;
    std::sort(begin, end, [](const auto& a, const auto& b) { return a.key() < b.key(); });
    if (end == pairs->end() && response->more()) {
      for (auto it = begin; it != end; ++it) {
        mvccpb::KeyValue tied;
        if (target == etcdserverpb::RangeRequest::VERSION) tied.set_version(it->version());
        if (target == etcdserverpb::RangeRequest::CREATE) tied.set_create_revision(it->create_revision());
        if (target == etcdserverpb::RangeRequest::MOD) tied.set_mod_revision(it->mod_revision());
        if (target == etcdserverpb::RangeRequest::VALUE) tied.set_value(it->value());
        *it = tied;
      }
    }
    begin = end;
  }
}

void NormaliseTxnTies(const etcdserverpb::TxnRequest& request, etcdserverpb::TxnResponse* response) {
  const auto& branch = response->succeeded() ? request.success() : request.failure();
  for (int i = 0; i < std::min(branch.size(), response->responses_size()); ++i) {
    etcdserverpb::ResponseOp* op = response->mutable_responses(i);
    if (branch[i].has_request_range() && op->has_response_range()) {
      NormaliseRangeTies(branch[i].request_range(), op->mutable_response_range());
    }
    if (branch[i].has_request_txn() && op->has_response_txn()) {
      NormaliseTxnTies(branch[i].request_txn(), op->mutable_response_txn());
    }
  }
}

}  // namespace

void NormaliseTies(const Message& request, Message* response) {
  const auto* range = dynamic_cast<const etcdserverpb::RangeRequest*>(&request);
  const auto* txn = dynamic_cast<const etcdserverpb::TxnRequest*>(&request);
  auto* range_response = dynamic_cast<etcdserverpb::RangeResponse*>(response);
  auto* txn_response = dynamic_cast<etcdserverpb::TxnResponse*>(response);
  if (range != nullptr && range_response != nullptr) NormaliseRangeTies(*range, range_response);
  if (txn != nullptr && txn_response != nullptr) NormaliseTxnTies(*txn, txn_response);
}

void Normalise(const ServerFacts& facts, Message* response) {
  NormaliseFields(facts, response);
  if (auto* status = dynamic_cast<etcdserverpb::StatusResponse*>(response)) NormaliseStatus(facts, status);
  if (auto* lease = dynamic_cast<etcdserverpb::LeaseTimeToLiveResponse*>(response)) NormaliseTimeToLive(facts, lease);
  if (auto* alarms = dynamic_cast<etcdserverpb::AlarmResponse*>(response)) {
    std::sort(alarms->mutable_alarms()->begin(), alarms->mutable_alarms()->end(), [](const auto& a, const auto& b) {
      return std::make_pair(a.memberid(), a.alarm()) < std::make_pair(b.memberid(), b.alarm());
    });
  }
  if (auto* leases = dynamic_cast<etcdserverpb::LeaseLeasesResponse*>(response)) NormaliseLeases(leases);
  // Both hash what they store, in their own format: that there is a hash is all that is common.
  if (auto* hash = dynamic_cast<etcdserverpb::HashKVResponse*>(response)) hash->set_hash(Presence(hash->hash()));
  if (auto* hash = dynamic_cast<etcdserverpb::HashResponse*>(response)) hash->set_hash(Presence(hash->hash()));
}

}  // namespace keel::differential
