#pragma once

// Messages of the protocol to our values and back; the only place that knows both.

#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "keel/cluster.h"
#include "keel/kv.h"
#include "keel/maintenance.h"
#include "keel/txn.h"
#include "keel/types.h"
#include "keel/watch.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::client {

// An interval as the protocol wants it.
struct KeySpan {
  std::string key;
  std::string range_end;
};
// kInvalidArgument if more than one of range_end, prefix, from_key is set.
absl::StatusOr<KeySpan> MakeSpan(std::string_view key, const std::string& range_end, bool prefix, bool from_key);

absl::Status ToProto(std::string_view key, const RangeOptions& options, etcdserverpb::RangeRequest* out);
absl::Status ToProto(std::string_view key, std::string_view value, const PutOptions& options,
                     etcdserverpb::PutRequest* out);
absl::Status ToProto(std::string_view key, const DeleteOptions& options, etcdserverpb::DeleteRangeRequest* out);
absl::Status ToProto(const Txn& txn, etcdserverpb::TxnRequest* out);

// These take the strings out of the message.
ResponseHeader FromProto(const etcdserverpb::ResponseHeader& in);
KeyValue FromProto(mvccpb::KeyValue& in);
Event FromProto(mvccpb::Event& in);
RangeResponse FromProto(etcdserverpb::RangeResponse& in);
PutResponse FromProto(etcdserverpb::PutResponse& in);
DeleteResponse FromProto(etcdserverpb::DeleteRangeResponse& in);
TxnResponse FromProto(etcdserverpb::TxnResponse& in);
CompactResponse FromProto(const etcdserverpb::CompactionResponse& in);
Member FromProto(const etcdserverpb::Member& in);
StatusResponse FromProto(const etcdserverpb::StatusResponse& in);
AlarmResponse FromProto(const etcdserverpb::AlarmResponse& in);

// A cancel reason of a watch as a Status: some are texts of gRPC errors ("rpc error: code = X desc = Y").
absl::Status FromCancelReason(std::string_view reason);

}  // namespace keel::client
