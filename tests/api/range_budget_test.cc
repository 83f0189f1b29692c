// Large reads through gRPC: how much memory their replies take, who waits, and what is refused.

#include <grpcpp/impl/client_unary_call.h>

#include "absl/time/clock.h"
#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using grpc::StatusCode;
using testing::HasSubstr;

constexpr char kOverload[] = "etcdserver: too many requests";
constexpr size_t kMiB = 1u << 20;

MemberOptions Budget(size_t total, size_t request, absl::Duration timeout = absl::Seconds(20)) {
  MemberOptions options;
  options.replies = {.total_bytes = total, .request_bytes = request};
  options.election_timeout = absl::Milliseconds(100);  // Waits are looked at four times in one.
  options.limits.request_timeout = timeout;
  return options;
}

void Fill(TestMember* member, int keys, size_t value_bytes) {
  for (int i = 0; i < keys; ++i) MustPut(member, absl::StrCat("k", 1000 + i), std::string(value_bytes, 'x'));
}

// A stream that its client reads piece by piece, as slowly as it likes.
class SlowReader {
 public:
  SlowReader(TestMember* member, const etcdserverpb::RangeRequest& request)
      : stream_(member->kv().RangeStream(&context_, request)) {}
  ~SlowReader() {
    if (open_) Cancel();
  }

  int ReadOne() {
    etcdserverpb::RangeStreamResponse piece;
    return stream_->Read(&piece) ? piece.range_response().kvs_size() : -1;
  }
  grpc::Status ReadRest(int* pairs) {
    for (int read = ReadOne(); read >= 0; read = ReadOne()) *pairs += read;
    open_ = false;
    return stream_->Finish();
  }
  void Cancel() {
    open_ = false;
    context_.TryCancel();
    etcdserverpb::RangeStreamResponse rest;
    while (stream_->Read(&rest)) {
    }
    EXPECT_EQ(stream_->Finish().error_code(), StatusCode::CANCELLED);
  }

 private:
  Context context_;
  std::unique_ptr<grpc::ClientReader<etcdserverpb::RangeStreamResponse>> stream_;
  bool open_ = true;
};

// Many times what the buffers between server and client can hold.
constexpr int kManyKeys = 600;
constexpr size_t kLargeValue = 100000;

TEST(RangeBudgetTest, AStreamIsHeldBackByItsReader) {
  TestMember member(Budget(64 * kMiB, 64 * kMiB));
  Fill(&member, kManyKeys, kLargeValue);
  int pairs = 0;
  {
    SlowReader reader(&member, RangeOf("k", "l"));
    pairs += reader.ReadOne();
    EXPECT_GT(pairs, 0);
    EXPECT_THAT(reader.ReadRest(&pairs), Succeeds());
  }
  EXPECT_EQ(pairs, kManyKeys);
  EXPECT_TRUE(Await([&] { return member.services().reply_stats().in_use_bytes == 0; }));
  const ReplyBudget::Stats stats = member.services().reply_stats();
  // The piece that is made and those that gRPC has not got rid of.
  EXPECT_LT(stats.in_use_bytes_max, 8 * kMiB);
  EXPECT_EQ(stats.waits, 0u);
}

TEST(RangeBudgetTest, CancellationGivesTheMemoryBack) {
  TestMember member(Budget(64 * kMiB, 64 * kMiB));
  Fill(&member, kManyKeys, kLargeValue);
  for (int i = 0; i < 10; ++i) {
    SlowReader reader(&member, RangeOf("k", "l"));
    EXPECT_GT(reader.ReadOne(), 0);
    reader.Cancel();
  }
  EXPECT_TRUE(Await([&] { return member.services().reply_stats().in_use_bytes == 0; }));
}

