#include "server/http/client_listener.h"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/random.h"

namespace keel::server {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// Answers with what it was asked; "/later" is answered from another thread.
class EchoHandler : public HttpHandler {
 public:
  ~EchoHandler() override {
    for (std::thread& thread : threads_) thread.join();
  }

  void Handle(HttpRequest request, absl::AnyInvocable<void(HttpResponse)> done) override {
    HttpResponse response{
        .headers = {{"Content-Type", "text/plain"}},
        .body = absl::StrCat(request.method, " ", request.path, " ", request.query, " ", request.body.size())};
    if (request.path != "/later") return done(std::move(response));
    threads_.emplace_back(
        [done = std::move(done), response = std::move(response)]() mutable { done(std::move(response)); });
  }

 private:
  std::vector<std::thread> threads_;
};

// Refuses every call by its name, which shows that it arrived.
class Refuser : public grpc::CallbackGenericService {
 public:
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* context) override {
    class Reactor : public grpc::ServerGenericBidiReactor {
     public:
      explicit Reactor(const std::string& method) { Finish(grpc::Status(grpc::StatusCode::ABORTED, method)); }
      void OnDone() override { delete this; }
    };
    return new Reactor(context->method());
  }
};

// A blocking client socket that never waits for ever.
class Client {
 public:
  explicit Client(const Url& url) {
    fd_ = socket(url.is_unix() ? AF_UNIX : AF_INET, SOCK_STREAM, 0);
    timeval timeout{.tv_sec = 30, .tv_usec = 0};
    setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    if (url.is_unix()) {
      sockaddr_un address{};
      address.sun_family = AF_UNIX;
      url.path.copy(address.sun_path, sizeof address.sun_path - 1);
      connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    } else {
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_port = htons(url.port);
      inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
      connected_ = connect(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    }
  }
  ~Client() { close(fd_); }

  bool connected() const { return connected_; }
  void Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return;
      bytes.remove_prefix(static_cast<size_t>(n));
    }
  }
  // Reads until `end` has been seen, or the other side closes.
  std::string ReadUntil(std::string_view end) {
    std::string all;
    char chunk[4096];
    while (end.empty() || all.find(end) == std::string::npos) {
      const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
      if (n <= 0) break;
      all.append(chunk, static_cast<size_t>(n));
    }
    return all;
  }
  // True when the other side closes the connection, whatever it sends before.
  bool ReadToEnd() {
    char chunk[4096];
    while (true) {
      const ssize_t n = recv(fd_, chunk, sizeof chunk, 0);
      if (n == 0) return true;
      if (n < 0) return errno == ECONNRESET;
    }
  }

 private:
  int fd_;
  bool connected_ = false;
};

