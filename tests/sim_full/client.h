#pragma once

// One client of a simulated cluster: it does one thing after another through the same request handlers as the server's
// transports use, on members of its choice, and checks every answer against the oracle. It also keeps leases, stands in
// line for locks and elections, and watches.
//
// Owned by one thread.

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/random.h"
#include "server/api/call.h"
#include "tests/sim_full/oracle.h"
#include "tests/sim_full/replica.h"
#include "tests/sim_full/watch_checker.h"

namespace keel::sim {

// What the clients of a world have in common.
struct Clientele {
  World& world;
  Ledger& ledger;
  Oracle& oracle;
  const FullOptions& options;
  std::vector<std::unique_ptr<Replica>>& replicas;  // By node - 1.
  bool open = true;                                 // Nothing new is begun otherwise.
  bool faults = true;
  uint64_t operations = 0;
  uint64_t operations_max = UINT64_MAX;
  int64_t highest_revision = 1;  // Of any answer that a client has received.
  int64_t highest_compact = -1;  // Confirmed.
};

class Client {
 public:
  Client(Clientele* shared, int id);
  ~Client();

  void Start();
  // The member's process has ended.
  void OnMemberStopping(int node);
  // Every watch asks how far it is; those without a stream get one.
  void RefreshWatches();
  // All watches have seen everything up to `revision`.
  bool WatchesAreAt(int64_t revision) const;
  std::string WatchesText() const;
  void ForgetStreams();

 private:
  struct LeaseHeld {
    int64_t id;
    int64_t ttl;
  };
  struct Holding {
    std::string name;
    std::string key;
    int64_t create;
    int64_t lease;
  };
  // What was true when a call began.
  struct Begun {
    SimTime at = 0;
    int64_t revision = 0;
    int64_t compact = -1;
    int node = 0;
    uint64_t life = 0;
    int64_t seen = 0;  // The newest revision of a stale read that this life of the member has answered.
    uint64_t request_id = 0;
  };
  template <typename Request, typename Response>
  struct Op {
    Begun begun;
    Request request;
    Response response;
  };
  struct Watch {
    WatchChecker checker;
    int node = 0;
    uint64_t stream = 0;  // Grows with every stream: wake-ups of earlier ones are void.
  };

  void Step();
  void Finish();
  void ArmPatience(uint64_t step);
  Replica& PickReplica();
  SimTime Delay();
  Begun Begin(const Replica& replica);
  bool Current(const Begun& begun) const;

  // Runs `invoke` on some member; `check` gets the answer, if there is one, when it has come back.
  template <typename Request, typename Response>
  void Call(Request request,
            std::function<void(Replica&, const server::Call&, Op<Request, Response>&, server::Done)> invoke,
            std::function<void(Op<Request, Response>&, const absl::Status&)> check);
  // The same for completions that bring their response.
  template <typename Request, typename Response>
  void CallApi(Request request,
               std::function<std::shared_ptr<server::PendingCall>(Replica&, const Request&,
                                                                  absl::AnyInvocable<void(absl::StatusOr<Response>)>)>
                   invoke,
               std::function<void(Op<Request, Response>&, const absl::Status&)> check);

  void DoPut();
  void DoDelete();
  void DoTxn();
  void DoRange();
  void DoReadTxn();
  void DoCompact();
  void DoGrant();
  void DoKeepAlive();
  void DoRevoke();
  void DoTimeToLive();
  void DoLock();
  void DoGuardedWrite();
  void DoUnlock();
  void DoCampaign();
  void DoProclaim();
  void DoLeader();
  void DoResign();

  void TendWatches();
  void OpenWatch(size_t i);
  void ReadWatch(size_t i, uint64_t stream);
  void Observe();
  void NextObserved(std::shared_ptr<server::Observation> observation, uint64_t generation);

  // Checks shared by answers.
  void CheckHeader(const etcdserverpb::ResponseHeader& header, const Begun& begun);
  template <typename Response>
  void CheckWrite(const Begun& begun, const absl::Status& status, Response response);
  template <typename Response>
  void CheckRead(const Begun& begun, Response response, const absl::StatusOr<Response>& expected);
  void Learn(int64_t revision);
  // True when the key was first in its line at some revision from `from` on.
  bool WasFirst(const std::string& prefix, const std::string& key, int64_t from, int64_t* create) const;

  std::string RandomKey();
  void RandomInterval(std::string* key, std::string* end);
  std::string FreshValue();
  int64_t RandomLease();
  etcdserverpb::RangeRequest RandomRange();
  etcdserverpb::PutRequest RandomPut();
  etcdserverpb::TxnRequest RandomTxn(int depth);
  etcdserverpb::Compare RandomCompare();

  Clientele& shared_;
  World& world_;
  Oracle& oracle_;
  const int id_;
  Random random_;
  uint64_t step_ = 0;
  bool busy_ = false;
  uint64_t values_ = 0;
  uint64_t lease_ids_ = 0;
  std::vector<LeaseHeld> leases_;
  std::optional<Holding> lock_;
  std::optional<v3electionpb::LeaderKey> leadership_;
  std::shared_ptr<server::PendingCall> pending_;
  int pending_node_ = 0;
  std::vector<std::unique_ptr<Watch>> watches_;
  std::shared_ptr<server::Observation> observation_;
  int observation_node_ = 0;
  uint64_t observation_generation_ = 0;
  int64_t observed_create_ = 0;
  std::map<std::pair<int, uint64_t>, int64_t> seen_by_member_;  // Serializable reads: by member and life.

  Invariant write_matches_;
  Invariant read_matches_;
  Invariant real_time_;
  Invariant stale_monotone_;
  Invariant header_;
  Invariant keep_alive_;
  Invariant lock_held_;
  Invariant leader_is_oldest_;
  Invariant observed_;
  Mark write_lost_;
};

}  // namespace keel::sim
