#include "tests/sim_full/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/lock/ownership_queue.h"

namespace keel::sim {
namespace {

constexpr int64_t kLookAhead = 300;  // Revisions.
const std::string kZero(1, '\0');

void ClearIds(etcdserverpb::ResponseHeader* header) {
  header->clear_cluster_id();
  header->clear_member_id();
  header->clear_raft_term();
}

// Nobody says whether it was done.
bool IsOpen(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status) ||
         absl::IsCancelled(status);
}

}  // namespace

Client::Client(Clientele* shared, int id)
    : shared_(*shared),
      world_(shared->world),
      oracle_(shared->oracle),
      id_(id),
      random_(shared->world.Stream(absl::StrCat("client ", id))),
      write_matches_(&shared->ledger, "write-answer-matches"),
      read_matches_(&shared->ledger, "read-answer-matches"),
      real_time_(&shared->ledger, "real-time-order"),
      stale_monotone_(&shared->ledger, "stale-reads-monotone"),
      header_(&shared->ledger, "header-true"),
      keep_alive_(&shared->ledger, "keepalive-answer-true"),
      lock_held_(&shared->ledger, "lock-held-when-answered"),
      leader_is_oldest_(&shared->ledger, "leader-is-oldest"),
      observed_(&shared->ledger, "observed-leaders-true"),
      write_lost_(&shared->ledger, "write-outcome-unknown") {
  for (int i = 0; i < shared_.options.watches; ++i) {
    etcdserverpb::WatchCreateRequest request;
    std::string key, end;
    RandomInterval(&key, &end);
    if (random_.Chance(0.3)) key = end = kZero;
    request.set_key(key);
    request.set_range_end(end);
    request.set_start_revision(random_.Chance(0.5) ? 2 : 0);
    request.set_prev_kv(random_.Chance(0.5));
    request.set_progress_notify(random_.Chance(0.5));
    request.set_fragment(random_.Chance(0.5));
    if (random_.Chance(0.15)) request.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
    if (random_.Chance(0.15)) request.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
    watches_.push_back(
        std::make_unique<Watch>(Watch{.checker = WatchChecker(&shared_.ledger, &oracle_, std::move(request))}));
  }
}

Client::~Client() = default;

void Client::Start() {
  world_.At(random_.Between(0, kSecond), [this] { Step(); });
  world_.At(random_.Between(0, kSecond), [this] { TendWatches(); });
}

SimTime Client::Delay() {
  return random_.Between(100, shared_.faults && random_.Chance(0.05) ? 300 * kMillisecond : 2000);
}

Replica& Client::PickReplica() { return *shared_.replicas[random_.Below(shared_.replicas.size())]; }

Client::Begun Client::Begin(const Replica& replica) {
  return {.at = world_.now(),
          .revision = shared_.highest_revision,
          .compact = shared_.highest_compact,
          .node = replica.node(),
          .life = replica.life(),
          .seen = seen_by_member_[{replica.node(), replica.life()}]};
}

bool Client::Current(const Begun& begun) const {
  return shared_.replicas[static_cast<size_t>(begun.node - 1)]->life() == begun.life;
}

void Client::Learn(int64_t revision) { shared_.highest_revision = std::max(shared_.highest_revision, revision); }

// --- One thing after another.

void Client::Step() {
  world_.At(1 + static_cast<SimTime>(random_.Below(2 * static_cast<uint64_t>(shared_.options.sim.think))),
            [this] { Step(); });
  if (!shared_.open || busy_ || shared_.operations >= shared_.operations_max) return;
  ++shared_.operations;
  busy_ = true;
  ArmPatience(++step_);
  using Do = void (Client::*)();
  static constexpr std::pair<int, Do> kThings[] = {
      {20, &Client::DoPut},    {8, &Client::DoDelete},     {14, &Client::DoTxn},     {18, &Client::DoRange},
      {6, &Client::DoReadTxn}, {2, &Client::DoCompact},    {5, &Client::DoGrant},    {10, &Client::DoKeepAlive},
      {2, &Client::DoRevoke},  {3, &Client::DoTimeToLive}, {5, &Client::DoLock},     {8, &Client::DoGuardedWrite},
      {3, &Client::DoUnlock},  {3, &Client::DoCampaign},   {3, &Client::DoProclaim}, {3, &Client::DoLeader},
      {2, &Client::DoResign},
  };
  static constexpr int kSum = [] {
    int sum = 0;
    for (const auto& [weight, thing] : kThings) sum += weight;
    return sum;
  }();
  int at = static_cast<int>(random_.Below(kSum));
  for (const auto& [weight, thing] : kThings) {
    if (at < weight) return (this->*thing)();
    at -= weight;
  }
}

