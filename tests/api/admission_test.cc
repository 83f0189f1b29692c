#include "server/api/admission.h"

#include <grpcpp/impl/client_unary_call.h>

#include "tests/api/member_fixture.h"

namespace keel::server {
namespace {

using grpc::StatusCode;

TEST(AdmissionTest, ClientApiVersionMustBeUtf8) {
  TestMember member;
  Admission admission(&member.member(), absl::Seconds(1));
  const struct {
    const char* name;
    std::string version;
    bool ok;
  } kCases[] = {
      {"none", "", true},
      {"plain", "3.6", true},
      {"two bytes", "\xC3\xA9", true},
      {"three bytes", "\xE2\x82\xAC", true},
      {"four bytes", "\xF0\x9F\x98\x80", true},
      {"last code point", "\xF4\x8F\xBF\xBF", true},
      {"beyond the last", "\xF4\x90\x80\x80", false},
      {"stray continuation", "\x80", false},
      {"cut off", "a\xE2\x82", false},
      {"wrong continuation", "\xC3\x28", false},
      {"overlong", "\xC0\xAF", false},
      {"overlong of three", "\xE0\x80\xAF", false},
      {"overlong of four", "\xF0\x80\x80\xAF", false},
      {"surrogate", "\xED\xA0\x80", false},
      {"never a byte", "\xFF", false},
  };
  for (const auto& c : kCases) {
    SCOPED_TRACE(c.name);
    Call call;
    call.client_api_version = c.version;
    EXPECT_EQ(admission.Admit(call),
              c.ok ? absl::OkStatus() : absl::InvalidArgumentError("etcdserver: invalid client api version"));
  }
}

// Between a leader's death and the next election lie milliseconds, and clients give up a watch that is refused in them.
TEST(AdmissionTest, CallersThatRequireALeaderPassWhileItsLossIsYoung) {
  TestMember member({.election_timeout = absl::Hours(1)});
  member.node().SetLeader(raft::kNobody, raft::Term{1});
  etcdserverpb::RangeRequest request = RangeOf("a");
  request.set_serializable(true);
  etcdserverpb::RangeResponse response;
  Context requiring(/*require_leader=*/true);
  EXPECT_THAT(member.kv().Range(&requiring, request, &response), Succeeds());
  Context opening(/*require_leader=*/true);
  auto stream = member.watch().Watch(&opening);
  etcdserverpb::WatchRequest create;
  create.mutable_create_request()->set_key("a");
  ASSERT_TRUE(stream->Write(create));
  etcdserverpb::WatchResponse event;
  ASSERT_TRUE(stream->Read(&event));
  EXPECT_TRUE(event.created());
}

TEST(AdmissionTest, CallersThatRequireALeaderAreToldThereIsNone) {
  TestMember member({.election_timeout = absl::Milliseconds(40)});
  member.node().SetLeader(raft::kNobody, raft::Term{1});
  etcdserverpb::RangeRequest request = RangeOf("a");
  request.set_serializable(true);
  etcdserverpb::RangeResponse response;
  Context plain;
  EXPECT_TRUE(Await([&] {
    Context requiring(/*require_leader=*/true);
    return !member.kv().Range(&requiring, request, &response).ok();
  }));
  EXPECT_THAT(member.kv().Range(&plain, request, &response), Succeeds());
  Context requiring(/*require_leader=*/true);
  EXPECT_THAT(member.kv().Range(&requiring, request, &response),
              Fails(StatusCode::UNAVAILABLE, "etcdserver: no leader"));
  Context opening(/*require_leader=*/true);
  auto stream = member.watch().Watch(&opening);
  etcdserverpb::WatchResponse event;
  EXPECT_FALSE(stream->Read(&event));
  EXPECT_THAT(stream->Finish(), Fails(StatusCode::UNAVAILABLE, "etcdserver: no leader"));
}

TEST(AdmissionTest, LearnersAnswerOnlyWhatTheyMay) {
  TestMember member({.learner = true});
  constexpr char kText[] = "etcdserver: rpc not supported for learner";
  etcdserverpb::RangeRequest request = RangeOf("a");
  etcdserverpb::RangeResponse range;
  EXPECT_THAT(Range(&member, request, &range), Fails(StatusCode::FAILED_PRECONDITION, kText));
  request.set_serializable(true);
  EXPECT_THAT(Range(&member, request, &range), Succeeds());
  Context status_context;
  etcdserverpb::StatusResponse status;
  EXPECT_THAT(member.maintenance().Status(&status_context, {}, &status), Succeeds());
  etcdserverpb::PutResponse put;
  EXPECT_THAT(Put(&member, PutOf("a", "v"), &put), Fails(StatusCode::FAILED_PRECONDITION, kText));
  Context list_context;
  etcdserverpb::MemberListResponse list;
  EXPECT_THAT(member.cluster().MemberList(&list_context, {}, &list), Fails(StatusCode::FAILED_PRECONDITION, kText));
  Context lock_context;
  v3lockpb::LockResponse lock;
  EXPECT_THAT(member.lock().Lock(&lock_context, {}, &lock), Fails(StatusCode::FAILED_PRECONDITION, kText));
  Context keep_alive_context;
  auto stream = member.lease().LeaseKeepAlive(&keep_alive_context);
  etcdserverpb::LeaseKeepAliveResponse response;
  EXPECT_FALSE(stream->Read(&response));
  EXPECT_THAT(stream->Finish(), Fails(StatusCode::FAILED_PRECONDITION, kText));
}

TEST(AdmissionTest, AfterStopNobodyIsAdmitted) {
  TestMember member;
  member.services().Stop();
  etcdserverpb::PutResponse put;
  EXPECT_THAT(Put(&member, PutOf("a", "v"), &put), Fails(StatusCode::UNAVAILABLE, "etcdserver: server stopped"));
}

// One call of grpc.health.v1.Health/Check for the service "", in wire format: the message is empty, and the answer is
// field 1, the serving status.
TEST(HealthTest, TheStandardServiceSaysServing) {
  TestMember member;
  Context context;
  const grpc::Slice empty;
  grpc::ByteBuffer request(&empty, 1);
  grpc::ByteBuffer response;
  const grpc::internal::RpcMethod method("/grpc.health.v1.Health/Check", grpc::internal::RpcMethod::NORMAL_RPC);
  const grpc::Status status =
      grpc::internal::BlockingUnaryCall(member.channel().get(), method, &context, request, &response);
  ASSERT_THAT(status, Succeeds());
  std::vector<grpc::Slice> slices;
  ASSERT_TRUE(response.Dump(&slices).ok());
  std::string bytes;
  for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  EXPECT_EQ(bytes, "\x08\x01");
}

}  // namespace
}  // namespace keel::server
