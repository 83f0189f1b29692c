// Snapshots from member to member, with the real state store at both ends.

#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "base/crc32c.h"
#include "proto/raft.grpc.pb.h"
#include "raft/wire.h"
#include "storage/snapshot/snapshot_stream.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"
#include "tests/peer/peer_fixture.h"

namespace keel::server {
namespace {

std::unique_ptr<storage::StateStore> OpenStore(const std::string& dir) {
  auto store = storage::StateStore::Open({.dir = dir});
  KEEL_CHECK_OK(store);
  KEEL_CHECK_OK((*store)->Bootstrap({.cluster_id = kCluster, .members = {{.id = 1, .name = "a", .peer_urls = {}}}}));
  return *std::move(store);
}

void Put(storage::StateStore* store, uint64_t index, const std::string& key, const std::string& value) {
  storage::ApplyBatch batch = store->BeginBatch();
  batch.BeginEntry({.index = index, .term = 4});
  etcdserverpb::PutRequest request;
  etcdserverpb::PutResponse response;
  request.set_key(key);
  request.set_value(value);
  KEEL_CHECK_OK(batch.Put(request, &response));
  batch.EndEntry();
  KEEL_CHECK_OK(batch.Commit());
}

std::vector<std::string> Names(const std::string& dir) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) names.push_back(entry.path().filename());
  return names;
}

class SnapshotTransferTest : public PeerNetworkTest {
 protected:
  SnapshotTransferTest() {
    store_ = OpenStore(dir_.path() + "/state");
    for (uint64_t i = 2; i <= 200; ++i) Put(store_.get(), i, absl::StrCat("key", i % 50), std::string(5000, 'v'));
    auto options = OptionsFor(a_);
    options.scratch_dir = dir_.path() + "/scratch";
    options.snapshot_chunk_bytes = 10000;
    a_member_ = StartMember(options, store_.get());
  }
  ~SnapshotTransferTest() override { a_member_->network->Stop(); }

  FakeNode::SnapshotSent Report() {
    const auto reports = a_member_->node.AwaitSnapshotSent(1);
    if (reports.size() != 1) {
      ADD_FAILURE() << reports.size() << " reports";
      return {};
    }
    return reports[0];
  }

  TempDir dir_;
  std::unique_ptr<storage::StateStore> store_;
  std::unique_ptr<TestMember> a_member_;
};

TEST_F(SnapshotTransferTest, TheFollowerGetsTheStateWhole) {
  auto b = StartMember(2);
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  const auto offers = b->node.AwaitOffers(1);
  ASSERT_EQ(offers.size(), 1u);
  EXPECT_EQ(offers[0].from, a_);
  EXPECT_EQ(offers[0].term, raft::Term(9));
  EXPECT_EQ(offers[0].meta.last, (raft::EntryId{raft::Term(4), raft::Index(200)}));
  EXPECT_EQ(offers[0].meta.membership.voters, std::vector<raft::MemberId>{a_});
  offers[0].decided(true);

  const auto report = Report();
  EXPECT_EQ(report.follower, b_);
  EXPECT_TRUE(report.status.ok()) << report.status;
  EXPECT_EQ(report.last, offers[0].meta.last);
  EXPECT_TRUE(Names(dir_.path() + "/scratch").empty());

  TempDir other;
  auto restored = OpenStore(other.path() + "/state");
  const absl::Status installed = restored->Install(b->IncomingDir(offers[0].meta));
  ASSERT_TRUE(installed.ok()) << installed;
  EXPECT_EQ(restored->current_revision(), store_->current_revision());
  EXPECT_EQ(restored->applied(), (storage::AppliedPosition{.index = 200, .term = 4}));
  const auto theirs = restored->HashKv(storage::Revision(0)), ours = store_->HashKv(storage::Revision(0));
  ASSERT_TRUE(theirs.ok() && ours.ok());
  EXPECT_EQ(theirs->hash, ours->hash);
}

TEST_F(SnapshotTransferTest, AStaleSnapshotLeavesNothingBehind) {
  auto b = StartMember(2);
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  const auto offers = b->node.AwaitOffers(1);
  ASSERT_EQ(offers.size(), 1u);
  offers[0].decided(false);
  EXPECT_FALSE(Report().status.ok());
  EXPECT_TRUE(Names(b->dir.path()).empty());
}

TEST_F(SnapshotTransferTest, OnlyOneTransferPerFollowerAndEachIsReported) {
  auto b = StartMember(2);
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  ASSERT_EQ(b->node.AwaitOffers(1).size(), 1u);  // The first one waits for its decision.
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  auto reports = a_member_->node.AwaitSnapshotSent(1);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(absl::IsAborted(reports[0].status)) << reports[0].status;
  b->node.AwaitOffers(1)[0].decided(true);
  reports = a_member_->node.AwaitSnapshotSent(2);
  ASSERT_EQ(reports.size(), 2u);
  EXPECT_TRUE(reports[1].status.ok()) << reports[1].status;
}

TEST_F(SnapshotTransferTest, AnAbsentFollowerIsReported) {
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  EXPECT_TRUE(absl::IsUnavailable(Report().status));
  EXPECT_TRUE(Names(dir_.path() + "/scratch").empty());
}

