#include "server/peer/peer_streams.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server_builder.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <string>
#include <utility>

#include "absl/synchronization/notification.h"
#include "base/check.h"
#include "base/log.h"

namespace keel::server {
namespace {

namespace asio = boost::asio;

// A connection that says nothing, or not enough to tell what it is, is closed.
constexpr auto kFirstBytesTimeout = std::chrono::seconds(10);
constexpr size_t kArrivalsMax = 1024;
// Of the process's last file descriptors some stay for the log.
constexpr int kReservedDescriptors = 20;

}  // namespace

// A connection of which nothing is known yet.
class PeerStreams::Arrival : public std::enable_shared_from_this<Arrival> {
 public:
  Arrival(PeerStreams* streams, asio::generic::stream_protocol::socket socket, int family)
      : family_(family), streams_(*streams), socket_(std::move(socket)), timer_(socket_.get_executor()) {}

  void Start() {
    timer_.expires_after(kFirstBytesTimeout);
    timer_.async_wait([self = shared_from_this()](boost::system::error_code error) {
      if (!error) self->Close();
    });
    Read();
  }

  void Close() {
    boost::system::error_code ignored;
    timer_.cancel();
    socket_.close(ignored);
    if (!std::exchange(closed_, true)) streams_.Forget(this);
  }

  // Takes the descriptor out of here; -1: it is not to be had.
  int Release() {
    boost::system::error_code error;
    timer_.cancel();
    socket_.native_non_blocking(true, error);
    const int fd = socket_.release(error);
    closed_ = true;
    return error ? -1 : fd;
  }

  int family() const { return family_; }
  const std::string& read() const { return read_; }
  // Told by what has been read so far.
  bool may_be_ours() const {
    const std::string_view ours = StreamConnection::FirstBytes();
    return std::string_view(read_).substr(0, ours.size()) == ours.substr(0, read_.size());
  }
  bool is_ours() const { return may_be_ours() && read_.size() >= StreamConnection::FirstBytes().size(); }

 private:
  void Read() {
    socket_.async_read_some(asio::buffer(buffer_),
                            [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
                              if (error || self->closed_) return self->Close();
                              self->read_.append(self->buffer_, bytes);
                              if (self->may_be_ours() && !self->is_ours()) return self->Read();
                              self->streams_.OnFirstBytes(self.get());
                            });
  }

  const int family_;
  PeerStreams& streams_;
  asio::generic::stream_protocol::socket socket_;
  asio::steady_timer timer_;
  char buffer_[4096];
  std::string read_;
  bool closed_ = false;
};

// A peer's stream.
class PeerStreams::Session : public std::enable_shared_from_this<Session> {
 public:
  explicit Session(PeerStreams* streams) : streams_(*streams), peer_(&streams->service_) {}

  void Start(int fd, int family, std::string_view read) {
    connection_ = StreamConnection::Serve(
        &streams_.io_, fd, family, read, PeerService::StreamMethod(),
        {.message_bytes_max = streams_.message_bytes_max_,
         .ping_interval = absl::Seconds(5),
         .ping_timeout = absl::Seconds(5)},
        {.message = [self = shared_from_this()](std::string_view message) { self->OnMessage(message); },
         .written = [](bool) {},  // Nothing follows what is written, or only the end.
         .ended = [self = shared_from_this()](const absl::Status&) { self->streams_.sessions_.erase(self); }});
  }

  void Close() { connection_->Close(); }

 private:
  void OnMessage(std::string_view message) {
    if (refused_) return;
    if (!frame_.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      refused_ = true;
      return connection_->Finish(absl::InternalError("not a PeerFrame"));
    }
    const IncomingPeer::Answer answer = peer_.Take(&frame_);
    if (!answer.ack.has_value()) return;
    connection_->Write(*answer.ack);
    if (answer.status.ok()) return;
    refused_ = true;
    connection_->Finish(answer.status);
  }

