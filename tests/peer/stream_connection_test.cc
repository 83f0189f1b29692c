#include "server/peer/stream_connection.h"

#include <arpa/inet.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "base/grpc_lifetime.h"
#include "proto/raft.grpc.pb.h"
#include "server/peer/grpc_wire.h"
#include "server/peer/peer_service.h"
#include "tests/peer/fakes.h"

namespace keel::server {
namespace {

// What a connection has told. Thread-safe.
class Listener {
 public:
  StreamConnection::Events events() {
    return {.message =
                [this](std::string_view bytes) {
                  raftpb::PeerAck ack;
                  EXPECT_TRUE(ack.ParseFromArray(bytes.data(), static_cast<int>(bytes.size())));
                  absl::MutexLock lock(&mu_);
                  messages_.push_back(ack.reason());
                },
            .written =
                [this](bool ok) {
                  absl::MutexLock lock(&mu_);
                  written_.push_back(ok);
                },
            .ended =
                [this](const absl::Status& status) {
                  absl::MutexLock lock(&mu_);
                  end_ = status;
                }};
  }

  std::vector<std::string> AwaitMessages(size_t count) {
    absl::MutexLock lock(&mu_);
    auto enough = [this, count] { return messages_.size() >= count || end_.has_value(); };
    mu_.AwaitWithTimeout(absl::Condition(&enough), kGenerous);
    return messages_;
  }
  absl::Status AwaitEnd() {
    absl::MutexLock lock(&mu_);
    auto ended = [this] { return end_.has_value(); };
    if (!mu_.AwaitWithTimeout(absl::Condition(&ended), kGenerous)) return absl::DeadlineExceededError("no end");
    return *end_;
  }
  std::vector<bool> written() {
    absl::MutexLock lock(&mu_);
    return written_;
  }

 private:
  absl::Mutex mu_;
  std::vector<std::string> messages_ ABSL_GUARDED_BY(mu_);
  std::vector<bool> written_ ABSL_GUARDED_BY(mu_);
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

// gRPC's own server with the same method: answers every frame with its number of messages, and a hello from member 99
// with a refusal.
class CountingService final : public raftpb::RaftTransport::Service {
  grpc::Status Stream(grpc::ServerContext*,
                      grpc::ServerReaderWriter<raftpb::PeerAck, raftpb::PeerFrame>* stream) override {
    raftpb::PeerFrame frame;
    while (stream->Read(&frame)) {
      raftpb::PeerAck ack;
      ack.set_reason(std::to_string(frame.messages_size()));
      stream->Write(ack);
      if (frame.hello().from() == 99) return {grpc::StatusCode::FAILED_PRECONDITION, "not you, 99 %"};
    }
    return grpc::Status::OK;
  }
};

raftpb::PeerFrame FrameOf(int messages) {
  raftpb::PeerFrame frame;
  for (int i = 0; i < messages; ++i) frame.add_messages()->set_from(1);
  return frame;
}

class StreamConnectionTest : public ::testing::Test {
 protected:
  StreamConnectionTest() { KeepGrpc(); }

  std::unique_ptr<grpc::Server> StartGrpcServer(const Url& url) {
    grpc::ServerBuilder builder;
    builder.AddListeningPort(url.Target(), grpc::InsecureServerCredentials());
    builder.RegisterService(&service_);
    return builder.BuildAndStart();
  }

