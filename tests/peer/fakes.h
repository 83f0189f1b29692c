#pragma once

// A node and a lease keeper that remember what they were told, and addresses to listen at.

#include <stdlib.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/check.h"
#include "base/url.h"
#include "raft/node.h"
#include "server/lease/lease_keeper.h"
#include "tools/local_cluster/free_port.h"

namespace keel::server {

inline constexpr absl::Duration kGenerous = absl::Seconds(20);

// Thread-safe.
class FakeNode final : public raft::Node {
 public:
  struct SnapshotSent {
    raft::MemberId follower;
    absl::Status status;
    raft::EntryId last;
  };
  struct SnapshotOffer {
    raft::MemberId from;
    raft::Term term;
    raft::SnapshotMeta meta;
    std::function<void(bool)> decided;
  };

  absl::Status Propose(raft::Payload, absl::Time) override { return absl::OkStatus(); }
  void ReadIndex(absl::Time, raft::ReadDone) override {}
  void WaitApplied(raft::Index, absl::Time, raft::ReadDone) override {}

  void Deliver(std::vector<raft::Message> messages) override {
    absl::MutexLock lock(&mu_);
    for (raft::Message& message : messages) received_.push_back(std::move(message));
  }
  void ReportUnreachable(raft::MemberId peer) override {
    absl::MutexLock lock(&mu_);
    unreachable_.push_back(peer);
  }
  void ReportReachable(raft::MemberId peer) override {
    absl::MutexLock lock(&mu_);
    reachable_.push_back(peer);
  }
  void ReportPeerDied(raft::MemberId peer) override {
    absl::MutexLock lock(&mu_);
    died_.push_back(peer);
  }
  void ProposeMembership(raft::MembershipChange, raft::Payload, absl::Time, raft::ChangeDone done) override {
    done(absl::FailedPreconditionError(raft::kNotLeader));
  }
  void TransferLeadership(raft::MemberId, absl::Time, raft::ChangeDone done) override {
    done(absl::FailedPreconditionError(raft::kNotLeader));
  }
  void ReportSnapshotSent(raft::MemberId follower, const absl::Status& status, raft::EntryId last) override {
    absl::MutexLock lock(&mu_);
    sent_.push_back({follower, status, last});
  }
  void OfferSnapshot(raft::MemberId from, raft::Term term, const raft::SnapshotMeta& meta,
                     std::function<void(bool)> decided) override {
    absl::MutexLock lock(&mu_);
    offers_.push_back({from, term, meta, std::move(decided)});
  }

  raft::NodeStatus status() const override { return {}; }
  raft::Term term() const override { return raft::Term(1); }
  raft::MemberId leader() const override { return raft::kNobody; }
  raft::Index applied() const override { return raft::Index(0); }
  raft::Index commit() const override { return raft::Index(0); }
  void Stop() override {}

  // Each waits until `count` have come, and gives them all; what is there when the time is up, otherwise.
  std::vector<raft::Message> AwaitMessages(size_t count) { return Await(count, &FakeNode::received_); }
  std::vector<raft::MemberId> AwaitUnreachable(size_t count) { return Await(count, &FakeNode::unreachable_); }
  std::vector<raft::MemberId> AwaitReachable(size_t count) { return Await(count, &FakeNode::reachable_); }
  std::vector<raft::MemberId> AwaitDied(size_t count) { return Await(count, &FakeNode::died_); }
  std::vector<SnapshotSent> AwaitSnapshotSent(size_t count) { return Await(count, &FakeNode::sent_); }
  std::vector<SnapshotOffer> AwaitOffers(size_t count) { return Await(count, &FakeNode::offers_); }
  void DropOffers() {
    std::vector<SnapshotOffer> dropped;
    absl::MutexLock lock(&mu_);
    dropped.swap(offers_);
  }

 private:
  template <typename T>
  std::vector<T> Await(size_t count, std::vector<T> FakeNode::*list) {
    absl::MutexLock lock(&mu_);
    auto enough = [this, count, list] { return (this->*list).size() >= count; };
    mu_.AwaitWithTimeout(absl::Condition(&enough), kGenerous);
    return this->*list;
  }

  absl::Mutex mu_;
  std::vector<raft::Message> received_ ABSL_GUARDED_BY(mu_);
  std::vector<raft::MemberId> unreachable_ ABSL_GUARDED_BY(mu_);
  std::vector<raft::MemberId> reachable_ ABSL_GUARDED_BY(mu_);
  std::vector<raft::MemberId> died_ ABSL_GUARDED_BY(mu_);
  std::vector<SnapshotSent> sent_ ABSL_GUARDED_BY(mu_);
  std::vector<SnapshotOffer> offers_ ABSL_GUARDED_BY(mu_);
};

// Leads, and knows the leases 1..9: TTL = 10 * id. Lease 99 is never answered.
class FakeLeaseKeeper final : public LeaseKeeper {
 public:
  void Attach(raft::Node*, Proposer*, LeaseForwarder*) override {}
  void Start() override {}
  void Stop() override {}
  bool Poll() override { return false; }
  int64_t minimum_ttl() const override { return 2; }
  void Renew(storage::LeaseId, absl::Time, absl::AnyInvocable<void(absl::StatusOr<int64_t>)>) override {}
  void RenewAsLeader(std::vector<storage::LeaseId> ids, absl::Time deadline,
                     absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> done) override {
    last_deadline = deadline;
    if (!ids.empty() && ids[0].value() == 99) {
      never_answered = std::move(done);
      return;
    }
    if (!leads) return done(absl::UnavailableError("etcdserver: not leader"));
    std::vector<int64_t> ttls;
    for (storage::LeaseId id : ids) ttls.push_back(id.value() > 9 ? 0 : 10 * id.value());
    done(ttls);
  }
  void TimeToLive(storage::LeaseId, absl::Time, absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)>) override {}
  void TimeToLiveAsLeader(storage::LeaseId id, absl::Time,
                          absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)> done) override {
    if (id.value() > 9) return done(LeaseTimeToLive{});
    done(LeaseTimeToLive{.ttl = 10 * id.value() - 1, .granted_ttl = 10 * id.value()});
  }
  std::vector<storage::LeaseId> Leases() const override { return {}; }
  uint64_t renewals() const override { return 0; }
  void OnGranted(const storage::LeaseRecord&) override {}
  void OnRevoked(storage::LeaseId) override {}
  void OnStateReplaced() override {}
  void OnLeadership(raft::Role, raft::Term, raft::MemberId) override {}

  bool leads = true;
  absl::Time last_deadline;
  absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)> never_answered;
};

inline uint16_t FreePort() {
  const absl::StatusOr<int> port = tools::FreePort();
  KEEL_CHECK(port.ok()) << port.status();
  return static_cast<uint16_t>(*port);
}

inline Url FreeUrl() { return {.scheme = Url::Scheme::kHttp, .host = "127.0.0.1", .port = FreePort(), .path = ""}; }

// An empty directory, removed at the end.
class TempDir {
 public:
  TempDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "keel-peer-XXXXXX").string();
    KEEL_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace keel::server