void Client::Finish() {
  busy_ = false;
  ++step_;
  pending_.reset();
}

void Client::ArmPatience(uint64_t step) {
  world_.At(shared_.options.sim.patience, [this, step] {
    if (step_ != step) return;
    if (pending_ != nullptr) pending_->Cancel();
    if (pending_node_ != 0 && pending_ != nullptr) {
      Replica& replica = *shared_.replicas[static_cast<size_t>(pending_node_ - 1)];
      if (replica.is_up()) replica.PollSoon();
    }
    write_lost_.Reached();
    Finish();
  });
}

template <typename Request, typename Response>
void Client::Call(Request request,
                  std::function<void(Replica&, const server::Call&, Op<Request, Response>&, server::Done)> invoke,
                  std::function<void(Op<Request, Response>&, const absl::Status&)> check) {
  Replica& replica = PickReplica();
  if (!replica.is_up()) return Finish();
  auto op = std::make_shared<Op<Request, Response>>();
  op->begun = Begin(replica);
  op->request = std::move(request);
  replica.After(Delay(), [this, op, step = step_, &replica, invoke = std::move(invoke), check = std::move(check)] {
    server::Call call;
    call.deadline = replica.clock().Now() + replica.request_timeout();
    const uint64_t before = oracle_.last_proposed();
    invoke(replica, call, *op, [this, op, step, check](const absl::Status& status) {
      // A process that ends may say so; its client hears nothing.
      if (!Current(op->begun)) return;
      if (shared_.faults && random_.Chance(0.02)) return;
      world_.At(Delay(), [this, op, step, check, status] {
        check(*op, status);
        if (step_ == step) Finish();
      });
    });
    if (oracle_.last_proposed() != before) op->begun.request_id = oracle_.last_proposed();
    replica.PollSoon();
  });
}

template <typename Request, typename Response>
void Client::CallApi(Request request,
                     std::function<std::shared_ptr<server::PendingCall>(
                         Replica&, const Request&, absl::AnyInvocable<void(absl::StatusOr<Response>)>)>
                         invoke,
                     std::function<void(Op<Request, Response>&, const absl::Status&)> check) {
  Call<Request, Response>(
      std::move(request),
      [this, invoke = std::move(invoke)](Replica& replica, const server::Call&, Op<Request, Response>& op,
                                         server::Done done) {
        pending_node_ = replica.node();
        pending_ =
            invoke(replica, op.request, [&op, done = std::move(done)](absl::StatusOr<Response> response) mutable {
              const absl::Status status = response.status();
              if (response.ok()) op.response = *std::move(response);
              done(status);
            });
      },
      std::move(check));
}

// --- Checks.

void Client::CheckHeader(const etcdserverpb::ResponseHeader& header, const Begun& begun) {
  header_.Require(header.cluster_id() != 0 && header.member_id() == static_cast<uint64_t>(begun.node) &&
                      header.revision() <= oracle_.model().revision(),
                  [&] { return absl::StrCat("member ", begun.node, " answered with ", header.ShortDebugString()); });
  Learn(header.revision());
}

