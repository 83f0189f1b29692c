#pragma once

// One leader at a time under a name, with a value to tell who it is.
//
//   keel::Election election(client, session, "leaders/indexer");
//   if (auto s = election.Campaign("10.0.0.7:80"); !s.ok()) return s;  // Blocks until elected.
//   while (election.is_leader() && HasWork()) Lead();
//
//   auto observer = election.Observe();  // Anyone may look.
//   auto leader = observer->Next();      // Blocks for the next leader or value.
//   if (leader.ok()) Follow(leader->kv.value);
//
//   return election.Resign();

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/session.h"
#include "keel/txn.h"

namespace keel {

namespace client {
class Turn;
class ObserverCore;
}  // namespace client

struct LeaderResponse {
  ResponseHeader header = {};
  KeyValue kv = {};  // The leader's key and its proclaimed value; create_revision is the fencing token.
};

// A sequence of leaders and their values. It may skip values that were replaced quickly, never the latest.
// Thread-safe. The destructor does not wait.
class ElectionObserver {
 public:
  explicit ElectionObserver(std::shared_ptr<client::ObserverCore> core);
  ~ElectionObserver();
  ElectionObserver(const ElectionObserver&) = delete;
  ElectionObserver& operator=(const ElectionObserver&) = delete;

  // Blocks for the next leader or value; the first call gives the present leader, if any, at once.
  // kDeadlineExceeded: nothing new until `deadline`; call again. kCancelled: Cancel() was called, or the Client is
  // gone.
  absl::StatusOr<LeaderResponse> Next(absl::Time deadline = absl::InfiniteFuture());
  void Cancel();

 private:
  std::shared_ptr<client::ObserverCore> core_;
};

// Keys and interoperability as Mutex, helper key included, with the proclaimed value in the key. Thread-safe; `client`
// and `session` must outlive it. The destructor does not resign: leadership goes with Resign() or with the session.
class Election {
 public:
  Election(Client& client, Session& session, std::string_view name);
  // For those who only look on: Leader and Observe.
  Election(Client& client, std::string_view name);
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  // Blocks until elected, leading with `value`. Codes as Mutex::Lock ("election: session is expired"). While already
  // leading it proclaims `value`.
  absl::Status Campaign(std::string_view value, absl::Time deadline = absl::InfiniteFuture());
  // Changes the value without a new election. kFailedPrecondition "election: not leader" if leadership was lost. On
  // kUnknown the value may have been changed; on other errors it has not, nor will be.
  absl::Status Proclaim(std::string_view value, absl::Time deadline = absl::InfiniteFuture());
  // Ends leadership or candidacy, so that the next may lead; OK if there was none. is_leader() is false afterwards even
  // on errors; the key then goes with the session.
  absl::Status Resign();

  // Makes the candidate with this key (see Candidates) the leader: it must be the next in line, and nobody can come
  // between. Candidates lead in the order in which they came, which is the order of their fencing tokens; one further
  // behind can lead only when those before it withdraw, so it is not possible to jump the queue.
  //   kFailedPrecondition   we do not lead; or the candidate is not the next, or has withdrawn: then we still lead
  //   others                is_leader() is false, and leadership may have passed on; Resign() makes sure
  absl::Status HandOver(std::string_view candidate_key, absl::Time deadline = absl::InfiniteFuture());

  // Who leads and who waits, in the order in which they lead: keys and values.
  absl::StatusOr<std::vector<KeyValue>> Candidates(const CallOptions& call = {});
  // kNotFound "election: no leader" if nobody leads.
  absl::StatusOr<LeaderResponse> Leader(const CallOptions& call = {});
  std::unique_ptr<ElectionObserver> Observe();

  // As Mutex::held(): false before anyone else can be elected.
  bool is_leader() const;
  // Grows with every leader of this name, for ever. 0 if never elected.
  int64_t fencing_token() const;
  // Empty for those who only look on.
  const std::string& key() const;
  ResponseHeader header() const;

  // Holds if and only if we still lead at the moment a transaction executes.
  Compare IsLeader() const;
  Txn Guard(Txn txn) const;

 private:
  Client& client_;
  const std::string name_;
  std::unique_ptr<client::Turn> turn_;  // Null for onlookers.
};

}  // namespace keel
