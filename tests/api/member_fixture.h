#pragma once

// One member as its clients see it: a gRPC server on a loopback port over the real state store, applier, watch hub and
// lease keeper, and a node that commits what is proposed at once.

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "base/random.h"
#include "proto/election.grpc.pb.h"
#include "proto/etcdserver_cluster.grpc.pb.h"
#include "proto/etcdserver_kv.grpc.pb.h"
#include "proto/etcdserver_lease.grpc.pb.h"
#include "proto/etcdserver_maintenance.grpc.pb.h"
#include "proto/etcdserver_watch.grpc.pb.h"
#include "proto/lock.grpc.pb.h"
#include "server/api/grpc_services.h"
#include "server/apply/applier.h"
#include "server/member.h"
#include "server/member_changer.h"
#include "server/metrics.h"
#include "server/space_alarm.h"
#include "tests/apply/fake_node.h"

namespace keel::server {

inline constexpr uint64_t kClusterId = 0xfedcba9876543210u;
inline constexpr uint64_t kMemberId = 0x8899aabbccddeeffu;

// Waits for `condition`, for a generous time. For what tells nobody when it changes.
inline bool Await(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// Counts what it is told, by "service/method".
class CountingMetrics final : public Metrics {
 public:
  int64_t CallsInProgress() const override { return 0; }
  void RpcStarted(std::string_view service, std::string_view method, RpcKind) override {
    absl::MutexLock lock(&mu_);
    ++started_[Name(service, method)];
  }
  void RpcHandled(std::string_view service, std::string_view method, RpcKind, absl::StatusCode code,
                  absl::Duration) override {
    absl::MutexLock lock(&mu_);
    handled_[Name(service, method)].push_back(code);
  }
  void LogSynced(absl::Duration, absl::Duration, size_t) override {}
  void LeaderChanged(bool, bool) override {}
  void HealthChecked(bool) override {}
  std::string Render(const Member&) override { return ""; }

  int started(const std::string& name) {
    absl::MutexLock lock(&mu_);
    return started_[name];
  }
  std::vector<absl::StatusCode> handled(const std::string& name) {
    absl::MutexLock lock(&mu_);
    return handled_[name];
  }

 private:
  static std::string Name(std::string_view service, std::string_view method) {
    return std::string(service) + "/" + std::string(method);
  }

  absl::Mutex mu_;
  std::map<std::string, int> started_;
  std::map<std::string, std::vector<absl::StatusCode>> handled_;
};

// What a test wants to be different.
struct MemberOptions {
  Limits limits;
  absl::Duration election_timeout = absl::Seconds(1);
  bool learner = false;
  ReplyBudget::Options replies = {};
};

// Answers every change with what the test says.
class FakeChanger final : public MemberChanger {
 public:
  void Change(peer::ChangeRequest request, const Call& /*call*/, ChangeDone done) override {
    absl::StatusOr<peer::ChangeResponse> answer;
    {
      absl::MutexLock lock(&mu_);
      asked_ = std::move(request);
      answer = answer_;
    }
    done(std::move(answer));
  }
  void ChangeAsLeader(peer::ChangeRequest request, absl::Time /*deadline*/, ChangeDone done) override {
    Change(std::move(request), Call(), std::move(done));
  }
  void Stop() override {}

  void SetAnswer(absl::StatusOr<peer::ChangeResponse> answer) {
    absl::MutexLock lock(&mu_);
    answer_ = std::move(answer);
  }
  peer::ChangeRequest asked() const {
    absl::MutexLock lock(&mu_);
    return asked_;
  }

 private:
  mutable absl::Mutex mu_;
  absl::StatusOr<peer::ChangeResponse> answer_ ABSL_GUARDED_BY(mu_) = peer::ChangeResponse();
  peer::ChangeRequest asked_ ABSL_GUARDED_BY(mu_);
};

class TestMember {
 public:
  explicit TestMember(const MemberOptions& options = {}) {
    dir_ = std::filesystem::temp_directory_path() / absl::StrCat("keel_api_test_", Random::EntropySeed());
    std::filesystem::create_directories(dir_ / "scratch");
    auto store = storage::StateStore::Open({.dir = dir_ / "state"});
    KEEL_CHECK_OK(store);
    store_ = *std::move(store);
    storage::MemberRecord other{.id = 7, .name = "other", .peer_urls = {"http://other:2380"}};
    storage::MemberRecord self{.id = kMemberId,
                               .name = "self",
                               .peer_urls = {"http://self:2380"},
                               .client_urls = {"http://self:2379"},
                               .learner = options.learner};
    KEEL_CHECK_OK(store_->Bootstrap({.cluster_id = kClusterId, .members = {self, other}}));

    const Clock* clock = &Clock::Real();
    const raft::MemberId id{kMemberId};
    proposer_ = Proposer::Create({.request_bytes_max = options.limits.request_bytes_max}, kMemberId, clock);
    space_alarm_ = std::make_unique<SpaceAlarm>(
        SpaceAlarm::Options{.member_id = kMemberId, .quota_bytes = options.limits.quota_bytes}, clock, store_.get(),
        proposer_.get());
    hub_ = WatchHub::Create({}, store_.get(), clock);
    leases_ = LeaseKeeper::Create({.election_timeout = absl::Seconds(1)}, id, clock, store_.get());
    applier_ = Applier::Create({.incoming_dir = dir_ / "incoming",
                                .quota_bytes = options.limits.quota_bytes,
                                .on_full = [this] { space_alarm_->Raise(); }},
                               store_.get(), proposer_.get(), hub_.get(), leases_.get());
    node_ = std::make_unique<FakeNode>(applier_.get(), id, raft::Index{2});
    proposer_->Attach(node_.get());
    leases_->Attach(node_.get(), proposer_.get(), nullptr);
    leases_->Start();
    hub_->Start();
    // The lease keeper confirms its leadership once; from then on a test can count and hold reads.
    KEEL_CHECK(Await([this] { return node_->reads() == 1; }));

    member_ = {.cluster_id = kClusterId,
               .member_id = kMemberId,
               .name = "self",
               .limits = options.limits,
               .scratch_dir = dir_ / "scratch",
               .clock = clock,
               .node = node_.get(),
               .store = store_.get(),
               .proposer = proposer_.get(),
               .watch = hub_.get(),
               .leases = leases_.get(),
               .changer = &changer_,
               .space_alarm = space_alarm_.get(),
               .metrics = &metrics_};
    services_ = GrpcServices::Create(&member_, {.request_bytes_max = options.limits.request_bytes_max,
                                                .election_timeout = options.election_timeout,
                                                .replies = options.replies});
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    services_->Register(&builder);
    server_ = builder.BuildAndStart();
    KEEL_CHECK(server_ != nullptr);
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(-1);
    arguments.SetMaxSendMessageSize(-1);
    channel_ =
        grpc::CreateCustomChannel(absl::StrCat("127.0.0.1:", port), grpc::InsecureChannelCredentials(), arguments);
    kv_ = etcdserverpb::KV::NewStub(channel_);
    watch_ = etcdserverpb::Watch::NewStub(channel_);
    lease_ = etcdserverpb::Lease::NewStub(channel_);
    cluster_ = etcdserverpb::Cluster::NewStub(channel_);
    maintenance_ = etcdserverpb::Maintenance::NewStub(channel_);
    lock_ = v3lockpb::Lock::NewStub(channel_);
    election_ = v3electionpb::Election::NewStub(channel_);
  }

  ~TestMember() {
    services_->Stop();
    proposer_->Stop();
    node_->Stop();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_.reset();
    services_.reset();
    hub_->Stop();
    leases_->Stop();
    KEEL_CHECK_OK(store_->Close());
    std::filesystem::remove_all(dir_);
  }

  etcdserverpb::KV::Stub& kv() { return *kv_; }
  etcdserverpb::Watch::Stub& watch() { return *watch_; }
  etcdserverpb::Lease::Stub& lease() { return *lease_; }
  etcdserverpb::Cluster::Stub& cluster() { return *cluster_; }
  etcdserverpb::Maintenance::Stub& maintenance() { return *maintenance_; }
  v3lockpb::Lock::Stub& lock() { return *lock_; }
  v3electionpb::Election::Stub& election() { return *election_; }

  storage::StateStore& store() { return *store_; }
  FakeNode& node() { return *node_; }
  CountingMetrics& metrics() { return metrics_; }
  FakeChanger& changer() { return changer_; }
  GrpcServices& services() { return *services_; }
  const Member& member() const { return member_; }
  const std::filesystem::path& dir() const { return dir_; }
  const std::shared_ptr<grpc::Channel>& channel() { return channel_; }

 private:
  std::filesystem::path dir_;
  CountingMetrics metrics_;
  FakeChanger changer_;
  std::unique_ptr<storage::StateStore> store_;
  std::unique_ptr<Proposer> proposer_;
  std::unique_ptr<SpaceAlarm> space_alarm_;
  std::unique_ptr<WatchHub> hub_;
  std::unique_ptr<LeaseKeeper> leases_;
  std::unique_ptr<Applier> applier_;
  std::unique_ptr<FakeNode> node_;
  Member member_;
  std::unique_ptr<GrpcServices> services_;
  std::unique_ptr<grpc::Server> server_;

  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<etcdserverpb::KV::Stub> kv_;
  std::unique_ptr<etcdserverpb::Watch::Stub> watch_;
  std::unique_ptr<etcdserverpb::Lease::Stub> lease_;
  std::unique_ptr<etcdserverpb::Cluster::Stub> cluster_;
  std::unique_ptr<etcdserverpb::Maintenance::Stub> maintenance_;
  std::unique_ptr<v3lockpb::Lock::Stub> lock_;
  std::unique_ptr<v3electionpb::Election::Stub> election_;
};

// A client's context that gives up after a generous time, so that a lost answer fails the test instead of hanging it.
class Context : public grpc::ClientContext {
 public:
  explicit Context(bool require_leader = false) {
    set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
    if (require_leader) AddMetadata("hasleader", "true");
  }
};

MATCHER_P2(Fails, code, text, absl::StrCat("fails with ", static_cast<int>(code), " ", text)) {
  *result_listener << "is " << arg.error_code() << " " << arg.error_message();
  return arg.error_code() == code && arg.error_message() == text;
}
MATCHER(Succeeds, "") {
  *result_listener << "is " << arg.error_code() << " " << arg.error_message();
  return arg.ok();
}

// Ids, term and revision of a header, compared as a whole.
inline void ExpectHeader(const etcdserverpb::ResponseHeader& header, int64_t revision) {
  EXPECT_EQ(header.cluster_id(), kClusterId);
  EXPECT_EQ(header.member_id(), kMemberId);
  EXPECT_EQ(header.raft_term(), 1u);
  EXPECT_EQ(header.revision(), revision);
}

// The calls that tests make most.
inline grpc::Status Put(TestMember* member, const etcdserverpb::PutRequest& request,
                        etcdserverpb::PutResponse* response) {
  Context context;
  return member->kv().Put(&context, request, response);
}
inline etcdserverpb::PutRequest PutOf(const std::string& key, const std::string& value, int64_t lease = 0) {
  etcdserverpb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  request.set_lease(lease);
  return request;
}
// The revision of the put.
inline int64_t MustPut(TestMember* member, const std::string& key, const std::string& value, int64_t lease = 0) {
  etcdserverpb::PutResponse response;
  EXPECT_THAT(Put(member, PutOf(key, value, lease), &response), Succeeds());
  return response.header().revision();
}
inline etcdserverpb::RangeRequest RangeOf(const std::string& key, const std::string& range_end = "") {
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  request.set_range_end(range_end);
  return request;
}
inline grpc::Status Range(TestMember* member, const etcdserverpb::RangeRequest& request,
                          etcdserverpb::RangeResponse* response) {
  Context context;
  return member->kv().Range(&context, request, response);
}
inline grpc::Status Txn(TestMember* member, const etcdserverpb::TxnRequest& request,
                        etcdserverpb::TxnResponse* response) {
  Context context;
  return member->kv().Txn(&context, request, response);
}
inline grpc::Status Compact(TestMember* member, int64_t revision, etcdserverpb::CompactionResponse* response) {
  Context context;
  etcdserverpb::CompactionRequest request;
  request.set_revision(revision);
  return member->kv().Compact(&context, request, response);
}
inline grpc::Status Grant(TestMember* member, int64_t id, int64_t ttl, etcdserverpb::LeaseGrantResponse* response) {
  Context context;
  etcdserverpb::LeaseGrantRequest request;
  request.set_id(id);
  request.set_ttl(ttl);
  return member->lease().LeaseGrant(&context, request, response);
}
inline int64_t MustGrant(TestMember* member, int64_t ttl = 60) {
  etcdserverpb::LeaseGrantResponse response;
  EXPECT_THAT(Grant(member, 0, ttl, &response), Succeeds());
  return response.id();
}
inline grpc::Status Revoke(TestMember* member, int64_t id, etcdserverpb::LeaseRevokeResponse* response) {
  Context context;
  etcdserverpb::LeaseRevokeRequest request;
  request.set_id(id);
  return member->lease().LeaseRevoke(&context, request, response);
}

}  // namespace keel::server
