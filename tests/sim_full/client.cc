#include "tests/sim_full/client.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim_full/client_call.h"

namespace keel::sim {

namespace {

constexpr int64_t kLookAhead = 300;  // Revisions.

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
    if (random_.Chance(0.3)) key = end = kToTheEnd;
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

// --- Checks.

void Client::CheckHeader(const etcdserverpb::ResponseHeader& header, const Begun& begun) {
  header_.Require(header.cluster_id() != 0 && header.member_id() == static_cast<uint64_t>(begun.node) &&
                      header.revision() <= oracle_.model().revision(),
                  [&] { return absl::StrCat("member ", begun.node, " answered with ", header.ShortDebugString()); });
  Learn(header.revision());
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

}  // namespace keel::sim