template <typename Response>
void Client::CheckWrite(const Begun& begun, const absl::Status& status, Response response) {
  const Model::Outcome* outcome = begun.request_id == 0 ? nullptr : oracle_.OutcomeOf(begun.request_id);
  if (begun.request_id == 0) {
    // Refused before it was proposed.
    write_matches_.Require(!status.ok(), [] { return std::string("a write was answered that nobody proposed"); });
    return;
  }
  if (IsOpen(status)) return;
  write_matches_.Require(outcome != nullptr, [&] {
    return absl::StrCat("member ", begun.node, " answered ", std::string(status.ToString()),
                        " to a command that nobody has executed");
  });
  write_matches_.Require(outcome->status.code() == status.code() && outcome->status.message() == status.message(), [&] {
    return absl::StrCat("answered ", std::string(status.ToString()), " instead of ",
                        std::string(outcome->status.ToString()));
  });
  if (!status.ok()) return;
  CheckHeader(response.header(), begun);
  const int64_t revision = response.header().revision();
  ClearIds(response.mutable_header());
  write_matches_.Require(response.SerializeAsString() == outcome->response, [&] {
    Response expected;
    expected.ParseFromString(outcome->response);
    return absl::StrCat("answered ", response.ShortDebugString(), " instead of ", expected.ShortDebugString());
  });
  real_time_.Require(outcome->wrote ? revision > begun.revision : revision >= begun.revision, [&] {
    return absl::StrCat("a write that began after revision ", begun.revision, " was answered got ", revision);
  });
}

template <typename Response>
void Client::CheckRead(const Begun& begun, Response response, const absl::StatusOr<Response>& expected) {
  ClearIds(response.mutable_header());
  response.clear_header();
  read_matches_.Require(expected.ok() && response.SerializeAsString() == expected->SerializeAsString(), [&] {
    return absl::StrCat("member ", begun.node, " answered ", response.ShortDebugString(), " instead of ",
                        expected.ok() ? expected->ShortDebugString() : std::string(expected.status().ToString()));
  });
}

bool Client::WasFirst(const std::string& prefix, const std::string& key, int64_t from, int64_t* create) const {
  const int64_t last = std::min(oracle_.model().revision(), from + kLookAhead);
  for (int64_t revision = from; revision <= last; ++revision) {
    const auto oldest = oracle_.model().OldestUnder(prefix, revision);
    if (oldest.has_value() && oldest->first == key) {
      *create = oldest->second.create;
      return true;
    }
  }
  return false;
}

// --- Randomness.

std::string Client::RandomKey() { return absl::StrCat("k", random_.Below(8)); }

void Client::RandomInterval(std::string* key, std::string* end) {
  *key = RandomKey();
  end->clear();
  const uint64_t kind = random_.Below(6);
  if (kind == 0) *end = RandomKey();
  if (kind == 1) *end = kZero;
  if (kind == 2) {
    *key = "k";
    *end = "l";
  }
  if (kind == 3) *key = *end = kZero;
}

std::string Client::FreshValue() { return absl::StrCat(id_, "-", ++values_); }

int64_t Client::RandomLease() {
  if (leases_.empty() || random_.Chance(0.1)) return random_.Chance(0.5) ? 0 : 999999;
  return leases_[random_.Below(leases_.size())].id;
}

etcdserverpb::PutRequest Client::RandomPut() {
  etcdserverpb::PutRequest put;
  put.set_key(RandomKey());
  if (random_.Chance(0.08)) {
    put.set_ignore_value(true);
  } else {
    put.set_value(FreshValue());
  }
  if (random_.Chance(0.3)) {
    put.set_lease(RandomLease());
  } else if (random_.Chance(0.1)) {
    put.set_ignore_lease(true);
  }
  put.set_prev_kv(random_.Chance(0.4));
  return put;
}

etcdserverpb::RangeRequest Client::RandomRange() {
  etcdserverpb::RangeRequest range;
  RandomInterval(range.mutable_key(), range.mutable_range_end());
  if (random_.Chance(0.3)) {
    const int64_t newest = shared_.highest_revision + 1;
    range.set_revision(random_.Between(std::max<int64_t>(1, newest - 60), newest));
  }
  if (random_.Chance(0.3)) range.set_limit(random_.Between(1, 4));
  range.set_keys_only(random_.Chance(0.1));
  range.set_count_only(random_.Chance(0.1));
  if (random_.Chance(0.2)) range.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
  if (random_.Chance(0.1)) range.set_min_mod_revision(random_.Between(1, shared_.highest_revision));
  if (random_.Chance(0.1)) range.set_max_create_revision(random_.Between(1, shared_.highest_revision));
  return range;
}