TEST_F(SnapshotTransferTest, AMemberWithoutAScratchDirectorySaysSo) {
  auto b = StartMember(2);
  b->network->SendSnapshot(a_, raft::Term(9));
  const auto reports = b->node.AwaitSnapshotSent(1);
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_TRUE(absl::IsFailedPrecondition(reports[0].status));
}

TEST_F(SnapshotTransferTest, StopEndsTransfersThatWaitForADecision) {
  auto b = StartMember(2);
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  ASSERT_EQ(b->node.AwaitOffers(1).size(), 1u);
  absl::Time begin = absl::Now();
  a_member_->network->Stop();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  EXPECT_FALSE(Report().status.ok());
  begin = absl::Now();
  b->network->Stop();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
}

TEST_F(SnapshotTransferTest, ANodeThatForgetsTheOfferDoesNotHoldTheLeader) {
  auto b = StartMember(2);
  a_member_->network->SendSnapshot(b_, raft::Term(9));
  ASSERT_EQ(b->node.AwaitOffers(1).size(), 1u);
  b->node.DropOffers();
  EXPECT_TRUE(absl::IsUnavailable(Report().status));
}

// --- What a sender by hand may do wrong.

class DamagedSnapshotTest : public PeerNetworkTest {
 protected:
  DamagedSnapshotTest() {
    const std::string source = dir_.path() + "/source";
    std::filesystem::create_directory(source);
    std::ofstream(source + "/CURRENT") << std::string(3000, 'c');
    auto reader = storage::SnapshotReader::Open(source);
    KEEL_CHECK_OK(reader);
    for (bool last = false; !last;) {
      auto data = (*reader)->Next(1000);
      KEEL_CHECK_OK(data);
      last = data->empty();
      raftpb::SnapshotChunk chunk;
      if (chunks_.empty()) {
        chunk.mutable_hello()->set_cluster_id(kCluster);
        chunk.mutable_hello()->set_from(2);
        chunk.mutable_hello()->set_to(1);
        chunk.mutable_hello()->set_format(kPeerFormat);
        chunk.set_term(3);
        raft::EncodeSnapshotMeta({.last = {raft::Term(2), raft::Index(7)},
                                  .membership = {.voters = {a_, b_, c_}, .outgoing_voters = {}, .learners = {}}},
                                 chunk.mutable_meta());
      }
      chunk.set_crc32c(Crc32c(*data));
      chunk.set_data(*data);
      chunk.set_last(last);
      chunks_.push_back(chunk);
    }
    member_ = StartMember(1);
  }

  grpc::Status Send() {
    auto stub =
        raftpb::RaftTransport::NewStub(grpc::CreateChannel(urls_[a_].Target(), grpc::InsecureChannelCredentials()));
    grpc::ClientContext context;
    raftpb::SnapshotReceipt receipt;
    auto stream = stub->InstallSnapshot(&context, &receipt);
    for (const raftpb::SnapshotChunk& chunk : chunks_) {
      if (!stream->Write(chunk)) break;
    }
    stream->WritesDone();
    return stream->Finish();
  }

  void ExpectRefused(grpc::StatusCode code) {
    const grpc::Status status = Send();
    EXPECT_EQ(status.error_code(), code) << status.error_message();
    EXPECT_TRUE(member_->node.AwaitOffers(0).empty());
    EXPECT_TRUE(Names(member_->dir.path()).empty());
  }

  TempDir dir_;
  std::vector<raftpb::SnapshotChunk> chunks_;
  std::unique_ptr<TestMember> member_;
};

TEST_F(DamagedSnapshotTest, AChunkThatDoesNotMatchItsChecksumIsRefused) {
  (*chunks_[1].mutable_data())[10] ^= 1;
  ExpectRefused(grpc::StatusCode::DATA_LOSS);
}

TEST_F(DamagedSnapshotTest, AMissingChunkIsRefused) {
  chunks_.erase(chunks_.begin() + 1);
  ExpectRefused(grpc::StatusCode::DATA_LOSS);
}

TEST_F(DamagedSnapshotTest, AStreamThatEndsEarlyIsRefused) {
  chunks_.pop_back();
  ExpectRefused(grpc::StatusCode::DATA_LOSS);
}

TEST_F(DamagedSnapshotTest, AnEndBeforeTheEndIsRefused) {
  chunks_.resize(2);
  chunks_.back().set_last(true);
  ExpectRefused(grpc::StatusCode::DATA_LOSS);
}

TEST_F(DamagedSnapshotTest, AMembershipWithoutVotersIsRefused) {
  chunks_[0].mutable_meta()->mutable_membership()->clear_voters();
  ExpectRefused(grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(DamagedSnapshotTest, TheUndamagedOneIsOffered) {
  std::thread sender([this] { EXPECT_TRUE(Send().ok()); });
  const auto offers = member_->node.AwaitOffers(1);
  EXPECT_EQ(offers.size(), 1u);
  if (!offers.empty()) offers[0].decided(true);
  sender.join();
  EXPECT_TRUE(std::filesystem::exists(member_->dir.path() + "/incoming-7/CURRENT"));
}

}  // namespace
}  // namespace keel::server
