#include <filesystem>

#include "base/sha256.h"
#include "base/version.h"
#include "storage/snapshot/snapshot_stream.h"
#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

namespace fs = std::filesystem;

// A value that no compression makes smaller.
std::string Noise(size_t bytes) {
  static Random random(7);
  std::string value;
  while (value.size() < bytes) value.push_back(static_cast<char>(random.Next()));
  return value;
}

bool ScratchIsEmpty(TestMember* member) {
  return Await([member] { return fs::is_empty(fs::path(member->member().scratch_dir)); });
}

struct Received {
  std::string image;
  std::string digest;
  size_t pieces = 0;
};

// Reads to the end and checks the framing on the way.
Received Receive(TestMember* member) {
  Context context;
  auto stream = member->maintenance().Snapshot(&context, {});
  Received received;
  etcdserverpb::SnapshotResponse piece;
  uint64_t remaining = 0;
  while (stream->Read(&piece)) {
    EXPECT_FALSE(piece.has_header());
    EXPECT_EQ(piece.version(), kProtocolVersion);
    EXPECT_LE(piece.blob().size(), 32u << 10);
    if (received.pieces > 0 && remaining == 0) {
      EXPECT_EQ(piece.remaining_bytes(), 0u);
      received.digest += piece.blob();
    } else {
      if (received.pieces > 0) {
        EXPECT_EQ(piece.remaining_bytes(), remaining - piece.blob().size());
      }
      received.image += piece.blob();
    }
    remaining = piece.remaining_bytes();
    ++received.pieces;
  }
  EXPECT_THAT(stream->Finish(), Succeeds());
  return received;
}

TEST(SnapshotTest, TheImageIsTheStateAndEndsWithItsDigest) {
  TestMember member;
  for (int i = 0; i < 300; ++i) MustPut(&member, absl::StrCat("key", i), Noise(1000));
  const Received received = Receive(&member);
  EXPECT_GT(received.pieces, 2u);
  EXPECT_EQ(received.image.size() % 512, 0u);
  Sha256 digest;
  digest.Update(received.image);
  EXPECT_EQ(received.digest, digest.Finish());

  const std::string dir = (member.dir() / "copy").string();
  auto writer = storage::SnapshotWriter::Create(dir);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Append(received.image).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  auto copy = storage::StateStore::Open({.dir = (member.dir() / "copy_state").string()});
  ASSERT_TRUE(copy.ok()) << copy.status();
  ASSERT_TRUE((*copy)->Install(dir).ok());
  EXPECT_EQ((*copy)->HashKv(storage::Revision{0})->hash, member.store().HashKv(storage::Revision{0})->hash);
  EXPECT_EQ((*copy)->current_revision().value(), 301);
  ASSERT_TRUE((*copy)->Close().ok());
  EXPECT_TRUE(ScratchIsEmpty(&member));
}

TEST(SnapshotTest, NeitherLeaderNorVoteIsNeeded) {
  TestMember member({.learner = true});
  member.node().SetLeader(raft::kNobody, raft::Term{1});
  EXPECT_FALSE(Receive(&member).digest.empty());
}

TEST(SnapshotTest, AClientThatLeavesOrIsTooSlowLeavesNothingBehind) {
  TestMember member;
  // More than the windows between client and server take in.
  for (int i = 0; i < 24; ++i) MustPut(&member, absl::StrCat("key", i), Noise(1 << 20));
  etcdserverpb::SnapshotResponse piece;
  {
    Context context;
    auto stream = member.maintenance().Snapshot(&context, {});
    ASSERT_TRUE(stream->Read(&piece));
    context.TryCancel();
    while (stream->Read(&piece)) {
    }
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::CANCELLED);
  }
  EXPECT_TRUE(ScratchIsEmpty(&member));
  {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(300));
    auto stream = member.maintenance().Snapshot(&context, {});
    ASSERT_TRUE(stream->Read(&piece));
    EXPECT_EQ(stream->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
  }
  EXPECT_TRUE(ScratchIsEmpty(&member));
}

TEST(SnapshotTest, AMemberSendsAFewAtATime) {
  TestMember member;
  for (int i = 0; i < 24; ++i) MustPut(&member, absl::StrCat("key", i), Noise(1 << 20));
  etcdserverpb::SnapshotResponse piece;
  std::vector<std::unique_ptr<Context>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<etcdserverpb::SnapshotResponse>>> streams;
  for (int i = 0; i < 4; ++i) {
    contexts.push_back(std::make_unique<Context>());
    streams.push_back(member.maintenance().Snapshot(contexts.back().get(), {}));
    ASSERT_TRUE(streams.back()->Read(&piece));
  }
  {
    Context context;
    auto refused = member.maintenance().Snapshot(&context, {});
    EXPECT_FALSE(refused->Read(&piece));
    EXPECT_THAT(refused->Finish(), Fails(grpc::StatusCode::RESOURCE_EXHAUSTED, "etcdserver: too many requests"));
  }
  for (auto& context : contexts) context->TryCancel();
  for (auto& stream : streams) stream->Finish();
  ASSERT_TRUE(ScratchIsEmpty(&member));
  EXPECT_FALSE(Receive(&member).digest.empty());
}

}  // namespace
}  // namespace keel::server
