#include "tests/node/cluster.h"

#include <algorithm>
#include <chrono>

#include "absl/strings/str_cat.h"
#include "base/check.h"

namespace keel::raft {

absl::Time Soon() { return Clock::Real().Now() + absl::Minutes(1); }

void Happenings::Note() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    ++count_;
  }
  changed_.notify_all();
}

bool Happenings::WaitUntil(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (true) {
    uint64_t seen = 0;
    {
      std::lock_guard<std::mutex> lock(mu_);
      seen = count_;
    }
    if (condition()) return true;
    std::unique_lock<std::mutex> lock(mu_);
    if (!changed_.wait_until(lock, deadline, [&] { return count_ != seen; })) return condition();
  }
}

// --- ToyMachine

ToyMachine::ToyMachine(ToyState state, Happenings* happenings)
    : happenings_(*happenings), state_(state), durable_(std::move(state)) {}

absl::Status ToyMachine::Apply(std::span<const Entry> entries) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    if (fail_) return absl::InternalError("the toy is broken");
    largest_group_ = std::max(largest_group_, entries.size());
    for (const Entry& entry : entries) {
      KEEL_CHECK_EQ(entry.id.index, state_.applied.index + 1);
      KEEL_CHECK_GE(entry.id.term, state_.applied.term);
      state_.applied = entry.id;
      if (entry.type == EntryType::kCommand) state_.commands.emplace_back(entry.payload.view());
      if (entry.type == EntryType::kMembership) {
        const absl::StatusOr<MembershipEntry> decoded = DecodeMembershipEntry(entry.payload.view());
        KEEL_CHECK_OK(decoded.status());
        state_.membership = decoded->membership;
      }
    }
  }
  happenings_.Note();
  return absl::OkStatus();
}

absl::Status ToyMachine::Install(const SnapshotMeta& meta) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    KEEL_CHECK(snapshot_.applied == meta.last);
    state_ = durable_ = snapshot_;
    ++installs_;
  }
  happenings_.Note();
  return absl::OkStatus();
}

Index ToyMachine::DurableApplied() const {
  std::lock_guard<std::mutex> lock(mu_);
  return durable_.applied.index;
}

void ToyMachine::OnLeadership(Role role, Term, MemberId) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    leads_ = role == Role::kLeader;
  }
  happenings_.Note();
}

ToyState ToyMachine::state() const {
  std::lock_guard<std::mutex> lock(mu_);
  return state_;
}
bool ToyMachine::Has(const std::string& command) const {
  std::lock_guard<std::mutex> lock(mu_);
  return std::find(state_.commands.rbegin(), state_.commands.rend(), command) != state_.commands.rend();
}
ToyState ToyMachine::durable() const {
  std::lock_guard<std::mutex> lock(mu_);
  return durable_;
}
void ToyMachine::Flush() {
  std::lock_guard<std::mutex> lock(mu_);
  durable_ = state_;
}
void ToyMachine::KeepSnapshot(ToyState snapshot) {
  std::lock_guard<std::mutex> lock(mu_);
  snapshot_ = std::move(snapshot);
}
void ToyMachine::FailNextApply() {
  std::lock_guard<std::mutex> lock(mu_);
  fail_ = true;
}
int ToyMachine::installs() const {
  std::lock_guard<std::mutex> lock(mu_);
  return installs_;
}
size_t ToyMachine::largest_group() const {
  std::lock_guard<std::mutex> lock(mu_);
  return largest_group_;
}
bool ToyMachine::leads() const {
  std::lock_guard<std::mutex> lock(mu_);
  return leads_;
}

// --- TestStore

absl::Status TestStore::Append(const StableBatch& batch) {
  {
    std::unique_lock<std::mutex> lock(mu_);
    changed_.wait(lock, [this] { return !held_ || fail_; });
    if (fail_) return absl::ResourceExhaustedError("No space left on device");
  }
  absl::Status status = log_->Append(batch);
  happenings_.Note();
  return status;
}
absl::StatusOr<std::vector<Entry>> TestStore::Read(Index first, Index last, size_t bytes_max) const {
  {
    std::lock_guard<std::mutex> lock(mu_);
    ++reads_;
  }
  return log_->Read(first, last, bytes_max);
}
absl::Status TestStore::TruncatePrefix(Index through) {
  absl::Status status = log_->TruncatePrefix(through);
  happenings_.Note();
  return status;
}
absl::Status TestStore::ResetTo(EntryId last) {
  absl::Status status = log_->ResetTo(last);
  happenings_.Note();
  return status;
}
void TestStore::Hold() {
  std::lock_guard<std::mutex> lock(mu_);
  held_ = true;
}
void TestStore::Release() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    held_ = false;
  }
  changed_.notify_all();
}
void TestStore::Fail() {
  {
    std::lock_guard<std::mutex> lock(mu_);
    fail_ = true;
  }
  changed_.notify_all();
}
int TestStore::reads() const {
  std::lock_guard<std::mutex> lock(mu_);
  return reads_;
}

