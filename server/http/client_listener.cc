#include "server/http/client_listener.h"

#include <fcntl.h>
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <thread>
#include <unordered_map>

#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "server/http/http_connection.h"
#include "server/net/acceptor.h"
#include "server/net/listen_socket.h"

namespace keel::server {
namespace {

namespace asio = boost::asio;

constexpr int kReservedDescriptors = 150;  // operations.md section 1.8.

// A number that no other socket of this machine ever gets; 0: none.
uint64_t CookieOf(int fd) {
  uint64_t cookie = 0;
  socklen_t size = sizeof cookie;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0 ? cookie : 0;
}

// The I/O thread's world. Answers that come late hold it weakly, so it may be gone by then.
struct Loop {
  asio::io_context context{1};

  // Runs `work` on the I/O thread; drops it at once when that has ended, so that whoever waits for it need not for
  // ever.
  void Post(std::function<void()> work) {
    absl::MutexLock lock(&mu);
    if (!ended) asio::post(context, std::exchange(work, nullptr));
  }
  // The thread has ended; what came too late for it is done here.
  void End() {
    {
      absl::MutexLock lock(&mu);
      ended = true;
    }
    context.restart();
    context.poll();
  }

  absl::Mutex mu;
  bool ended ABSL_GUARDED_BY(mu) = false;
};

class ClientListenerImpl final : public ClientListener {
 public:
  ClientListenerImpl(const Options& options, std::vector<ListenSocket> sockets) : loop_(std::make_shared<Loop>()) {
    context_.options = options;
    context_.closed = [this](HttpConnection* connection) { connections_.erase(connection); };
    context_.post = [weak = std::weak_ptr<Loop>(loop_)](std::function<void()> work) {
      if (auto loop = weak.lock()) loop->Post(std::move(work));
    };
    for (const ListenSocket& socket : sockets) {
      addresses_.push_back(socket.url);
      acceptors_.push_back(std::make_unique<Acceptor>(
          loop_->context, socket,
          Acceptor::Options{.endpoint = "client", .descriptors_kept_for_else = kReservedDescriptors},
          [this](int fd, int family) { OnAccepted(fd, family); }));
    }
  }

  ~ClientListenerImpl() override { Stop(); }

  void AttachGrpc(grpc::ServerBuilder* builder) override {
    using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
    grpc_ = builder->experimental().AddExternalConnectionAcceptor(ConnectionType::FROM_FD,
                                                                  grpc::InsecureServerCredentials());
    context_.take_http2 = [this](int fd, std::string_view read) {
      grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
      parameters.fd = fd;
      if (grpc_sockets_.size() <= static_cast<size_t>(fd)) grpc_sockets_.resize(static_cast<size_t>(fd) + 1);
      grpc_sockets_[static_cast<size_t>(fd)] = CookieOf(fd);
      const grpc::Slice slice(read.data(), read.size());
      parameters.read_buffer = grpc::ByteBuffer(&slice, 1);
      grpc_->HandleNewConnection(&parameters);
    };
  }

  void Start(HttpHandler* handler) override {
    absl::MutexLock lock(&mu_);
    KEEL_CHECK(!started_);
    if (stopped_) return;
    started_ = true;
    context_.handler = handler;
    for (const auto& acceptor : acceptors_) acceptor->Accept();
    thread_ = std::thread([this] { loop_->context.run(); });
  }

  void Stop() override {
    absl::MutexLock lock(&mu_);
    if (stopped_) return;
    stopped_ = true;
    if (started_) {
      asio::post(loop_->context, [this] { CloseAll(); });
      thread_.join();  // The loop ends when nothing is left to wait for.
    } else {
      CloseAll();
    }
    loop_->End();
  }

  void EndGrpcConnections() override {
    for (size_t fd = 0; fd < grpc_sockets_.size(); ++fd) {
      // gRPC may have closed it long ago, and the number may be somebody else's.
      if (grpc_sockets_[fd] != 0 && CookieOf(static_cast<int>(fd)) == grpc_sockets_[fd]) {
        shutdown(static_cast<int>(fd), SHUT_WR);
      }
    }
  }

  std::vector<Url> addresses() const override { return addresses_; }

 private:
  void OnAccepted(int fd, int family) {
    if (family != AF_UNIX) {
      const int on = 1;
      setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    if (connections_.size() >= context_.options.connections_max) {
      close(fd);
      return;
    }
    HttpConnection::Socket socket(loop_->context);
    boost::system::error_code error;
    socket.assign(asio::generic::stream_protocol(family, 0), fd, error);
    if (error) {
      close(fd);
      return;
    }
    auto connection = std::make_shared<HttpConnection>(std::move(socket), &context_);
    connections_.emplace(connection.get(), connection);
    connection->Start();
  }

  void CloseAll() {
    for (const auto& acceptor : acceptors_) acceptor->Close();
    auto connections = std::move(connections_);
    connections_.clear();
    for (const auto& [raw, connection] : connections) connection->Close();
  }

  const std::shared_ptr<Loop> loop_;
  std::vector<Url> addresses_;
  HttpConnection::Context context_;  // Fixed once started.
  std::unique_ptr<grpc::experimental::ExternalConnectionAcceptor> grpc_;

  absl::Mutex mu_;  // Start and Stop; not taken by the I/O thread.
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_ ABSL_GUARDED_BY(mu_);

  // The I/O thread's. Destroyed before the loop, connections first.
  std::vector<uint64_t> grpc_sockets_;  // By descriptor: the cookie of the socket that was handed to gRPC as this one.
  std::vector<std::unique_ptr<Acceptor>> acceptors_;
  std::unordered_map<HttpConnection*, std::shared_ptr<HttpConnection>> connections_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ClientListener>> ClientListener::Bind(const Options& options) {
  std::vector<ListenSocket> sockets;
  for (const Url& url : options.listen) {
    absl::StatusOr<ListenSocket> socket = OpenListenSocket(url);
    if (!socket.ok()) {
      for (const ListenSocket& open : sockets) {
        close(open.fd);
        if (open.url.is_unix()) unlink(open.url.path.c_str());
      }
      return socket.status();
    }
    sockets.push_back(*std::move(socket));
  }
  return std::make_unique<ClientListenerImpl>(options, std::move(sockets));
}

}  // namespace keel::server