class ClientListenerTest : public ::testing::Test {
 protected:
  void Bind(ClientListener::Options options) {
    if (options.listen.empty()) options.listen = {Url{.host = "127.0.0.1"}};
    auto listener = ClientListener::Bind(options);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  void Start(ClientListener::Options options = {}) {
    Bind(std::move(options));
    listener_->Start(&handler_);
  }
  void StartWithGrpc() {
    Bind({});
    grpc::ServerBuilder builder;
    builder.RegisterCallbackGenericService(&refuser_);
    listener_->AttachGrpc(&builder);
    grpc_ = builder.BuildAndStart();
    ASSERT_NE(grpc_, nullptr);
    listener_->Start(&handler_);
  }
  void TearDown() override {
    if (listener_ != nullptr) listener_->Stop();
    if (grpc_ != nullptr) grpc_->Shutdown(std::chrono::system_clock::now());
  }
  Url address() const { return listener_->addresses().front(); }

  EchoHandler handler_;
  Refuser refuser_;
  std::unique_ptr<grpc::Server> grpc_;
  std::unique_ptr<ClientListener> listener_;
};

grpc::Status Call(const Url& url, const std::string& method) {
  auto channel = grpc::CreateChannel(url.Target(), grpc::InsecureChannelCredentials());
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  grpc::CompletionQueue queue;
  grpc::ByteBuffer request;
  auto call = stub.PrepareUnaryCall(&context, method, request, &queue);
  call->StartCall();
  grpc::ByteBuffer response;
  grpc::Status status;
  call->Finish(&response, &status, nullptr);
  void* tag;
  bool ok;
  queue.Next(&tag, &ok);
  return status;
}

TEST_F(ClientListenerTest, ServesHttpAndKeepsTheConnectionForTheNextRequest) {
  Start();
  Client client(address());
  for (int i = 0; i < 3; ++i) {
    client.Send("GET /x?y=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    const std::string answer = client.ReadUntil("GET /x y=1 0");
    EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_THAT(answer, HasSubstr("Content-Length: 12\r\n"));
  }
}

TEST_F(ClientListenerTest, AnswersCarryTheTime) {
  Start();
  Client client(address());
  const absl::Time before = absl::Now() - absl::Seconds(1);  // The header has whole seconds.
  client.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string answer = client.ReadUntil("GET /x");
  const size_t at = answer.find("\r\nDate: ");
  ASSERT_NE(at, std::string::npos) << answer;
  absl::Time date;
  std::string error;
  ASSERT_TRUE(absl::ParseTime("%a, %d %b %Y %H:%M:%S GMT", answer.substr(at + 8, 29), &date, &error)) << error;
  EXPECT_GE(date, before);
  EXPECT_LE(date, absl::Now());
}

TEST_F(ClientListenerTest, AnswersPipelinedRequestsInOrder) {
  Start();
  Client client(address());
  client.Send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
  const std::string answers = client.ReadUntil("POST /2  3");
  EXPECT_LT(answers.find("GET /1"), answers.find("POST /2"));
}

TEST_F(ClientListenerTest, ClosesAfterTheAnswerWhenTheClientAsksForIt) {
  Start();
  Client client(address());
  client.Send("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.ReadUntil(""), EndsWith("GET /x  0"));
}

TEST_F(ClientListenerTest, AnswersFromAnotherThread) {
  Start();
  Client client(address());
  client.Send("GET /later HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("GET /later"), HasSubstr("200 OK"));
}

TEST_F(ClientListenerTest, HeadGetsTheHeadersOnly) {
  Start();
  Client client(address());
  client.Send("HEAD /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  const std::string answer = client.ReadUntil("");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 10\r\n"));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n"));
}

TEST_F(ClientListenerTest, AFirstByteAtATimeIsStillUnderstood) {
  Start();
  Client client(address());
  // "P" could still become the HTTP/2 preface; "PO" cannot.
  for (const char c : std::string("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nz")) client.Send({&c, 1});
  EXPECT_THAT(client.ReadUntil("POST /x  1"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(ClientListenerTest, RandomBytesCloseOnlyTheirOwnConnection) {
  Start();
  Client good(address());
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(seed);
  Random random(seed);
  for (int i = 0; i < 20; ++i) {
    Client bad(address());
    std::string noise(64 << 10, '\0');
    for (char& c : noise) c = static_cast<char>(random.Next());
    bad.Send(noise);
    EXPECT_TRUE(bad.ReadToEnd());
  }
  good.Send("GET /still HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(good.ReadUntil("GET /still"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(ClientListenerTest, RefusesHeadersAndBodiesBeyondTheirLimits) {
  Start({.http_body_bytes_max = 100, .http_header_bytes_max = 1000});
  Client long_header(address());
  long_header.Send(absl::StrCat("GET /x HTTP/1.1\r\nHost: a\r\nX-Y: ", std::string(2000, 'z'), "\r\n\r\n"));
  EXPECT_THAT(long_header.ReadUntil(""), StartsWith("HTTP/1.1 431 "));
  Client long_body(address());
  long_body.Send("POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 101\r\n\r\n");
  EXPECT_THAT(long_body.ReadUntil(""), StartsWith("HTTP/1.1 413 "));
}

TEST_F(ClientListenerTest, ClosesSilentAndHalfSpokenConnections) {
  Start({.first_bytes_timeout = absl::Milliseconds(50), .http_request_timeout = absl::Milliseconds(50)});
  Client silent(address());
  EXPECT_TRUE(silent.ReadToEnd());
  Client slow(address());
  slow.Send("GET /x HTT");
  EXPECT_TRUE(slow.ReadToEnd());
}

TEST_F(ClientListenerTest, ClosesIdleConnections) {
  Start({.http_idle_timeout = absl::Milliseconds(50)});
  Client client(address());
  client.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("GET /x"), HasSubstr("200 OK"));
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(ClientListenerTest, ConnectionsBeyondTheLimitAreClosed) {
  Start({.connections_max = 1});
  Client first(address());
  first.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(first.ReadUntil("GET /x"), HasSubstr("200 OK"));
  Client second(address());
  EXPECT_TRUE(second.ReadToEnd());
  first.Send("GET /y HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(first.ReadUntil("GET /y"), HasSubstr("200 OK"));
}

TEST_F(ClientListenerTest, GrpcAndHttpShareThePort) {
  StartWithGrpc();
  const grpc::Status status = Call(address(), "/some.Service/Method");
  EXPECT_EQ(status.error_code(), grpc::StatusCode::ABORTED) << status.error_message();
  EXPECT_EQ(status.error_message(), "/some.Service/Method");
  Client client(address());
  client.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("GET /x"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(ClientListenerTest, ABrokenHttp2ConnectionLeavesTheOthersAlone) {
  StartWithGrpc();
  Client bad(address());
  bad.Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(64 << 10, '\xff'));
  EXPECT_TRUE(bad.ReadToEnd());
  EXPECT_EQ(Call(address(), "/s/M").error_code(), grpc::StatusCode::ABORTED);
}

TEST_F(ClientListenerTest, ListensOnUnixSockets) {
  const std::string path = absl::StrCat(::testing::TempDir(), "keel-listener-", getpid(), ".sock");
  Start({.listen = {Url{.scheme = Url::Scheme::kUnix, .path = path}}});
  Client client(address());
  client.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.ReadUntil("GET /x"), StartsWith("HTTP/1.1 200 OK"));
  EXPECT_EQ(ClientListener::Bind({.listen = {address()}}).status().message(),
            absl::StrCat("listen unix ", path, ": bind: address already in use"));
  listener_->Stop();
  listener_.reset();
  EXPECT_NE(access(path.c_str(), F_OK), 0);
}

TEST_F(ClientListenerTest, APortInUseIsToldByItsAddress) {
  Bind({});
  const auto second = ClientListener::Bind({.listen = {address()}});
  EXPECT_EQ(second.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(second.status().message(),
            absl::StrCat("listen tcp 127.0.0.1:", address().port, ": bind: address already in use"));
}

TEST_F(ClientListenerTest, StopEndsConnectionsAndFreesThePort) {
  Start();
  Client client(address());
  client.Send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
  client.ReadUntil("GET /x");
  const Url was = address();
  listener_->Stop();
  listener_->Stop();
  EXPECT_TRUE(client.ReadToEnd());
  EXPECT_TRUE(ClientListener::Bind({.listen = {was}}).ok());
}

// Numbered lines, `count` of them; or none and no end, until the client goes.
class Lines : public HttpStream {
 public:
  explicit Lines(int count, size_t bytes = 4) : count_(count), bytes_(bytes) {}
  void Next(absl::AnyInvocable<void(std::optional<std::string>)> piece) override {
    ++asked_;
    if (count_ < 0) {
      waiting_ = std::move(piece);
      return;
    }
    if (next_ == count_) return piece(std::nullopt);
    piece(absl::StrCat(next_++, std::string(bytes_, '.'), "\n"));
  }
  int asked() const { return asked_.load(); }

 private:
  const int count_;
  const size_t bytes_;
  std::atomic<int> next_{0};
  std::atomic<int> asked_{0};
  absl::AnyInvocable<void(std::optional<std::string>)> waiting_;
};

// "/lines" streams; "/wait" never answers, but hears when the client goes.
class StreamHandler : public HttpHandler {
 public:
  explicit StreamHandler(std::shared_ptr<Lines> lines = nullptr) : lines_(std::move(lines)) {}
  void Handle(HttpRequest request, absl::AnyInvocable<void(HttpResponse)> done) override {
    if (request.path == "/lines") {
      return done({.headers = {{"Content-Type", "application/json"}}, .rest = lines_});
    }
    if (request.path == "/now") return done({.body = absl::StrCat("now ", request.body.size())});
    request.caller->OnGone([this] { gone_.Notify(); });
    waiting_.push_back(std::move(done));
    asked_.Notify();
  }
  absl::Notification& asked() { return asked_; }
  absl::Notification& gone() { return gone_; }

 private:
  const std::shared_ptr<Lines> lines_;
  std::vector<absl::AnyInvocable<void(HttpResponse)>> waiting_;  // The I/O thread's.
  absl::Notification asked_;
  absl::Notification gone_;
};

class StreamingTest : public ::testing::Test {
 protected:
  void Start(StreamHandler* handler, ClientListener::Options options = {}) {
    options.listen = {Url{.host = "127.0.0.1"}};
    auto listener = ClientListener::Bind(options);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    listener_->Start(handler);
  }
  void TearDown() override { listener_->Stop(); }
  Url address() const { return listener_->addresses().front(); }

  std::unique_ptr<ClientListener> listener_;
};

TEST_F(StreamingTest, PiecesAreChunksAndTheConnectionGoesOn) {
  StreamHandler handler(std::make_shared<Lines>(2));
  Start(&handler);
  Client client(address());
  client.Send("POST /lines HTTP/1.1\r\nHost: a\r\n\r\nPOST /now HTTP/1.1\r\nHost: a\r\n\r\n");
  const std::string answers = client.ReadUntil("now 0");
  EXPECT_THAT(answers, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(answers, HasSubstr("\r\n\r\n6\r\n0....\n\r\n6\r\n1....\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST_F(StreamingTest, OldClientsGetTheBarePiecesUpToTheEndOfTheConnection) {
  StreamHandler handler(std::make_shared<Lines>(2));
  Start(&handler);
  Client client(address());
  client.Send("POST /lines HTTP/1.0\r\n\r\n");
  const std::string answer = client.ReadUntil("");
  EXPECT_THAT(answer, StartsWith("HTTP/1.0 200 OK\r\n"));
  EXPECT_THAT(answer, testing::Not(HasSubstr("chunked")));
  EXPECT_THAT(answer, EndsWith("\r\n\r\n0....\n1....\n"));
}

TEST_F(StreamingTest, AClientThatReadsNothingIsSentNoMoreAndHoldsUpNobody) {
  constexpr size_t kPiece = 60000;
  auto lines = std::make_shared<Lines>(1000000, kPiece);
  StreamHandler handler(lines);
  Start(&handler);
  Client slow(address());
  slow.Send("POST /lines HTTP/1.1\r\nHost: a\r\n\r\n");
  Client other(address());
  for (int i = 0; i < 200; ++i) {
    other.Send("POST /now HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_THAT(other.ReadUntil("now 0"), StartsWith("HTTP/1.1 200 OK"));
  }
  // What the sockets' buffers take, and not one more.
  EXPECT_LT(lines->asked() * kPiece, 64u << 20);
}

TEST_F(StreamingTest, ACallerThatLeavesIsNoticedWhileItWaits) {
  StreamHandler handler;
  Start(&handler);
  {
    Client client(address());
    client.Send("POST /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    ASSERT_TRUE(handler.asked().WaitForNotificationWithTimeout(absl::Seconds(30)));
  }
  EXPECT_TRUE(handler.gone().WaitForNotificationWithTimeout(absl::Seconds(30)));
}

TEST_F(StreamingTest, StoppingTellsThoseWhoAnswerALateCaller) {
  StreamHandler handler;
  Start(&handler);
  Client client(address());
  client.Send("POST /wait HTTP/1.1\r\nHost: a\r\n\r\n");
  ASSERT_TRUE(handler.asked().WaitForNotificationWithTimeout(absl::Seconds(30)));
  listener_->Stop();
  EXPECT_TRUE(handler.gone().HasBeenNotified());
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(StreamingTest, ABodyIsInvitedWhenItsClientAsks) {
  StreamHandler handler;
  Start(&handler);
  Client client(address());
  client.Send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.ReadUntil("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.Send("abc");
  EXPECT_THAT(client.ReadUntil("now 3"), StartsWith("HTTP/1.1 200 OK"));
}

TEST_F(StreamingTest, BodiesBeyondWhatAllMayHoldAreRefusedUnread) {
  StreamHandler handler;
  Start(&handler, {.http_bodies_bytes_max = 150000});
  Client first(address());
  first.Send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_THAT(first.ReadUntil("\r\n\r\n"), HasSubstr("100 Continue"));  // Counted by now.
  Client second(address());
  second.Send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_THAT(second.ReadUntil(""), StartsWith("HTTP/1.1 503 "));
  Client small(address());
  small.Send("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_THAT(small.ReadUntil("now 3"), StartsWith("HTTP/1.1 200 OK"));
  first.Send(std::string(100000, 'x'));
  EXPECT_THAT(first.ReadUntil("now 100000"), StartsWith("HTTP/1.1 200 OK"));
  // Its room is free again.
  Client third(address());
  third.Send(absl::StrCat("POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", std::string(100000, 'x')));
  EXPECT_THAT(third.ReadUntil("now 100000"), StartsWith("HTTP/1.1 200 OK"));
}

}  // namespace
}  // namespace keel::server
