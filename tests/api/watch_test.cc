#include <grpcpp/generic/generic_stub.h>

#include <thread>

#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;
using grpc::StatusCode;

// A client's watch stream, one message at a time.
class Watching {
 public:
  explicit Watching(TestMember* member, bool require_leader = false)
      : context_(require_leader), stream_(member->watch().Watch(&context_)) {}
  ~Watching() {
    context_.TryCancel();
    WatchResponse rest;
    while (stream_->Read(&rest)) {
    }
    if (!finished_) stream_->Finish();
  }

  void Create(const std::string& key, const std::string& range_end = "", int64_t start_revision = 0,
              int64_t watch_id = 0) {
    WatchRequest request;
    auto* create = request.mutable_create_request();
    create->set_key(key);
    create->set_range_end(range_end);
    create->set_start_revision(start_revision);
    create->set_watch_id(watch_id);
    EXPECT_TRUE(stream_->Write(request));
  }
  void CancelWatch(int64_t watch_id) {
    WatchRequest request;
    request.mutable_cancel_request()->set_watch_id(watch_id);
    EXPECT_TRUE(stream_->Write(request));
  }
  void RequestProgress() {
    WatchRequest request;
    request.mutable_progress_request();
    EXPECT_TRUE(stream_->Write(request));
  }
  void Nothing() { EXPECT_TRUE(stream_->Write(WatchRequest())); }
  void HalfClose() { EXPECT_TRUE(stream_->WritesDone()); }

  WatchResponse Next() {
    WatchResponse response;
    EXPECT_TRUE(stream_->Read(&response)) << "the stream has ended";
    return response;
  }
  grpc::Status End() {
    WatchResponse response;
    EXPECT_FALSE(stream_->Read(&response)) << response.ShortDebugString();
    finished_ = true;
    return stream_->Finish();
  }

 private:
  Context context_;
  std::unique_ptr<grpc::ClientReaderWriter<WatchRequest, WatchResponse>> stream_;
  bool finished_ = false;
};

TEST(WatchTest, LifeOfAWatcher) {
  TestMember member;
  Watching watch(&member);
  watch.Nothing();
  watch.Create("a");
  WatchResponse response = watch.Next();
  EXPECT_TRUE(response.created());
  EXPECT_EQ(response.watch_id(), 0);
  ExpectHeader(response.header(), 1);

  MustPut(&member, "a", "1");
  response = watch.Next();
  ExpectHeader(response.header(), 2);
  ASSERT_EQ(response.events_size(), 1);
  EXPECT_EQ(response.events(0).kv().value(), "1");

  watch.RequestProgress();
  response = watch.Next();
  EXPECT_EQ(response.watch_id(), -1);
  EXPECT_EQ(response.events_size(), 0);
  ExpectHeader(response.header(), 2);

  watch.CancelWatch(0);
  response = watch.Next();
  EXPECT_TRUE(response.canceled());
  EXPECT_EQ(response.cancel_reason(), "");
  ExpectHeader(response.header(), 2);

  // Nothing comes of the cancelled one; a fresh one takes the next id.
  MustPut(&member, "a", "2");
  watch.Create("a");
  response = watch.Next();
  EXPECT_TRUE(response.created());
  EXPECT_EQ(response.watch_id(), 1);
  ExpectHeader(response.header(), 3);
}

TEST(WatchTest, HistoryIsReplayedAndHalfCloseDoesNotEndTheStream) {
  TestMember member;
  MustPut(&member, "a", "1");
  MustPut(&member, "a", "2");
  Watching watch(&member);
  watch.Create("a", "", /*start_revision=*/2);
  watch.HalfClose();
  EXPECT_TRUE(watch.Next().created());
  int64_t last = 0;
  while (last < 3) {
    const WatchResponse response = watch.Next();
    for (const auto& event : response.events()) {
      EXPECT_GT(event.kv().mod_revision(), last);
      last = event.kv().mod_revision();
    }
  }
  MustPut(&member, "a", "3");
  EXPECT_EQ(watch.Next().events(0).kv().mod_revision(), 4);
}

TEST(WatchTest, RefusalsKeepTheStreamAndItsHeaderIds) {
  TestMember member;
  Watching watch(&member);
  watch.Create("b", "a");
  WatchResponse response = watch.Next();
  EXPECT_TRUE(response.created());
  EXPECT_TRUE(response.canceled());
  EXPECT_EQ(response.watch_id(), -1);
  EXPECT_EQ(response.cancel_reason(), "mvcc: watcher range is empty");
  ExpectHeader(response.header(), 1);
  watch.Create("a");
  EXPECT_EQ(watch.Next().watch_id(), 0);
}

TEST(WatchTest, CompactedStartIsCancelledWithRevisionZero) {
  TestMember member;
  for (int i = 0; i < 4; ++i) MustPut(&member, "a", "v");
  etcdserverpb::CompactionResponse compaction;
  ASSERT_THAT(Compact(&member, 4, &compaction), Succeeds());
  Watching watch(&member);
  watch.Create("a", "", /*start_revision=*/2);
  EXPECT_TRUE(watch.Next().created());
  const WatchResponse response = watch.Next();
  EXPECT_TRUE(response.canceled());
  EXPECT_EQ(response.compact_revision(), 4);
  ExpectHeader(response.header(), 0);
}