  PeerStreams& streams_;
  IncomingPeer peer_;
  raftpb::PeerFrame frame_;  // On the heap, not an arena: payloads are moved out of it.
  bool refused_ = false;
  std::shared_ptr<StreamConnection> connection_;
};

PeerStreams::PeerStreams(PeerIo* io, PeerService* service, size_t message_bytes_max)
    : io_(*io), service_(*service), message_bytes_max_(message_bytes_max) {}

PeerStreams::~PeerStreams() {
  for (const ListenSocket& socket : bound_) {
    close(socket.fd);
    if (socket.url.is_unix()) unlink(socket.url.path.c_str());
  }
}

absl::Status PeerStreams::Bind(const std::vector<Url>& urls) {
  for (const Url& url : urls) {
    absl::StatusOr<ListenSocket> socket = OpenListenSocket(url);
    if (!socket.ok()) return socket.status();
    bound_.push_back(*std::move(socket));
  }
  return absl::OkStatus();
}

void PeerStreams::AttachGrpc(grpc::ServerBuilder* builder) {
  using ConnectionType = grpc::ServerBuilder::experimental_type::ExternalConnectionType;
  grpc_ =
      builder->experimental().AddExternalConnectionAcceptor(ConnectionType::FROM_FD, grpc::InsecureServerCredentials());
}

void PeerStreams::Start() {
  KEEL_CHECK(grpc_ != nullptr);
  asio::post(io_.context(), [this] {
    for (const ListenSocket& socket : bound_) {
      acceptors_.push_back(std::make_unique<Acceptor>(
          io_.context(), socket,
          Acceptor::Options{.endpoint = "peer", .descriptors_kept_for_else = kReservedDescriptors},
          [this](int fd, int family) { OnAccepted(fd, family); }));
      acceptors_.back()->Accept();
    }
    bound_.clear();
  });
}

void PeerStreams::Stop() {
  if (std::exchange(stopped_, true)) return;
  absl::Notification closed;
  asio::post(io_.context(), [&] {
    for (const auto& acceptor : acceptors_) acceptor->Close();
    acceptors_.clear();
    const auto arrivals = std::exchange(arrivals_, {});
    for (const auto& arrival : arrivals) arrival->Close();
    for (const auto& session : sessions_) session->Close();
    // Each end is a step of its own, behind this one.
    asio::post(io_.context(), [&] { closed.Notify(); });
  });
  closed.WaitForNotification();
}

void PeerStreams::OnAccepted(int fd, int family) {
  if (arrivals_.size() >= kArrivalsMax) {
    close(fd);
    return;
  }
  if (family != AF_UNIX) {
    const int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  asio::generic::stream_protocol::socket socket(io_.context());
  boost::system::error_code error;
  socket.assign(asio::generic::stream_protocol(family, 0), fd, error);
  if (error) {
    close(fd);
    return;
  }
  auto arrival = std::make_shared<Arrival>(this, std::move(socket), family);
  arrivals_.insert(arrival);
  arrival->Start();
}

void PeerStreams::OnFirstBytes(Arrival* arrival) {
  const std::shared_ptr<Arrival> kept = arrival->shared_from_this();
  arrivals_.erase(kept);
  const int fd = kept->Release();
  if (fd < 0) return;
  if (kept->is_ours()) {
    auto session = std::make_shared<Session>(this);
    sessions_.insert(session);
    session->Start(fd, kept->family(), kept->read());
    return;
  }
  grpc::experimental::ExternalConnectionAcceptor::NewConnectionParameters parameters;
  parameters.fd = fd;
  const grpc::Slice slice(kept->read().data(), kept->read().size());
  parameters.read_buffer = grpc::ByteBuffer(&slice, 1);
  grpc_->HandleNewConnection(&parameters);
}

void PeerStreams::Forget(Arrival* arrival) { arrivals_.erase(arrival->shared_from_this()); }

}  // namespace keel::server
