#pragma once

// What a replica is made of, and what is put between its parts to look at what passes.

#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "proto/peer.pb.h"
#include "raft/wire.h"
#include "server/apply/applier.h"
#include "storage/log/raft_log.h"
#include "tests/sim_full/replica.h"

namespace keel::sim {

inline constexpr uint64_t kClusterId = 0xc1;

// The first byte of what travels between members.
enum class Frame : char { kRaft = 'r', kOnce = 'o', kRenew = 'n', kTimeToLive = 't', kAnswer = 'a' };

inline raft::Membership MembershipOf(const storage::StateStore& store) {
  raft::Membership membership;
  for (const uint64_t id : store.membership().voters) membership.voters.emplace_back(id);
  return membership;
}

// What is compared on the way to the applier.
class Replica::Machine final : public raft::StateMachine {
 public:
  Machine(Replica* replica, server::Applier* applier) : replica_(*replica), applier_(*applier) {}

  absl::Status Apply(std::span<const raft::Entry> entries) override {
    for (const raft::Entry& entry : entries) replica_.oracle_.OnApply(replica_.node_, entry);
    KEEL_RETURN_IF_ERROR(applier_.Apply(entries));
    replica_.oracle_.OnApplied(replica_.node_, replica_.store());
    return absl::OkStatus();
  }
  absl::Status Install(const raft::SnapshotMeta& meta) override {
    KEEL_RETURN_IF_ERROR(applier_.Install(meta));
    replica_.snapshot_installed_.Reached();
    replica_.world_.Trace(replica_.node_, " installs ", meta.last.index.value());
    replica_.oracle_.CheckState(replica_.node_, replica_.store());
    return absl::OkStatus();
  }
  raft::Index DurableApplied() const override {
    if (replica_.breaks(BrokenRule::kDropApplied)) return raft::Index(replica_.store().applied().index);
    return applier_.DurableApplied();
  }
  void OnLeadership(raft::Role role, raft::Term term, raft::MemberId leader) override {
    if (role == raft::Role::kLeader) {
      replica_.world_.Trace(replica_.node_, " leads term ", term.value());
      ++replica_.ledger_.totals["elections"];
    }
    applier_.OnLeadership(role, term, leader);
  }

 private:
  Replica& replica_;
  server::Applier& applier_;
};

// Likewise on the way to the watchers.
class Replica::Hub final : public server::WatchHub {
 public:
  Hub(Replica* replica, std::unique_ptr<server::WatchHub> hub) : replica_(*replica), hub_(std::move(hub)) {}

  void Start() override { hub_->Start(); }
  bool Poll() override { return hub_->Poll(); }
  void Stop() override { hub_->Stop(); }
  std::unique_ptr<server::WatchStream> OpenStream(std::function<void()> ready) override {
    return hub_->OpenStream(std::move(ready));
  }
  void Publish(const std::vector<storage::RevisionEventsPtr>& revisions) override {
    replica_.oracle_.OnPublish(replica_.node_, revisions);
    hub_->Publish(replica_.breaks(BrokenRule::kLoseWatchEvent) ? WithoutLastEvents(revisions) : revisions);
  }
  void OnStateReplaced() override { hub_->OnStateReplaced(); }
  Stats stats() const override { return hub_->stats(); }

 private:
  static std::vector<storage::RevisionEventsPtr> WithoutLastEvents(std::vector<storage::RevisionEventsPtr> revisions) {
    for (storage::RevisionEventsPtr& revision : revisions) {
      if (revision->events.size() < 2) continue;
      auto shorter = std::make_shared<storage::RevisionEvents>(*revision);
      shorter->events.pop_back();
      revision = std::move(shorter);
    }
    return revisions;
  }

  Replica& replica_;
  const std::unique_ptr<server::WatchHub> hub_;
};

// The member's side of the network.
class Replica::Wire final : public raft::Transport, public server::LeaseForwarder {
 public:
  explicit Wire(Replica* replica) : replica_(*replica) {}

  void Send(std::vector<raft::Message> messages) override {
    for (const raft::Message& message : messages) {
      raftpb::Message pb;
      raft::EncodeMessage(message, &pb);
      std::string bytes(1, static_cast<char>(Frame::kRaft));
      if (std::holds_alternative<raft::ForwardProposal>(message.body)) {
        bytes = Pack(Frame::kOnce, replica_.next_once_++, {});
      }
      pb.AppendToString(&bytes);
      const int to = static_cast<int>(message.to.value());
      if (replica_.host_.send(to, std::move(bytes)) || !replica_.random_.Chance(replica_.options_.sim.report_lost)) {
        continue;
      }
      replica_.After(kMillisecond, [this, peer = message.to] { replica_.raft().ReportUnreachable(peer); });
    }
  }

