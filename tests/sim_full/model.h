#pragma once

// The keyspace with leases once more, written from the protocol's rules (rpc.md sections 2.2 to 2.9) and from nothing
// of the server: ordered maps, every version ever, scans for everything. It executes the committed log; what members
// hold and what clients were told is compared with it.
//
// Owned by one thread.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/command.pb.h"
#include "proto/etcdserver_kv.pb.h"

namespace keel::sim {

class Model {
 public:
  struct Pair {
    int64_t create = 0;
    int64_t mod = 0;
    int64_t version = 0;
    int64_t lease = 0;
    std::string value;
  };
  struct Event {
    std::string key;
    std::optional<Pair> pair;      // nullopt: deleted.
    std::optional<Pair> previous;  // Before this change.
  };
  struct Lease {
    int64_t ttl = 0;
    int64_t remaining = 0;
    uint64_t grant_index = 0;
  };
  // What a command came to.
  struct Outcome {
    absl::Status status;
    int64_t revision = 0;  // After it.
    bool wrote = false;    // It made a new revision.
    std::string response;  // Wire bytes, header with nothing but the revision; empty when not OK.
  };
  using Pairs = std::map<std::string, Pair>;

  Outcome Apply(uint64_t index, uint64_t term, const command::Command& command);

  int64_t revision() const { return revision_; }
  int64_t compact() const { return compact_; }
  const std::map<int64_t, Lease>& leases() const { return leases_; }
  const Pairs& current() const { return current_; }
  Pairs At(int64_t revision) const;
  // By revision; those from 2 on exist.
  const std::vector<Event>& EventsOf(int64_t revision) const { return events_[static_cast<size_t>(revision)]; }
  std::optional<Pair> PairAt(const std::string& key, int64_t revision) const;

  // What a reader that stands at `at` answers; the header is left out. `compact` is that reader's.
  absl::StatusOr<etcdserverpb::RangeResponse> Range(const etcdserverpb::RangeRequest& request, int64_t at,
                                                    int64_t compact) const;
  // A read-only transaction, likewise.
  absl::StatusOr<etcdserverpb::TxnResponse> ReadTxn(const etcdserverpb::TxnRequest& txn, int64_t at,
                                                    int64_t compact) const;

  // By create revision, the oldest pair under a prefix.
  std::optional<std::pair<std::string, Pair>> OldestUnder(const std::string& prefix, int64_t at) const;

  static bool Inside(std::string_view key, std::string_view begin, std::string_view end);
  static void Fill(const std::string& key, const Pair& pair, mvccpb::KeyValue* kv);

 private:
  etcdserverpb::RangeResponse RangeOf(const etcdserverpb::RangeRequest& request, const Pairs& pairs) const;
  void SetPair(const std::string& key, std::optional<Pair> pair);
  void Put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response);
  int64_t Delete(const std::string& begin, const std::string& end, etcdserverpb::DeleteRangeResponse* response);
  absl::Status CheckPut(const etcdserverpb::PutRequest& request) const;
  absl::Status Txn(const etcdserverpb::TxnRequest& txn, etcdserverpb::TxnResponse* response);
  static bool Holds(const etcdserverpb::TxnRequest& txn, const Pairs& pairs);
  // The branches that will run, in order of the walk.
  static void Choose(const etcdserverpb::TxnRequest& txn, const Pairs& pairs, std::vector<bool>* choices);
  // The operations that will run, in order.
  static void Flatten(const etcdserverpb::TxnRequest& txn, const std::vector<bool>& choices, size_t* next,
                      std::vector<const etcdserverpb::RequestOp*>* ops);
  absl::Status CheckTxn(const std::vector<const etcdserverpb::RequestOp*>& ops) const;
  void Run(const etcdserverpb::TxnRequest& txn, const std::vector<bool>& choices, size_t* next,
           etcdserverpb::TxnResponse* response);
  bool Revoke(int64_t id);
  int64_t now() const { return revision_ + (changes_.empty() ? 0 : 1); }

  int64_t revision_ = 1;
  int64_t compact_ = -1;
  Pairs current_;
  std::map<int64_t, Lease> leases_;
  std::vector<Event> changes_;  // Of the command being executed.
  std::vector<std::vector<Event>> events_ = std::vector<std::vector<Event>>(2);
  std::map<std::string, std::vector<std::pair<int64_t, std::optional<Pair>>>> versions_;
};

}  // namespace keel::sim