// --- Cluster

class Cluster::Network final : public Transport {
 public:
  Network(Cluster* cluster, int member) : cluster_(*cluster), member_(member) {}
  void Send(std::vector<Message> messages) override { cluster_.Send(member_, std::move(messages)); }
  bool Reaches(MemberId peer) const override { return cluster_.Reaches(member_, static_cast<int>(peer.value())); }
  void SendSnapshot(MemberId follower, Term term) override { cluster_.SendSnapshot(member_, follower, term); }

 private:
  Cluster& cluster_;
  const int member_;
};

Cluster::Cluster(ClusterOptions options) : options_(std::move(options)) {
  ToyState empty;
  for (int i = 1; i <= options_.members; ++i) empty.membership.voters.push_back(MemberId(i));
  for (int i = 1; i <= options_.members; ++i) members_[i].durable = empty;
}

Cluster::~Cluster() {
  for (int member : running()) {
    store(member).Release();
    Stop(member);
  }
}

void Cluster::StartAll() {
  for (int i = 1; i <= options_.members; ++i) Start(i);
}

void Cluster::StartEmpty(int id) {
  {
    std::lock_guard<std::mutex> lock(mu_);
    KEEL_CHECK(!members_.contains(id));
    members_[id];
  }
  Start(id);
}

void Cluster::Start(int id) {
  Member& member = members_.at(id);
  auto log = storage::RaftLog::Open({.dir = dir_ / absl::StrCat("log", id),
                                     .segment_bytes = options_.segment_bytes,
                                     .hasty_segment_bytes = std::min<uint64_t>(options_.segment_bytes, 256 << 10),
                                     .spare_segments = 1});
  KEEL_CHECK_OK(log.status());
  const storage::RaftLog::Recovered& recovered = (*log)->recovered();
  InitialState initial{.hard_state = recovered.hard_state,
                       .snapshot = recovered.start,
                       .term_runs = recovered.term_runs,
                       .last = recovered.last,
                       .applied = member.durable.applied.index};
  initial.membership = member.durable.membership;
  initial.memberships = recovered.memberships;
  if (initial.applied > initial.last) {
    // Stopped between the switch to a snapshot and the reset of the log.
    KEEL_CHECK_OK((*log)->ResetTo(member.durable.applied));
    initial.snapshot = member.durable.applied;
    initial.term_runs.clear();
    initial.memberships.clear();
    initial.last = initial.applied;
  }
  initial.hard_state.commit = std::max(initial.hard_state.commit, initial.applied);
  NodeOptions node_options = options_.node;
  node_options.core.id = MemberId(id);
  node_options.core.seed = ++starts_;
  member.machine = std::make_unique<ToyMachine>(member.durable, &happenings_);
  member.store = std::make_unique<TestStore>(*std::move(log), &happenings_);
  member.network = std::make_unique<Network>(this, id);
  auto node = Node::Start(node_options, std::move(initial), member.store.get(), member.network.get(),
                          member.machine.get(), &Clock::Real(), [this, id](absl::Status status) {
                            {
                              std::lock_guard<std::mutex> lock(mu_);
                              members_.at(id).fatal.push_back(std::move(status));
                            }
                            happenings_.Note();
                          });
  KEEL_CHECK_OK(node.status());
  std::lock_guard<std::mutex> lock(mu_);
  member.node = *std::move(node);
}

void Cluster::Stop(int id) {
  std::shared_ptr<Node> node;
  {
    std::lock_guard<std::mutex> lock(mu_);
    node = std::move(members_.at(id).node);
    stopped_.push_back(node);
  }
  node->Stop();
  std::lock_guard<std::mutex> lock(mu_);
  Member& member = members_.at(id);
  member.durable = member.machine->durable();
  networks_.push_back(std::move(member.network));
  member.store.reset();
}