TEST(WatchTest, EventsOfManyStreamsArriveWholeAndInOrder) {
  TestMember member;
  constexpr int kStreams = 10;
  constexpr int kPuts = 100;
  std::vector<std::unique_ptr<Watching>> watches;
  for (int i = 0; i < kStreams; ++i) {
    watches.push_back(std::make_unique<Watching>(&member));
    watches.back()->Create("k", "l");
    EXPECT_TRUE(watches.back()->Next().created());
  }
  std::thread writer([&member] {
    for (int i = 0; i < kPuts; ++i) MustPut(&member, absl::StrCat("k", i % 7), "v");
  });
  for (auto& watch : watches) {
    int64_t expected = 2;
    while (expected < 2 + kPuts) {
      const WatchResponse response = watch->Next();
      for (const auto& event : response.events()) EXPECT_EQ(event.kv().mod_revision(), expected++);
    }
  }
  writer.join();
}

// The answers share packets; the first of them takes the headers along, which gRPC does not let wait for another message.
TEST(WatchTest, ManyWatchersCreatedAtOnceAreAllConfirmed) {
  constexpr int kStreams = 10;
  constexpr int kWatchers = 50;
  TestMember member;
  for (int i = 0; i < kStreams; ++i) {
    Watching watch(&member);
    for (int w = 0; w < kWatchers; ++w) watch.Create("a");
    for (int w = 0; w < kWatchers; ++w) {
      const WatchResponse created = watch.Next();
      EXPECT_TRUE(created.created());
      EXPECT_EQ(created.watch_id(), w);
    }
    MustPut(&member, "a", "1");
    for (int w = 0; w < kWatchers; ++w) EXPECT_EQ(watch.Next().watch_id(), w);
  }
}

TEST(WatchTest, ALargeMessageIsSentWhole) {
  TestMember member;
  for (int i = 0; i < 10; ++i) MustPut(&member, "a", std::string(1 << 20, 'x'));
  Watching watch(&member);
  watch.Create("a", "", /*start_revision=*/2);
  EXPECT_TRUE(watch.Next().created());
  int events = 0;
  while (events < 10) {
    const WatchResponse response = watch.Next();
    EXPECT_FALSE(response.fragment());
    for (const auto& event : response.events()) {
      EXPECT_EQ(event.kv().value().size(), 1u << 20);
      ++events;
    }
  }
}

TEST(WatchTest, AMessageThatIsNoRequestEndsItsStreamOnly) {
  TestMember member;
  Watching other(&member);
  other.Create("a");
  EXPECT_TRUE(other.Next().created());

  Context context;
  grpc::GenericStub stub(member.channel());
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, "/etcdserverpb.Watch/Watch", &queue);
  const auto next = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  EXPECT_TRUE(next());
  const grpc::Slice bytes("\x0a\x7f: shorter than it says");
  call->Write(grpc::ByteBuffer(&bytes, 1), nullptr);
  EXPECT_TRUE(next());
  grpc::Status status;
  call->Finish(&status, nullptr);
  EXPECT_TRUE(next());
  EXPECT_THAT(status, Fails(StatusCode::INTERNAL, "a message of the client is not a WatchRequest"));

  MustPut(&member, "a", "1");
  EXPECT_EQ(other.Next().events_size(), 1);
}

TEST(WatchTest, StreamsThatRequireALeaderEndWhenThereHasBeenNone) {
  TestMember member({.election_timeout = absl::Milliseconds(40)});
  Watching requiring(&member, /*require_leader=*/true);
  Watching plain(&member);
  requiring.Create("a");
  plain.Create("a");
  EXPECT_TRUE(requiring.Next().created());
  EXPECT_TRUE(plain.Next().created());
  member.node().SetLeader(raft::kNobody, raft::Term{1});
  EXPECT_THAT(requiring.End(), Fails(StatusCode::UNAVAILABLE, "etcdserver: no leader"));
  member.node().SetLeader(raft::MemberId{kMemberId}, raft::Term{1});
  MustPut(&member, "a", "1");
  EXPECT_EQ(plain.Next().events_size(), 1);
}

TEST(WatchTest, StopEndsOpenStreams) {
  TestMember member;
  Watching watch(&member);
  watch.Create("a");
  EXPECT_TRUE(watch.Next().created());
  Context context;
  auto keep_alive = member.lease().LeaseKeepAlive(&context);
  ASSERT_TRUE(keep_alive->Write({}));
  etcdserverpb::LeaseKeepAliveResponse response;
  ASSERT_TRUE(keep_alive->Read(&response));
  member.services().Stop();
  constexpr char kStopped[] = "etcdserver: server stopped";
  EXPECT_THAT(watch.End(), Fails(StatusCode::UNAVAILABLE, kStopped));
  EXPECT_FALSE(keep_alive->Read(&response));
  EXPECT_THAT(keep_alive->Finish(), Fails(StatusCode::UNAVAILABLE, kStopped));
}

TEST(WatchTest, StopDoesNotWaitForAClientThatReadsNothing) {
  TestMember member;
  for (int i = 0; i < 32; ++i) MustPut(&member, absl::StrCat("k", i), std::string(1 << 20, 'x'));
  Watching watch(&member);
  watch.Create("k", "l", /*start_revision=*/2);
  EXPECT_TRUE(watch.Next().created());
  EXPECT_GE(watch.Next().events_size(), 1);  // The rest fills the connection's window.
  const absl::Time start = absl::Now();
  member.services().Stop();
  EXPECT_LT(absl::Now() - start, absl::Seconds(5));
}

TEST(WatchTest, LeavingClientsAreCounted) {
  TestMember member;
  { Watching watch(&member); }
  EXPECT_TRUE(Await([&member] { return member.metrics().handled("etcdserverpb.Watch/Watch").size() == 1; }));
  EXPECT_EQ(member.metrics().handled("etcdserverpb.Watch/Watch")[0], absl::StatusCode::kCancelled);
  EXPECT_TRUE(Await([&member] { return member.member().watch->stats().streams == 0; }));
}

}  // namespace
}  // namespace keel::server
