#pragma once

// A part of the keyspace as if it were the whole: what ClientOptions::key_prefix does to messages.

#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::client {

// Adds the prefix to the keys and range ends of requests, and takes it off those of answers. Immutable; thread-safe;
// does nothing when the prefix is empty. Enter() gives kInvalidArgument for an empty key, as the server would without
// the prefix; with it, the server could not tell.
class KeyPrefix {
 public:
  explicit KeyPrefix(std::string prefix);

  bool empty() const { return prefix_.empty(); }

  absl::Status Enter(etcdserverpb::RangeRequest* request) const;
  absl::Status Enter(etcdserverpb::PutRequest* request) const;
  absl::Status Enter(etcdserverpb::DeleteRangeRequest* request) const;
  absl::Status Enter(etcdserverpb::TxnRequest* request) const;
  absl::Status Enter(etcdserverpb::WatchCreateRequest* request) const;

  void Leave(mvccpb::KeyValue* kv) const;
  void Leave(etcdserverpb::RangeResponse* response) const;
  void Leave(etcdserverpb::PutResponse* response) const;
  void Leave(etcdserverpb::DeleteRangeResponse* response) const;
  void Leave(etcdserverpb::TxnResponse* response) const;
  void Leave(etcdserverpb::WatchResponse* response) const;
  // Keeps those within.
  void Leave(std::vector<std::string>* keys) const;

 private:
  absl::Status EnterSpan(std::string* key, std::string* range_end) const;

  const std::string prefix_;
  const std::string end_;  // Of all that is within.
};

}  // namespace keel::client