TEST(RangeBudgetTest, StreamsShareLittleMemoryAndAllGetThrough) {
  TestMember member(Budget(4 * kMiB, 4 * kMiB));
  Fill(&member, 100, kLargeValue);
  constexpr int kStreams = 6;
  std::vector<std::thread> threads;
  std::atomic<int> whole = 0;
  for (int i = 0; i < kStreams; ++i) {
    threads.emplace_back([&] {
      SlowReader reader(&member, RangeOf("k", "l"));
      int pairs = 0;
      const grpc::Status status = reader.ReadRest(&pairs);
      EXPECT_THAT(status, Succeeds());
      if (pairs == 100) ++whole;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(whole, kStreams);
  EXPECT_LE(member.services().reply_stats().in_use_bytes_max, 4 * kMiB + kMiB);
}

TEST(RangeBudgetTest, ARangeThatIsTooLargeSaysWhatToDo) {
  TestMember member(Budget(4 * kMiB, 2 * kMiB));
  Fill(&member, 50, kLargeValue);
  etcdserverpb::RangeResponse response;
  const grpc::Status status = Range(&member, RangeOf("k", "l"), &response);
  EXPECT_EQ(status.error_code(), StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(status.error_message(), HasSubstr("larger than 2097152 bytes"));
  EXPECT_THAT(status.error_message(), HasSubstr("RangeStream"));
  EXPECT_THAT(status.error_message(), HasSubstr("pages"));
  EXPECT_EQ(member.services().reply_stats().too_large, 1u);

  // What it names does work.
  int pairs = 0;
  SlowReader reader(&member, RangeOf("k", "l"));
  EXPECT_THAT(reader.ReadRest(&pairs), Succeeds());
  EXPECT_EQ(pairs, 50);
  etcdserverpb::RangeRequest page = RangeOf("k", "l");
  page.set_limit(15);
  EXPECT_THAT(Range(&member, page, &response), Succeeds());
  EXPECT_EQ(response.kvs_size(), 15);
  EXPECT_TRUE(Await([&] { return member.services().reply_stats().in_use_bytes == 0; }));
}

TEST(RangeBudgetTest, ASortThatHoldsTooMuchIsRefusedAndALimitedOneIsNot) {
  TestMember member(Budget(4 * kMiB, 2 * kMiB));
  Fill(&member, 200, 50000);
  etcdserverpb::RangeRequest request = RangeOf("k", "l");
  request.set_sort_target(etcdserverpb::RangeRequest::VALUE);
  request.set_sort_order(etcdserverpb::RangeRequest::DESCEND);
  request.set_keys_only(true);
  etcdserverpb::RangeResponse response;
  EXPECT_EQ(Range(&member, request, &response).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  request.set_limit(5);
  EXPECT_THAT(Range(&member, request, &response), Succeeds());
  EXPECT_EQ(response.kvs_size(), 5);
}

TEST(RangeBudgetTest, ATxnOfManyRangesIsOneReply) {
  TestMember member(Budget(4 * kMiB, 2 * kMiB));
  Fill(&member, 12, kLargeValue);
  etcdserverpb::TxnRequest txn;
  for (int i = 0; i < 2; ++i) *txn.add_success()->mutable_request_range() = RangeOf("k", "l");
  etcdserverpb::TxnResponse response;
  EXPECT_EQ(Txn(&member, txn, &response).error_code(), StatusCode::RESOURCE_EXHAUSTED);
  txn.mutable_success()->RemoveLast();
  ASSERT_THAT(Txn(&member, txn, &response), Succeeds());
  EXPECT_EQ(response.responses(0).response_range().kvs_size(), 12);
  EXPECT_TRUE(Await([&] { return member.services().reply_stats().in_use_bytes == 0; }));
}

TEST(RangeBudgetTest, AnOverloadedMemberAnswersSmallReadsAndRefusesLargeOnesInTheEnd) {
  TestMember member(Budget(2 * kMiB, 2 * kMiB, absl::Milliseconds(300)));
  Fill(&member, kManyKeys, kLargeValue);
  MustPut(&member, "small", "v");
  // Its reader sleeps: when the buffers between them are full its piece stays, and leaves no room for another large
  // reply.
  SlowReader sleeper(&member, RangeOf("k", "l"));
  etcdserverpb::RangeResponse response;
  etcdserverpb::RangeRequest page = RangeOf("k", "l");
  page.set_limit(15);
  grpc::Status refused;
  EXPECT_TRUE(Await([&] { return !(refused = Range(&member, page, &response)).ok(); }));
  EXPECT_THAT(refused, Fails(StatusCode::RESOURCE_EXHAUSTED, kOverload));
  EXPECT_THAT(Range(&member, RangeOf("small"), &response), Succeeds());
  EXPECT_GE(member.services().reply_stats().overloads, 1u);
  sleeper.Cancel();
  EXPECT_TRUE(Await([&] { return member.services().reply_stats().in_use_bytes == 0; }));
  EXPECT_THAT(Range(&member, page, &response), Succeeds());
  EXPECT_EQ(response.kvs_size(), 15);
}

TEST(RangeBudgetTest, AReadThatWaitedBeginsAgainAndSeesTheWhole) {
  TestMember member(Budget(2 * kMiB, 2 * kMiB));
  Fill(&member, kManyKeys, kLargeValue);
  SlowReader sleeper(&member, RangeOf("k", "l"));
  etcdserverpb::RangeRequest page = RangeOf("k", "l");
  page.set_limit(15);
  etcdserverpb::RangeResponse response;
  std::atomic<int> answered = 0;
  std::atomic<bool> enough = false;
  std::thread waiting([&] {
    while (!enough) {
      EXPECT_THAT(Range(&member, page, &response), Succeeds());
      ++answered;
    }
  });
  // One that waits, and goes on waiting: the sleeper has filled all buffers.
  EXPECT_TRUE(Await([&] {
    const int before = answered;
    if (member.services().reply_stats().waiting == 0) return false;
    absl::SleepFor(absl::Milliseconds(200));
    return answered == before && member.services().reply_stats().waiting > 0;
  }));
  enough = true;
  sleeper.Cancel();
  waiting.join();
  EXPECT_EQ(response.kvs_size(), 15);
  EXPECT_EQ(response.count(), kManyKeys);
  ExpectHeader(response.header(), 1 + kManyKeys);
}

TEST(RangeBudgetTest, LearnersAndUnknownLeadersAreRefusedBeforeAnythingIsRead) {
  MemberOptions options;
  options.learner = true;
  TestMember learner(options);
  for (const bool serializable : {false, true}) {
    etcdserverpb::RangeRequest request = RangeOf("k", "l");
    request.set_serializable(serializable);
    SlowReader reader(&learner, request);
    int pairs = 0;
    EXPECT_THAT(reader.ReadRest(&pairs),
                Fails(StatusCode::FAILED_PRECONDITION, "etcdserver: rpc not supported for learner"));
  }
}

TEST(RangeBudgetTest, ASerializableStreamNeedsNoReadIndex) {
  TestMember member;
  Fill(&member, 30, 10);
  const int reads = member.node().reads();
  etcdserverpb::RangeRequest request = RangeOf("k", "l");
  request.set_serializable(true);
  int pairs = 0;
  EXPECT_THAT(SlowReader(&member, request).ReadRest(&pairs), Succeeds());
  EXPECT_EQ(pairs, 30);
  EXPECT_EQ(member.node().reads(), reads);
  request.set_serializable(false);
  pairs = 0;
  EXPECT_THAT(SlowReader(&member, request).ReadRest(&pairs), Succeeds());
  EXPECT_EQ(member.node().reads(), reads + 1);
}

TEST(RangeBudgetTest, BytesThatAreNoRequestAreRefused) {
  TestMember member;
  const std::string bytes = "\x0a\xff";
  const grpc::Slice slice(bytes);
  const grpc::ByteBuffer request(&slice, 1);
  grpc::ByteBuffer response;
  Context context;
  grpc::internal::RpcMethod range("/etcdserverpb.KV/Range", grpc::internal::RpcMethod::NORMAL_RPC);
  const grpc::Status status = grpc::internal::BlockingUnaryCall<grpc::ByteBuffer, grpc::ByteBuffer>(
      member.channel().get(), range, &context, request, &response);
  EXPECT_EQ(status.error_code(), StatusCode::INTERNAL);
}

}  // namespace
}  // namespace keel::server
