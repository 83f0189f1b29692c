#include "client/src/key_prefix.h"

#include <algorithm>

#include "base/status_macros.h"
#include "keel/types.h"

namespace keel::client {

KeyPrefix::KeyPrefix(std::string prefix) : prefix_(std::move(prefix)), end_(PrefixEnd(prefix_)) {}

absl::Status KeyPrefix::EnterSpan(std::string* key, std::string* range_end) const {
  if (key->empty()) return absl::InvalidArgumentError("etcdserver: key is not provided");
  key->insert(0, prefix_);
  if (range_end == nullptr || range_end->empty()) return absl::OkStatus();
  if (*range_end == std::string_view("\0", 1)) {
    *range_end = end_;  // "Everything from the key on" stops where the prefix does.
  } else {
    range_end->insert(0, prefix_);
  }
  return absl::OkStatus();
}

absl::Status KeyPrefix::Enter(etcdserverpb::RangeRequest* request) const {
  if (empty()) return absl::OkStatus();
  return EnterSpan(request->mutable_key(), request->mutable_range_end());
}

absl::Status KeyPrefix::Enter(etcdserverpb::PutRequest* request) const {
  if (empty()) return absl::OkStatus();
  return EnterSpan(request->mutable_key(), nullptr);
}

absl::Status KeyPrefix::Enter(etcdserverpb::DeleteRangeRequest* request) const {
  if (empty()) return absl::OkStatus();
  return EnterSpan(request->mutable_key(), request->mutable_range_end());
}

absl::Status KeyPrefix::Enter(etcdserverpb::WatchCreateRequest* request) const {
  if (empty()) return absl::OkStatus();
  // A server takes an empty key for the first one there is.
  if (request->key().empty()) request->mutable_key()->assign(1, '\0');
  return EnterSpan(request->mutable_key(), request->mutable_range_end());
}

absl::Status KeyPrefix::Enter(etcdserverpb::TxnRequest* request) const {
  if (empty()) return absl::OkStatus();
  for (etcdserverpb::Compare& compare : *request->mutable_compare()) {
    KEEL_RETURN_IF_ERROR(EnterSpan(compare.mutable_key(), compare.mutable_range_end()));
  }
  for (auto* branch : {request->mutable_success(), request->mutable_failure()}) {
    for (etcdserverpb::RequestOp& op : *branch) {
      switch (op.request_case()) {
        case etcdserverpb::RequestOp::kRequestRange:
          KEEL_RETURN_IF_ERROR(Enter(op.mutable_request_range()));
          break;
        case etcdserverpb::RequestOp::kRequestPut:
          KEEL_RETURN_IF_ERROR(Enter(op.mutable_request_put()));
          break;
        case etcdserverpb::RequestOp::kRequestDeleteRange:
          KEEL_RETURN_IF_ERROR(Enter(op.mutable_request_delete_range()));
          break;
        case etcdserverpb::RequestOp::kRequestTxn:
          KEEL_RETURN_IF_ERROR(Enter(op.mutable_request_txn()));
          break;
        case etcdserverpb::RequestOp::REQUEST_NOT_SET:
          break;
      }
    }
  }
  return absl::OkStatus();
}

void KeyPrefix::Leave(mvccpb::KeyValue* kv) const {
  if (kv->key().compare(0, prefix_.size(), prefix_) == 0) kv->mutable_key()->erase(0, prefix_.size());
}

void KeyPrefix::Leave(etcdserverpb::RangeResponse* response) const {
  if (empty()) return;
  for (mvccpb::KeyValue& kv : *response->mutable_kvs()) Leave(&kv);
}

void KeyPrefix::Leave(etcdserverpb::PutResponse* response) const {
  if (empty()) return;
  if (response->has_prev_kv()) Leave(response->mutable_prev_kv());
}

void KeyPrefix::Leave(etcdserverpb::DeleteRangeResponse* response) const {
  if (empty()) return;
  for (mvccpb::KeyValue& kv : *response->mutable_prev_kvs()) Leave(&kv);
}

void KeyPrefix::Leave(etcdserverpb::TxnResponse* response) const {
  if (empty()) return;
  for (etcdserverpb::ResponseOp& op : *response->mutable_responses()) {
    switch (op.response_case()) {
      case etcdserverpb::ResponseOp::kResponseRange:
        Leave(op.mutable_response_range());
        break;
      case etcdserverpb::ResponseOp::kResponsePut:
        Leave(op.mutable_response_put());
        break;
      case etcdserverpb::ResponseOp::kResponseDeleteRange:
        Leave(op.mutable_response_delete_range());
        break;
      case etcdserverpb::ResponseOp::kResponseTxn:
        Leave(op.mutable_response_txn());
        break;
      case etcdserverpb::ResponseOp::RESPONSE_NOT_SET:
        break;
    }
  }
}

void KeyPrefix::Leave(etcdserverpb::WatchResponse* response) const {
  if (empty()) return;
  for (mvccpb::Event& event : *response->mutable_events()) {
    Leave(event.mutable_kv());
    if (event.has_prev_kv()) Leave(event.mutable_prev_kv());
  }
}

void KeyPrefix::Leave(std::vector<std::string>* keys) const {
  if (empty()) return;
  std::erase_if(*keys, [this](const std::string& key) { return key.compare(0, prefix_.size(), prefix_) != 0; });
  for (std::string& key : *keys) key.erase(0, prefix_.size());
}

}  // namespace keel::client