std::shared_ptr<Node> Cluster::Find(int member) const {
  std::lock_guard<std::mutex> lock(mu_);
  const auto it = members_.find(member);
  return it == members_.end() ? nullptr : it->second.node;
}

Node& Cluster::node(int member) {
  std::lock_guard<std::mutex> lock(mu_);
  return *members_.at(member).node;
}
ToyMachine& Cluster::machine(int member) { return *members_.at(member).machine; }
TestStore& Cluster::store(int member) { return *members_.at(member).store; }

std::vector<int> Cluster::running() const {
  std::lock_guard<std::mutex> lock(mu_);
  std::vector<int> ids;
  for (const auto& [id, member] : members_) {
    if (member.node != nullptr) ids.push_back(id);
  }
  return ids;
}

int Cluster::WaitForLeader() {
  int leader = 0;
  KEEL_CHECK(WaitUntil([&] {
    std::set<std::pair<uint64_t, uint64_t>> views;
    for (int id : running()) views.insert({node(id).leader().value(), node(id).term().value()});
    if (views.size() != 1 || views.begin()->first == 0) return false;
    leader = static_cast<int>(views.begin()->first);
    return Find(leader) != nullptr && machine(leader).leads();
  })) << "no leader";
  return leader;
}

bool Cluster::ProposeAndWait(int member, const std::string& command) {
  if (!node(member).Propose(Payload(command), Soon()).ok()) return false;
  return WaitUntil([&] { return machine(member).Has(command); });
}

bool Cluster::WaitUntilAllHave(const std::string& command) {
  return WaitUntil([&] {
    for (int id : running()) {
      if (!machine(id).Has(command)) return false;
    }
    return true;
  });
}

void Cluster::Cut(int a, int b) {
  std::lock_guard<std::mutex> lock(mu_);
  cuts_.insert({a, b});
  cuts_.insert({b, a});
}
void Cluster::CutOneWay(int from, int to) {
  std::lock_guard<std::mutex> lock(mu_);
  cuts_.insert({from, to});
}
void Cluster::Heal() {
  std::set<std::pair<int, int>> healed;
  {
    std::lock_guard<std::mutex> lock(mu_);
    healed.swap(cuts_);
  }
  for (const auto& [from, to] : healed) {
    const std::shared_ptr<Node> node = Find(from);
    if (node != nullptr) node->ReportReachable(MemberId(static_cast<uint64_t>(to)));
  }
}
bool Cluster::Reaches(int from, int to) const {
  std::lock_guard<std::mutex> lock(mu_);
  return !cuts_.contains({from, to});
}
uint64_t Cluster::sent(int member) const {
  std::lock_guard<std::mutex> lock(mu_);
  return members_.at(member).sent;
}
std::vector<absl::Status> Cluster::fatal(int member) const {
  std::lock_guard<std::mutex> lock(mu_);
  return members_.at(member).fatal;
}

void Cluster::Send(int from, std::vector<Message> messages) {
  for (Message& message : messages) {
    const int to = static_cast<int>(message.to.value());
    {
      std::lock_guard<std::mutex> lock(mu_);
      ++members_.at(from).sent;
      if (cuts_.contains({from, to})) continue;
    }
    // Not under the lock: what is called may call back.
    if (const std::shared_ptr<Node> node = Find(to)) node->Deliver({std::move(message)});
  }
}

void Cluster::SendSnapshot(int from, MemberId follower, Term term) {
  const int to = static_cast<int>(follower.value());
  const std::shared_ptr<Node> node = Find(to);
  const std::shared_ptr<Node> sender = Find(from);
  if (sender == nullptr) return;
  if (node == nullptr) {
    sender->ReportSnapshotSent(follower, absl::UnavailableError("not running"), {});
    return;
  }
  const ToyState state = machine(from).state();
  machine(to).KeepSnapshot(state);
  SnapshotMeta meta{.last = state.applied, .membership = state.membership};
  node->OfferSnapshot(MemberId(from), term, meta, [this, from, follower, last = meta.last](bool taken) {
    const std::shared_ptr<Node> to_tell = Find(from);
    if (to_tell == nullptr) return;
    to_tell->ReportSnapshotSent(follower, taken ? absl::OkStatus() : absl::UnavailableError("stale"), last);
  });
}

}  // namespace keel::raft