  CountingService service_;
  PeerIo io_;
};

TEST_F(StreamConnectionTest, GrpcsOwnServerUnderstandsIt) {
  const Url url = FreeUrl();
  const auto server = StartGrpcServer(url);
  ASSERT_NE(server, nullptr);
  Listener listener;
  const auto connection =
      StreamConnection::Dial(&io_, url, PeerService::StreamMethod(), FrameOf(3), {}, listener.events());
  EXPECT_EQ(listener.AwaitMessages(1), std::vector<std::string>{"3"});
  EXPECT_EQ(listener.written(), std::vector<bool>{true});
  for (int i = 0; i < 100; ++i) {
    const StreamConnection::Written written = connection->Write(FrameOf(i));
    ASSERT_NE(written, StreamConnection::Written::kFailed);
    ASSERT_EQ(listener.AwaitMessages(static_cast<size_t>(i) + 2).back(), std::to_string(i));
  }
  connection->Close();
  EXPECT_TRUE(absl::IsCancelled(listener.AwaitEnd()));
  EXPECT_EQ(connection->Write(FrameOf(1)), StreamConnection::Written::kFailed);
}

TEST_F(StreamConnectionTest, TheStatusOfGrpcsOwnServerArrives) {
  const Url url = FreeUrl();
  const auto server = StartGrpcServer(url);
  ASSERT_NE(server, nullptr);
  raftpb::PeerFrame hello = FrameOf(0);
  hello.mutable_hello()->set_from(99);
  Listener listener;
  const auto connection = StreamConnection::Dial(&io_, url, PeerService::StreamMethod(), hello, {}, listener.events());
  EXPECT_EQ(listener.AwaitEnd(), absl::FailedPreconditionError("not you, 99 %"));
  EXPECT_EQ(listener.AwaitMessages(1), std::vector<std::string>{"0"});
}

TEST_F(StreamConnectionTest, NobodyThereIsSaidAtOnce) {
  Listener listener;
  const auto connection =
      StreamConnection::Dial(&io_, FreeUrl(), PeerService::StreamMethod(), FrameOf(0), {}, listener.events());
  const absl::Status end = listener.AwaitEnd();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  EXPECT_EQ(listener.written(), std::vector<bool>{false});
}

TEST_F(StreamConnectionTest, WhoAcceptsAndSaysNothingIsGivenUp) {
  const Url url = FreeUrl();
  const int socket_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(url.port);
  ASSERT_EQ(bind(socket_fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(socket_fd, 1), 0);
  Listener listener;
  const auto connection = StreamConnection::Dial(&io_, url, PeerService::StreamMethod(), FrameOf(0),
                                                 {.answer_timeout = absl::Milliseconds(50)}, listener.events());
  const absl::Status end = listener.AwaitEnd();
  EXPECT_TRUE(absl::IsUnavailable(end)) << end;
  close(socket_fd);
}

TEST_F(StreamConnectionTest, WhoDoesNotAnswerAPingIsGivenUp) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  Listener listener;
  // Nobody reads at the other end, so no answer comes.
  const auto connection = StreamConnection::Serve(
      &io_, fds[0], AF_UNIX, "", PeerService::StreamMethod(),
      {.ping_interval = absl::Milliseconds(20), .ping_timeout = absl::Milliseconds(20)}, listener.events());
  EXPECT_EQ(listener.AwaitEnd(), absl::UnavailableError("no answer to a ping"));
  close(fds[1]);
}

TEST_F(StreamConnectionTest, WhoAnswersPingsIsKept) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  Listener listener;
  const auto connection =
      StreamConnection::Serve(&io_, fds[0], AF_UNIX, "", PeerService::StreamMethod(),
                              {.ping_interval = absl::Milliseconds(5), .ping_timeout = kGenerous}, listener.events());
  const auto caller = GrpcWire::ForCaller(
      {.method = PeerService::StreamMethod(), .authority = "localhost", .message_bytes_max = 1u << 20});
  caller->Send(FrameOf(0));
  std::string buffer(1 << 16, '\0');
  // It goes on asking for as long as it is answered.
  for (int i = 0; i < 7; ++i) {
    std::string out;
    ASSERT_TRUE(caller->TakeOutput(&out).ok());
    ASSERT_EQ(write(fds[1], out.data(), out.size()), static_cast<ssize_t>(out.size()));
    const ssize_t size = read(fds[1], buffer.data(), buffer.size());
    ASSERT_GT(size, 0);
    ASSERT_TRUE(caller->Receive(std::string_view(buffer).substr(0, static_cast<size_t>(size))).ok());
  }
  EXPECT_NE(connection->Write(FrameOf(0)), StreamConnection::Written::kFailed);
  close(fds[1]);
  EXPECT_TRUE(absl::IsUnavailable(listener.AwaitEnd()));
}

// The other side takes nothing for a while: writes wait, and go on when it does.
TEST_F(StreamConnectionTest, AWriteThatDoesNotFitIsDoneLater) {
  int fds[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  Listener listener;
  const auto connection =
      StreamConnection::Serve(&io_, fds[0], AF_UNIX, "", PeerService::StreamMethod(), {}, listener.events());
  const auto caller = GrpcWire::ForCaller(
      {.method = PeerService::StreamMethod(), .authority = "localhost", .message_bytes_max = 64u << 20});
  caller->Send(FrameOf(0));
  std::string out;
  ASSERT_TRUE(caller->TakeOutput(&out).ok());
  ASSERT_EQ(write(fds[1], out.data(), out.size()), static_cast<ssize_t>(out.size()));
  ASSERT_EQ(listener.AwaitMessages(1).size(), 1u);

  raftpb::PeerAck large;
  large.set_reason(std::string(8u << 20, 'a'));
  ASSERT_EQ(connection->Write(large), StreamConnection::Written::kLater);
  EXPECT_TRUE(listener.written().empty());
  std::string buffer(1 << 16, '\0');
  std::optional<std::string_view> message;
  while (!message.has_value()) {
    const ssize_t size = read(fds[1], buffer.data(), buffer.size());
    ASSERT_GT(size, 0);
    ASSERT_TRUE(caller->Receive(std::string_view(buffer).substr(0, static_cast<size_t>(size))).ok());
    out.clear();
    ASSERT_TRUE(caller->TakeOutput(&out).ok());
    ASSERT_EQ(write(fds[1], out.data(), out.size()), static_cast<ssize_t>(out.size()));
    ASSERT_TRUE(caller->NextMessage(&message).ok());
  }
  EXPECT_EQ(message->size(), large.ByteSizeLong());
  close(fds[1]);
  EXPECT_TRUE(absl::IsUnavailable(listener.AwaitEnd()));
  EXPECT_EQ(listener.written(), std::vector<bool>{true});
}

}  // namespace
}  // namespace keel::server