etcdserverpb::Compare Client::RandomCompare() {
  etcdserverpb::Compare compare;
  RandomInterval(compare.mutable_key(), compare.mutable_range_end());
  compare.set_result(static_cast<etcdserverpb::Compare::CompareResult>(random_.Below(4)));
  switch (random_.Below(5)) {
    case 0:
      compare.set_target(etcdserverpb::Compare::VERSION);
      compare.set_version(random_.Between(0, 3));
      break;
    case 1:
      compare.set_target(etcdserverpb::Compare::CREATE);
      compare.set_create_revision(random_.Between(0, shared_.highest_revision));
      break;
    case 2:
      compare.set_target(etcdserverpb::Compare::MOD);
      compare.set_mod_revision(random_.Between(0, shared_.highest_revision));
      break;
    case 3:
      compare.set_target(etcdserverpb::Compare::VALUE);
      compare.set_value(absl::StrCat(random_.Below(9)));
      break;
    default:
      compare.set_target(etcdserverpb::Compare::LEASE);
      compare.set_lease(RandomLease());
  }
  return compare;
}

etcdserverpb::TxnRequest Client::RandomTxn(int depth) {
  etcdserverpb::TxnRequest txn;
  for (uint64_t n = random_.Below(3); n > 0; --n) *txn.add_compare() = RandomCompare();
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (uint64_t n = random_.Below(4); n > 0; --n) {
      etcdserverpb::RequestOp* op = branch->Add();
      const uint64_t kind = random_.Below(10);
      if (kind < 4) {
        *op->mutable_request_put() = RandomPut();
      } else if (kind < 6) {
        RandomInterval(op->mutable_request_delete_range()->mutable_key(),
                       op->mutable_request_delete_range()->mutable_range_end());
        op->mutable_request_delete_range()->set_prev_kv(random_.Chance(0.5));
      } else if (kind < 9 || depth == 0) {
        *op->mutable_request_range() = RandomRange();
      } else {
        *op->mutable_request_txn() = RandomTxn(depth - 1);
      }
    }
  }
  return txn;
}

// --- Keys.

