#include "client/src/convert.h"

#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::client {
namespace {

using etcdserverpb::RangeRequest;

std::string Bytes(std::string_view s) { return std::string(s); }

absl::Status CompareToProto(const Compare& compare, etcdserverpb::Compare* out) {
  switch (compare.relation) {
    case Compare::Relation::kEqual:
      out->set_result(etcdserverpb::Compare::EQUAL);
      break;
    case Compare::Relation::kGreater:
      out->set_result(etcdserverpb::Compare::GREATER);
      break;
    case Compare::Relation::kLess:
      out->set_result(etcdserverpb::Compare::LESS);
      break;
    case Compare::Relation::kNotEqual:
      out->set_result(etcdserverpb::Compare::NOT_EQUAL);
      break;
  }
  switch (compare.target) {
    case Compare::Target::kVersion:
      out->set_target(etcdserverpb::Compare::VERSION);
      out->set_version(compare.number);
      break;
    case Compare::Target::kCreateRevision:
      out->set_target(etcdserverpb::Compare::CREATE);
      out->set_create_revision(compare.number);
      break;
    case Compare::Target::kModRevision:
      out->set_target(etcdserverpb::Compare::MOD);
      out->set_mod_revision(compare.number);
      break;
    case Compare::Target::kValue:
      out->set_target(etcdserverpb::Compare::VALUE);
      out->set_value(compare.value);
      break;
    case Compare::Target::kLease:
      out->set_target(etcdserverpb::Compare::LEASE);
      out->set_lease(compare.number);
      break;
  }
  out->set_key(compare.key);
  out->set_range_end(compare.range_end);
  return absl::OkStatus();
}

absl::Status OpToProto(const Op& op, etcdserverpb::RequestOp* out) {
  if (op.get() != nullptr) return ToProto(op.get()->key, op.get()->options, out->mutable_request_range());
  if (op.put() != nullptr) {
    return ToProto(op.put()->key, op.put()->value, op.put()->options, out->mutable_request_put());
  }
  if (op.del() != nullptr) return ToProto(op.del()->key, op.del()->options, out->mutable_request_delete_range());
  return ToProto(*op.txn(), out->mutable_request_txn());
}

OpResponse OpFromProto(etcdserverpb::ResponseOp& in) {
  switch (in.response_case()) {
    case etcdserverpb::ResponseOp::kResponsePut:
      return {FromProto(*in.mutable_response_put())};
    case etcdserverpb::ResponseOp::kResponseDeleteRange:
      return {FromProto(*in.mutable_response_delete_range())};
    case etcdserverpb::ResponseOp::kResponseTxn:
      return {FromProto(*in.mutable_response_txn())};
    case etcdserverpb::ResponseOp::kResponseRange:
    case etcdserverpb::ResponseOp::RESPONSE_NOT_SET:
      break;
  }
  return {FromProto(*in.mutable_response_range())};
}

}  // namespace

absl::StatusOr<KeySpan> MakeSpan(std::string_view key, const std::string& range_end, bool prefix, bool from_key) {
  if (int{!range_end.empty()} + int{prefix} + int{from_key} > 1) {
    return absl::InvalidArgumentError("only one of range_end, prefix and from_key may be set");
  }
  KeySpan span{.key = Bytes(key), .range_end = range_end};
  if (prefix || from_key) {
    span.range_end = prefix ? PrefixEnd(key) : std::string(1, '\0');
    if (span.key.empty()) span.key.assign(1, '\0');
  }
  return span;
}

absl::Status ToProto(std::string_view key, const RangeOptions& options, RangeRequest* out) {
  if (!options.prefix && !options.from_key) {  // The common case copies the key once.
    out->set_key(key.data(), key.size());
    if (!options.range_end.empty()) out->set_range_end(options.range_end);
  } else {
    KEEL_ASSIGN_OR_RETURN(KeySpan span, MakeSpan(key, options.range_end, options.prefix, options.from_key));
    out->set_key(std::move(span.key));
    out->set_range_end(std::move(span.range_end));
  }
  out->set_limit(options.limit);
  out->set_revision(options.revision);
  out->set_sort_order(static_cast<RangeRequest::SortOrder>(options.sort_order));
  out->set_sort_target(static_cast<RangeRequest::SortTarget>(options.sort_target));
  // Ascending by key is the order anyway; saying so would cost the server a sort.
  if (options.sort_target == SortTarget::kKey && options.sort_order == SortOrder::kAscend) {
    out->set_sort_order(RangeRequest::NONE);
  }
  out->set_serializable(options.serializable);
  out->set_keys_only(options.keys_only);
  out->set_count_only(options.count_only);
  out->set_min_mod_revision(options.min_mod_revision);
  out->set_max_mod_revision(options.max_mod_revision);
  out->set_min_create_revision(options.min_create_revision);
  out->set_max_create_revision(options.max_create_revision);
  return absl::OkStatus();
}

absl::Status ToProto(std::string_view key, std::string_view value, const PutOptions& options,
                     etcdserverpb::PutRequest* out) {
  out->set_key(key.data(), key.size());
  out->set_value(value.data(), value.size());
  out->set_lease(options.lease);
  out->set_prev_kv(options.prev_kv);
  out->set_ignore_value(options.ignore_value);
  out->set_ignore_lease(options.ignore_lease);
  return absl::OkStatus();
}

absl::Status ToProto(std::string_view key, const DeleteOptions& options, etcdserverpb::DeleteRangeRequest* out) {
  KEEL_ASSIGN_OR_RETURN(KeySpan span, MakeSpan(key, options.range_end, options.prefix, options.from_key));
  out->set_key(std::move(span.key));
  out->set_range_end(std::move(span.range_end));
  out->set_prev_kv(options.prev_kv);
  return absl::OkStatus();
}

