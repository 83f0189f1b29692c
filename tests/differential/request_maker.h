#pragma once

// Random requests of each kind.

#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/differential/sequence.h"
#include "tests/differential/vocabulary.h"

namespace keel::differential {

// Owned by one thread.
class RequestMaker {
 public:
  explicit RequestMaker(uint64_t seed) : words_(seed) {}

  Vocabulary& words() { return words_; }

  etcdserverpb::RangeRequest Range();
  etcdserverpb::PutRequest Put();
  etcdserverpb::DeleteRangeRequest Delete();
  etcdserverpb::CompactionRequest Compact();
  etcdserverpb::TxnRequest WholeTxn();
  // About as many operations as a transaction may have.
  etcdserverpb::TxnRequest LongTxn();
  etcdserverpb::WatchRequest Watch();

  Step LeaseStep();
  Step MaintenanceStep();
  // Bytes that are no such message, or one with fields that nobody knows.
  Step MalformedStep();
  // At and beyond the size limits.
  Step LargeStep();

 private:
  etcdserverpb::Compare Compare();
  etcdserverpb::RequestOp Op(int depth);
  // `depth`: how many levels may be nested below.
  etcdserverpb::TxnRequest Txn(int depth);

  Vocabulary words_;
};

}  // namespace keel::differential