void Client::DoPut() {
  Call<etcdserverpb::PutRequest, etcdserverpb::PutResponse>(
      RandomPut(),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Put(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoDelete() {
  etcdserverpb::DeleteRangeRequest request;
  RandomInterval(request.mutable_key(), request.mutable_range_end());
  // Not the locks and elections of others.
  if (request.range_end() == kZero || request.key() == kZero) {
    request.set_key("k");
    request.set_range_end("k4");
  }
  request.set_prev_kv(random_.Chance(0.4));
  Call<etcdserverpb::DeleteRangeRequest, etcdserverpb::DeleteRangeResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().DeleteRange(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoTxn() {
  etcdserverpb::TxnRequest txn = RandomTxn(2);
  // A write for certain, so that it goes through the log.
  if (txn.success().empty()) *txn.add_success()->mutable_request_put() = RandomPut();
  if (txn.failure().empty()) *txn.add_failure()->mutable_request_put() = RandomPut();
  const auto writes = [](const etcdserverpb::RequestOp& op) { return !op.has_request_range(); };
  if (std::none_of(txn.success().begin(), txn.success().end(), writes) &&
      std::none_of(txn.failure().begin(), txn.failure().end(), writes)) {
    *txn.add_failure()->mutable_request_put() = RandomPut();
  }
  Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>(
      std::move(txn),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Txn(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoRange() {
  etcdserverpb::RangeRequest request = RandomRange();
  request.set_serializable(random_.Chance(0.3));
  Call<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Range(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        const int64_t asked = op.request.revision();
        const bool serializable = op.request.serializable();
        if (absl::IsOutOfRange(status)) {
          const bool future = asked > (serializable ? 0 : op.begun.revision);
          read_matches_.Require(asked > 0 && (asked < oracle_.model().compact() || future), [&] {
            return absl::StrCat("a read of revision ", asked, " was refused: ", std::string(status.message()));
          });
          return;
        }
        if (!status.ok()) return;
        const int64_t at = op.response.header().revision();
        if (serializable) {
          stale_monotone_.Require(at >= op.begun.seen, [&] {
            return absl::StrCat("member ", op.begun.node, " went back from ", op.begun.seen, " to ", at);
          });
          int64_t& seen = seen_by_member_[{op.begun.node, op.begun.life}];
          seen = std::max(seen, at);
        } else {
          real_time_.Require(at >= op.begun.revision, [&] {
            return absl::StrCat("member ", op.begun.node, " answered a read as of ", at, " that began after ",
                                op.begun.revision, " was answered");
          });
          real_time_.Require(asked == 0 || asked >= op.begun.compact, [&] {
            return absl::StrCat("revision ", asked, " was read after a compaction at ", op.begun.compact);
          });
        }
        CheckHeader(op.response.header(), op.begun);
        CheckRead(op.begun, op.response, oracle_.model().Range(op.request, at, -1));
      });
}

void Client::DoReadTxn() {
  etcdserverpb::TxnRequest txn;
  for (uint64_t n = random_.Below(3); n > 0; --n) *txn.add_compare() = RandomCompare();
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (uint64_t n = 1 + random_.Below(3); n > 0; --n) {
      *branch->Add()->mutable_request_range() = RandomRange();
      branch->rbegin()->mutable_request_range()->clear_revision();
    }
  }
  Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>(
      std::move(txn),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Txn(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const int64_t at = op.response.header().revision();
        real_time_.Require(at >= op.begun.revision, [&] {
          return absl::StrCat("a transaction read as of ", at, " that began after ", op.begun.revision,
                              " was answered");
        });
        CheckHeader(op.response.header(), op.begun);
        CheckRead(op.begun, op.response, oracle_.model().ReadTxn(op.request, at, -1));
      });
}

void Client::DoCompact() {
  etcdserverpb::CompactionRequest request;
  request.set_revision(random_.Between(std::max<int64_t>(0, shared_.highest_revision - 30), shared_.highest_revision));
  Call<etcdserverpb::CompactionRequest, etcdserverpb::CompactionResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Compact(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        CheckWrite(op.begun, status, op.response);
        if (status.ok()) shared_.highest_compact = std::max(shared_.highest_compact, op.request.revision());
      });
}

// --- Leases.

void Client::DoGrant() {
  etcdserverpb::LeaseGrantRequest request;
  request.set_ttl(random_.Between(1, 8));
  if (random_.Chance(0.7)) request.set_id(id_ * 1000000 + static_cast<int64_t>(++lease_ids_));
  Call<etcdserverpb::LeaseGrantRequest, etcdserverpb::LeaseGrantResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.leases().LeaseGrant(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        CheckWrite(op.begun, status, op.response);
        if (!status.ok()) return;
        oracle_.OnLeaseHeld(op.response.id(), op.response.ttl(), op.begun.at, shared_.options.max_clock_rate());
        leases_.push_back({.id = op.response.id(), .ttl = op.response.ttl()});
        if (leases_.size() > 4) leases_.erase(leases_.begin());
      });
}

void Client::DoKeepAlive() {
  if (leases_.empty()) return Finish();
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(leases_[random_.Below(leases_.size())].id);
  Call<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse>(
      std::move(request),
      [](Replica& replica, const server::Call&, auto& op, server::Done done) {
        replica.leases().KeepAlive(op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const int64_t id = op.request.id();
        const SimTime gone = oracle_.LeaseGoneSince(id);
        if (op.response.ttl() > 0) {
          keep_alive_.Require(gone == 0 || gone >= op.begun.at, [&] {
            return absl::StrCat("lease ", id, " was renewed by a call of ", FormatTime(op.begun.at),
                                " although it was gone by ", FormatTime(gone));
          });
          oracle_.OnLeaseHeld(id, op.response.ttl(), op.begun.at, shared_.options.max_clock_rate());
        } else {
          keep_alive_.Require(gone != 0, [&] { return absl::StrCat("lease ", id, " was said to be gone, but lives"); });
          std::erase_if(leases_, [id](const LeaseHeld& lease) { return lease.id == id; });
        }
      });
}

void Client::DoRevoke() {
  if (leases_.empty()) return Finish();
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(leases_[random_.Below(leases_.size())].id);
  Call<etcdserverpb::LeaseRevokeRequest, etcdserverpb::LeaseRevokeResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.leases().LeaseRevoke(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoTimeToLive() {
  if (leases_.empty()) return Finish();
  etcdserverpb::LeaseTimeToLiveRequest request;
  request.set_id(leases_[random_.Below(leases_.size())].id);
  Call<etcdserverpb::LeaseTimeToLiveRequest, etcdserverpb::LeaseTimeToLiveResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.leases().LeaseTimeToLive(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const SimTime gone = oracle_.LeaseGoneSince(op.request.id());
        keep_alive_.Require(op.response.ttl() <= op.response.grantedttl() &&
                                (op.response.ttl() >= 0 ? gone == 0 || gone >= op.begun.at : gone != 0),
                            [&] {
                              return absl::StrCat("lease ", op.request.id(), ": ", op.response.ShortDebugString(),
                                                  ", gone since ", FormatTime(gone));
                            });
      });
}

// --- Locks and elections.

void Client::DoLock() {
  if (leases_.empty() || lock_.has_value()) return Finish();
  v3lockpb::LockRequest request;
  request.set_name(absl::StrCat("lock", random_.Below(2)));
  request.set_lease(leases_.back().id);
  CallApi<v3lockpb::LockRequest, v3lockpb::LockResponse>(
      std::move(request),
      [](Replica& replica, const v3lockpb::LockRequest& lock, auto done) {
        return replica.lock().Lock(lock, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const std::string prefix = op.request.name() + "/";
        int64_t create = 0;
        lock_held_.Require(WasFirst(prefix, op.response.key(), op.response.header().revision(), &create), [&] {
          return absl::StrCat("lock ", op.response.key(), " was answered as of ", op.response.header().revision(),
                              " but was never first from there on");
        });
        CheckHeader(op.response.header(), op.begun);
        lock_ =
            Holding{.name = op.request.name(), .key = op.response.key(), .create = create, .lease = op.request.lease()};
      });
}

void Client::DoGuardedWrite() {
  if (!lock_.has_value()) return Finish();
  etcdserverpb::TxnRequest txn;
  etcdserverpb::Compare* compare = txn.add_compare();
  compare->set_key(lock_->key);
  compare->set_target(etcdserverpb::Compare::CREATE);
  compare->set_create_revision(lock_->create);
  etcdserverpb::PutRequest* put = txn.add_success()->mutable_request_put();
  put->set_key(absl::StrCat("fence/", lock_->name));
  put->set_value(absl::StrCat(lock_->create));
  Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>(
      std::move(txn),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Txn(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        CheckWrite(op.begun, status, op.response);
        if (status.ok() && !op.response.succeeded()) lock_.reset();
      });
}

void Client::DoUnlock() {
  if (!lock_.has_value()) return Finish();
  v3lockpb::UnlockRequest request;
  request.set_key(lock_->key);
  lock_.reset();
  CallApi<v3lockpb::UnlockRequest, v3lockpb::UnlockResponse>(
      std::move(request),
      [](Replica& replica, const v3lockpb::UnlockRequest& unlock, auto done) {
        replica.lock().Unlock(unlock, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (status.ok()) CheckHeader(op.response.header(), op.begun);
      });
}

void Client::DoCampaign() {
  if (leases_.empty() || leadership_.has_value()) return Finish();
  v3electionpb::CampaignRequest request;
  request.set_name("vote");
  request.set_lease(leases_.back().id);
  request.set_value(FreshValue());
  CallApi<v3electionpb::CampaignRequest, v3electionpb::CampaignResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::CampaignRequest& campaign, auto done) {
        return replica.election().Campaign(campaign, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const v3electionpb::LeaderKey& leader = op.response.leader();
        int64_t create = 0;
        lock_held_.Require(WasFirst("vote/", leader.key(), leader.rev(), &create) && create == leader.rev(),
                           [&] { return absl::StrCat(leader.ShortDebugString(), " never led"); });
        CheckHeader(op.response.header(), op.begun);
        leadership_ = leader;
      });
}

void Client::DoProclaim() {
  if (!leadership_.has_value()) return Finish();
  v3electionpb::ProclaimRequest request;
  *request.mutable_leader() = *leadership_;
  request.set_value(FreshValue());
  CallApi<v3electionpb::ProclaimRequest, v3electionpb::ProclaimResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::ProclaimRequest& proclaim, auto done) {
        replica.election().Proclaim(proclaim, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) {
          if (status.message() == "election: not leader") leadership_.reset();
          return;
        }
        const v3electionpb::LeaderKey& leader = op.request.leader();
        const auto pair = oracle_.model().PairAt(leader.key(), op.response.header().revision());
        leader_is_oldest_.Require(pair.has_value() && pair->create == leader.rev() && pair->value == op.request.value(),
                                  [&] { return absl::StrCat("a proclamation of ", leader.key(), " is not there"); });
        CheckHeader(op.response.header(), op.begun);
      });
}

void Client::DoLeader() {
  v3electionpb::LeaderRequest request;
  request.set_name("vote");
  CallApi<v3electionpb::LeaderRequest, v3electionpb::LeaderResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::LeaderRequest& leader, auto done) {
        replica.election().Leader(leader, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const int64_t at = op.response.header().revision();
        const auto oldest = oracle_.model().OldestUnder("vote/", at);
        mvccpb::KeyValue expected;
        if (oldest.has_value()) Model::Fill(oldest->first, oldest->second, &expected);
        leader_is_oldest_.Require(
            at >= op.begun.revision && expected.SerializeAsString() == op.response.kv().SerializeAsString(), [&] {
              return absl::StrCat("leader ", op.response.ShortDebugString(), " instead of ",
                                  expected.ShortDebugString());
            });
        CheckHeader(op.response.header(), op.begun);
      });
}

void Client::DoResign() {
  if (!leadership_.has_value()) return Finish();
  v3electionpb::ResignRequest request;
  *request.mutable_leader() = *leadership_;
  leadership_.reset();
  CallApi<v3electionpb::ResignRequest, v3electionpb::ResignResponse>(
      std::move(request),
      [](Replica& replica, const v3electionpb::ResignRequest& resign, auto done) {
        replica.election().Resign(resign, std::move(done));
        return nullptr;
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const v3electionpb::LeaderKey& leader = op.request.leader();
        const auto pair = oracle_.model().PairAt(leader.key(), op.response.header().revision());
        leader_is_oldest_.Require(!pair.has_value() || pair->create != leader.rev(),
                                  [&] { return absl::StrCat(leader.key(), " resigned, and is still there"); });
        CheckHeader(op.response.header(), op.begun);
      });
}

// --- Watches.

void Client::TendWatches() {
  world_.At(random_.Between(50 * kMillisecond, kSecond), [this] { TendWatches(); });
  for (size_t i = 0; i < watches_.size(); ++i) {
    Watch& watch = *watches_[i];
    if (!watch.checker.is_open()) {
      OpenWatch(i);
    } else if (shared_.faults && random_.Chance(0.05)) {
      watch.checker.Close();
    } else if (random_.Chance(0.2)) {
      watch.checker.RequestProgress();
    }
  }
  if (observation_ == nullptr && shared_.open) Observe();
}

void Client::OpenWatch(size_t i) {
  Replica& replica = PickReplica();
  if (!replica.is_up() || replica.is_paused()) return;
  Watch& watch = *watches_[i];
  watch.node = replica.node();
  const uint64_t stream = ++watch.stream;
  const auto ready = [this, i, stream, &replica] {
    // A slow client now and then.
    const bool slow = shared_.faults && random_.Chance(0.2);
    replica.After(random_.Between(0, slow ? kSecond : kMillisecond), [this, i, stream] { ReadWatch(i, stream); });
  };
  watch.checker.Open(replica.hub().OpenStream(ready));
  replica.PollSoon();
  // What was queued before anybody asked.
  replica.After(0, [this, i, stream] { ReadWatch(i, stream); });
}

void Client::ReadWatch(size_t i, uint64_t stream) {
  Watch& watch = *watches_[i];
  if (watch.stream != stream || !watch.checker.is_open()) return;
  watch.checker.Read();
  shared_.replicas[static_cast<size_t>(watch.node - 1)]->PollSoon();
}

void Client::RefreshWatches() {
  for (size_t i = 0; i < watches_.size(); ++i) {
    if (!watches_[i]->checker.is_open()) {
      OpenWatch(i);
    } else {
      watches_[i]->checker.RequestProgress();
      ReadWatch(i, watches_[i]->stream);
    }
  }
}

bool Client::WatchesAreAt(int64_t revision) const {
  return std::all_of(watches_.begin(), watches_.end(),
                     [revision](const auto& watch) { return watch->checker.has_all(revision); });
}

std::string Client::WatchesText() const {
  std::string text;
  for (const auto& watch : watches_) {
    absl::StrAppend(&text, " ", watch->checker.next(), watch->checker.is_open() ? "" : " (closed)", "@", watch->node);
  }
  return text;
}

void Client::OnMemberStopping(int node) {
  for (const auto& watch : watches_) {
    if (watch->node == node) watch->checker.Close();
  }
  if (observation_node_ == node) {
    ++observation_generation_;
    observation_.reset();
  }
  if (pending_node_ == node) pending_.reset();
}

void Client::ForgetStreams() {
  for (const auto& watch : watches_) watch->checker.Close();
  ++observation_generation_;
  observation_.reset();
  pending_.reset();
}

void Client::Observe() {
  Replica& replica = PickReplica();
  if (!replica.is_up() || replica.is_paused()) return;
  v3electionpb::LeaderRequest request;
  request.set_name("vote");
  observation_node_ = replica.node();
  observed_create_ = 0;
  observation_ = replica.election().Observe(request);
  NextObserved(observation_, ++observation_generation_);
  replica.PollSoon();
}

void Client::NextObserved(std::shared_ptr<server::Observation> observation, uint64_t generation) {
  observation->Next([this, generation](const absl::StatusOr<v3electionpb::LeaderResponse>& response) {
    if (generation != observation_generation_) return;
    if (!response.ok()) {
      world_.At(1, [this, generation] {
        if (generation == observation_generation_) observation_.reset();
      });
      return;
    }
    const mvccpb::KeyValue& kv = response->kv();
    const auto pair = oracle_.model().PairAt(kv.key(), kv.mod_revision());
    const auto oldest = oracle_.model().OldestUnder("vote/", response->header().revision());
    observed_.Require(pair.has_value() && pair->mod == kv.mod_revision() && pair->value == kv.value() &&
                          kv.create_revision() >= observed_create_ && oldest.has_value() && oldest->first == kv.key(),
                      [&] {
                        return absl::StrCat("observed ", response->ShortDebugString(), " after a leader of ",
                                            observed_create_);
                      });
    observed_create_ = kv.create_revision();
    world_.At(random_.Between(1, 100 * kMillisecond), [this, generation] {
      if (generation != observation_generation_ || observation_ == nullptr) return;
      NextObserved(observation_, generation);
      Replica& replica = *shared_.replicas[static_cast<size_t>(observation_node_ - 1)];
      if (replica.is_up()) replica.PollSoon();
    });
  });
}

}  // namespace keel::sim