  void SendSnapshot(raft::MemberId follower, raft::Term term) override {
    const std::string path = absl::StrCat("/scratch/", ++replica_.snapshots_);
    const auto position = replica_.store().Checkpoint(path);
    if (!position.ok()) return replica_.Fail(position.status());
    const raft::EntryId last{raft::Term(position->term), raft::Index(position->index)};
    replica_.world_.Trace(replica_.node_, " sends snapshot ", position->index, " to ", follower.value());
    ++replica_.ledger_.totals["snapshots sent"];
    SnapshotInFlight snapshot{.term = term,
                              .meta = {.last = last, .membership = MembershipOf(replica_.store())},
                              .medium = replica_.medium_,
                              .path = path};
    auto report = std::make_shared<TransferReport>([self = std::weak_ptr<Replica*>(replica_.self_),
                                                    life = replica_.life_, follower, last, path](absl::Status status) {
      const std::shared_ptr<Replica*> sender = self.lock();
      if (sender == nullptr || (*sender)->life_ != life || !(*sender)->is_up()) return;
      (*sender)->After(0, [&replica = **sender, follower, last, path, status = std::move(status)] {
        (void)replica.medium_->Remove(path);
        replica.raft().ReportSnapshotSent(follower, status, last);
      });
    });
    replica_.host_.send_snapshot(static_cast<int>(follower.value()), std::move(snapshot), std::move(report));
  }

  void Renew(raft::MemberId leader, std::vector<storage::LeaseId> ids, absl::Time deadline,
             absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    peer::RenewRequest request;
    request.set_cluster_id(kClusterId);
    for (const storage::LeaseId id : ids) request.add_lease_ids(id.value());
    Ask(leader, Frame::kRenew, request.SerializeAsString(), deadline,
        [done = std::move(done)](absl::StatusOr<std::string> bytes) mutable {
          if (!bytes.ok()) return done(bytes.status());
          peer::RenewResponse response;
          if (!response.ParseFromString(*bytes)) throw Violation{"messages-accepted", "an answer does not parse"};
          done(std::vector<int64_t>(response.ttls().begin(), response.ttls().end()));
        });
  }

  void TimeToLive(raft::MemberId leader, storage::LeaseId id, absl::Time deadline,
                  absl::AnyInvocable<void(absl::StatusOr<server::LeaseTimeToLive>)> done) override {
    peer::TimeToLiveRequest request;
    request.set_cluster_id(kClusterId);
    request.set_lease_id(id.value());
    Ask(leader, Frame::kTimeToLive, request.SerializeAsString(), deadline,
        [done = std::move(done)](absl::StatusOr<std::string> bytes) mutable {
          if (!bytes.ok()) return done(bytes.status());
          peer::TimeToLiveResponse response;
          if (!response.ParseFromString(*bytes)) throw Violation{"messages-accepted", "an answer does not parse"};
          done(server::LeaseTimeToLive{.ttl = response.ttl(), .granted_ttl = response.granted_ttl()});
        });
  }

  void Serve(int from, Frame frame, uint64_t call, const std::string& body);
  void OnAnswer(uint64_t call, bool ok, std::string body) {
    auto node = calls_.extract(call);
    if (node.empty()) return;
    if (ok) {
      node.mapped()(std::move(body));
    } else {
      node.mapped()(absl::UnavailableError("etcdserver: not leader"));
    }
  }

  static std::string Pack(Frame frame, uint64_t call, std::string_view body) {
    std::string bytes(1, static_cast<char>(frame));
    bytes.append(reinterpret_cast<const char*>(&call), sizeof(call));
    bytes.append(body);
    return bytes;
  }

 private:
  using Answer = absl::AnyInvocable<void(absl::StatusOr<std::string>)>;

  void Ask(raft::MemberId leader, Frame frame, const std::string& body, absl::Time deadline, Answer answer) {
    const uint64_t call = (replica_.life_ << 32) | ++last_call_;
    calls_.emplace(call, std::move(answer));
    replica_.host_.send(static_cast<int>(leader.value()), Pack(frame, call, body));
    const SimTime wait = absl::ToInt64Microseconds(deadline - replica_.clock_->Now());
    replica_.After(std::max<SimTime>(wait, 0), [this, call] {
      auto node = calls_.extract(call);
      if (!node.empty()) node.mapped()(absl::DeadlineExceededError("no answer"));
      replica_.PollSoon();
    });
  }

  Replica& replica_;
  uint64_t last_call_ = 0;
  std::map<uint64_t, Answer> calls_;
};

// In the order of their making; they go in the opposite one.
struct Replica::Parts {
  std::unique_ptr<storage::StateStore> store;
  std::unique_ptr<storage::RaftLog> log;
  std::unique_ptr<server::Proposer> proposer;
  std::unique_ptr<server::WatchHub> hub;
  std::unique_ptr<server::LeaseKeeper> leases;
  std::unique_ptr<server::Applier> applier;
  std::unique_ptr<Machine> machine;
  std::unique_ptr<Wire> wire;
  std::unique_ptr<SimNode> node;
  server::Member member;
  std::unique_ptr<server::Admission> admission;
  server::WorkerPool readers{0};
  std::shared_ptr<server::ReplyBudget> replies = std::make_shared<server::ReplyBudget>(server::ReplyBudget::Options());
  server::ApiBase base;
  std::unique_ptr<server::KvHandlers> kv;
  std::unique_ptr<server::LeaseHandlers> lease_handlers;
  std::shared_ptr<server::OwnershipQueue> queue;
  std::unique_ptr<server::LockApi> lock;
  std::unique_ptr<server::ElectionApi> election;
  std::set<std::string> incoming;
};

}  // namespace keel::sim