absl::Status ToProto(const Txn& txn, etcdserverpb::TxnRequest* out) {
  for (const Compare& compare : txn.compares()) KEEL_RETURN_IF_ERROR(CompareToProto(compare, out->add_compare()));
  for (const Op& op : txn.then_ops()) KEEL_RETURN_IF_ERROR(OpToProto(op, out->add_success()));
  for (const Op& op : txn.else_ops()) KEEL_RETURN_IF_ERROR(OpToProto(op, out->add_failure()));
  return absl::OkStatus();
}

ResponseHeader FromProto(const etcdserverpb::ResponseHeader& in) {
  return {.cluster_id = in.cluster_id(),
          .member_id = in.member_id(),
          .revision = in.revision(),
          .raft_term = in.raft_term()};
}

KeyValue FromProto(mvccpb::KeyValue& in) {
  return {.key = std::move(*in.mutable_key()),
          .value = std::move(*in.mutable_value()),
          .create_revision = in.create_revision(),
          .mod_revision = in.mod_revision(),
          .version = in.version(),
          .lease = in.lease()};
}

Event FromProto(mvccpb::Event& in) {
  Event event{.type = in.type() == mvccpb::Event::DELETE ? Event::Type::kDelete : Event::Type::kPut,
              .kv = FromProto(*in.mutable_kv())};
  if (in.has_prev_kv()) event.prev_kv = FromProto(*in.mutable_prev_kv());
  return event;
}

RangeResponse FromProto(etcdserverpb::RangeResponse& in) {
  RangeResponse out{.header = FromProto(in.header()), .more = in.more(), .count = in.count()};
  out.kvs.reserve(in.kvs_size());
  for (mvccpb::KeyValue& kv : *in.mutable_kvs()) out.kvs.push_back(FromProto(kv));
  return out;
}

PutResponse FromProto(etcdserverpb::PutResponse& in) {
  PutResponse out{.header = FromProto(in.header())};
  if (in.has_prev_kv()) out.prev_kv = FromProto(*in.mutable_prev_kv());
  return out;
}

DeleteResponse FromProto(etcdserverpb::DeleteRangeResponse& in) {
  DeleteResponse out{.header = FromProto(in.header()), .deleted = in.deleted()};
  for (mvccpb::KeyValue& kv : *in.mutable_prev_kvs()) out.prev_kvs.push_back(FromProto(kv));
  return out;
}

TxnResponse FromProto(etcdserverpb::TxnResponse& in) {
  TxnResponse out{.header = FromProto(in.header()), .succeeded = in.succeeded()};
  for (etcdserverpb::ResponseOp& op : *in.mutable_responses()) out.responses.push_back(OpFromProto(op));
  return out;
}

CompactResponse FromProto(const etcdserverpb::CompactionResponse& in) { return {.header = FromProto(in.header())}; }

Member FromProto(const etcdserverpb::Member& in) {
  return {.id = in.id(),
          .name = in.name(),
          .peer_urls = {in.peerurls().begin(), in.peerurls().end()},
          .client_urls = {in.clienturls().begin(), in.clienturls().end()},
          .is_learner = in.islearner()};
}

StatusResponse FromProto(const etcdserverpb::StatusResponse& in) {
  StatusResponse out{.header = FromProto(in.header()),
                     .version = in.version(),
                     .db_size = in.dbsize(),
                     .db_size_in_use = in.dbsizeinuse(),
                     .db_size_quota = in.dbsizequota(),
                     .leader = in.leader(),
                     .raft_index = in.raftindex(),
                     .raft_term = in.raftterm(),
                     .raft_applied_index = in.raftappliedindex(),
                     .errors = {in.errors().begin(), in.errors().end()},
                     .is_learner = in.islearner(),
                     .storage_version = in.storageversion()};
  if (in.has_downgradeinfo()) {
    out.downgrade_info =
        DowngradeInfo{.enabled = in.downgradeinfo().enabled(), .target_version = in.downgradeinfo().targetversion()};
  }
  return out;
}

AlarmResponse FromProto(const etcdserverpb::AlarmResponse& in) {
  AlarmResponse out{.header = FromProto(in.header())};
  for (const etcdserverpb::AlarmMember& alarm : in.alarms()) {
    out.alarms.push_back({.member_id = alarm.memberid(), .type = static_cast<AlarmType>(alarm.alarm())});
  }
  return out;
}

absl::Status FromCancelReason(std::string_view reason) {
  struct CodeName {
    const char* name;
    absl::StatusCode code;
  };
  constexpr CodeName kCodes[] = {{"PermissionDenied", absl::StatusCode::kPermissionDenied},
                                 {"Unauthenticated", absl::StatusCode::kUnauthenticated},
                                 {"InvalidArgument", absl::StatusCode::kInvalidArgument}};
  absl::string_view text = ToAbsl(reason);
  if (absl::ConsumePrefix(&text, "rpc error: code = ")) {
    const size_t space = text.find(" desc = ");
    if (space != absl::string_view::npos) {
      const absl::string_view name = text.substr(0, space);
      text.remove_prefix(space + 8);
      for (const CodeName& known : kCodes) {
        if (name == known.name) return absl::Status(known.code, text);
      }
      return absl::FailedPreconditionError(text);
    }
  }
  if (text == "mvcc: watcher range is empty") return absl::InvalidArgumentError(text);
  if (text == "etcdserver: permission denied") return absl::PermissionDeniedError(text);
  return absl::FailedPreconditionError(text.empty() ? "etcdserver: watch was cancelled by the server" : text);
}

}  // namespace keel::client
