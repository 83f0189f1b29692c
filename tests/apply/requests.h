#pragma once

// Short spellings of requests for tests.

#include <cctype>
#include <string>
#include <string_view>

#include "base/check.h"
#include "proto/etcdserver_kv.pb.h"

namespace keel::server {

using OpList = google::protobuf::RepeatedPtrField<etcdserverpb::RequestOp>;

inline etcdserverpb::PutRequest* AddPut(OpList* ops, std::string key, std::string value) {
  etcdserverpb::PutRequest* put = ops->Add()->mutable_request_put();
  put->set_key(std::move(key));
  put->set_value(std::move(value));
  return put;
}

inline etcdserverpb::RangeRequest* AddRange(OpList* ops, std::string key, std::string range_end = "") {
  etcdserverpb::RangeRequest* range = ops->Add()->mutable_request_range();
  range->set_key(std::move(key));
  range->set_range_end(std::move(range_end));
  return range;
}

inline etcdserverpb::DeleteRangeRequest* AddDelete(OpList* ops, std::string key, std::string range_end = "") {
  etcdserverpb::DeleteRangeRequest* request = ops->Add()->mutable_request_delete_range();
  request->set_key(std::move(key));
  request->set_range_end(std::move(range_end));
  return request;
}

inline etcdserverpb::TxnRequest* AddTxn(OpList* ops) { return ops->Add()->mutable_request_txn(); }

// Reads operations off `*text` until its end, '|' or ')': "p:KEY" put, "p:KEY=VALUE", "d:KEY" or "d:KEY:END" delete,
// "r:KEY" or "r:KEY:END" range, "(then|else)" a nested transaction with no compares. "0" stands for the key "\0".
inline void ParseOps(std::string_view* text, OpList* ops) {
  const auto key = [](std::string_view word) { return word == "0" ? std::string(1, '\0') : std::string(word); };
  while (!text->empty() && text->front() != '|' && text->front() != ')') {
    const char kind = text->front();
    text->remove_prefix(1);
    if (kind == ' ') continue;
    if (kind == '(') {
      etcdserverpb::TxnRequest* nested = AddTxn(ops);
      ParseOps(text, nested->mutable_success());
      KEEL_CHECK(!text->empty() && text->front() == '|') << "expected | before: " << *text;
      text->remove_prefix(1);
      ParseOps(text, nested->mutable_failure());
      KEEL_CHECK(!text->empty() && text->front() == ')') << "expected ) before: " << *text;
      text->remove_prefix(1);
      continue;
    }
    KEEL_CHECK(!text->empty() && text->front() == ':') << "expected : before: " << *text;
    text->remove_prefix(1);
    const std::string_view words = text->substr(0, text->find_first_of(" |)"));
    text->remove_prefix(words.size());
    const size_t split = words.find_first_of(":=");
    const std::string first = key(words.substr(0, split));
    const std::string second = split == std::string_view::npos ? "" : key(words.substr(split + 1));
    switch (kind) {
      case 'p':
        AddPut(ops, first, second);
        break;
      case 'd':
        AddDelete(ops, first, second);
        break;
      case 'r':
        AddRange(ops, first, second);
        break;
      default:
        KEEL_CHECK(false) << "unknown operation " << kind;
    }
  }
}

inline void ParseOps(std::string_view text, OpList* ops) { ParseOps(&text, ops); }

}  // namespace keel::server
