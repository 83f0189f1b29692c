#include "server/peer/stream_connection.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/connect.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "server/peer/grpc_wire.h"

namespace keel::server {
namespace {

namespace asio = boost::asio;
using Protocol = asio::generic::stream_protocol;

constexpr size_t kReadBytes = 64u << 10;
constexpr size_t kOutputKeptBytes = 1u << 20;
// A callee that has said its last word waits so long for the caller to hear it.
constexpr auto kLinger = std::chrono::seconds(1);

absl::Status Lost(const std::string& what) { return absl::UnavailableError(what); }

class StreamConnectionImpl final : public StreamConnection {
 public:
  StreamConnectionImpl(PeerIo* io, bool is_caller, const GrpcWire::Options& wire, const Options& options, Events events)
      : context_(io->context()),
        is_caller_(is_caller),
        options_(options),
        events_(std::move(events)),
        resolver_(context_),
        timer_(context_),
        socket_(context_),
        wire_(is_caller ? GrpcWire::ForCaller(wire) : GrpcWire::ForCallee(wire)) {}

  // --- A caller's beginning

  void StartDialling(const Url& url, const google::protobuf::MessageLite& first) {
    {
      absl::MutexLock lock(&mu_);
      wire_->Send(first);
      writing_ = true;
    }
    asio::post(context_, [self = Self(), url] {
      if (self->ended_) return;
      self->timer_.expires_after(absl::ToChronoNanoseconds(self->options_.answer_timeout));
      self->timer_.async_wait([self](boost::system::error_code error) {
        if (!error) self->End(Lost("no answer in time"));
      });
      if (url.is_unix()) return self->Connect({Protocol::endpoint(asio::local::stream_protocol::endpoint(url.path))});
      self->resolver_.async_resolve(
          url.host, std::to_string(url.port), asio::ip::resolver_base::numeric_service,
          [self](boost::system::error_code error, const asio::ip::tcp::resolver::results_type& found) {
            if (error) return self->End(Lost(absl::StrCat("name resolution failed: ", error.message())));
            std::vector<Protocol::endpoint> endpoints;
            for (const auto& entry : found) endpoints.emplace_back(entry.endpoint());
            self->Connect(std::move(endpoints));
          });
    });
  }

  // --- A callee's beginning

  void StartServing(int fd, int family, std::string_view read) {
    boost::system::error_code error;
    socket_.assign(Protocol(family, 0), fd, error);
    if (error) {
      close(fd);
      return asio::post(context_, [self = Self(), error] { self->End(Lost(error.message())); });
    }
    asio::post(context_, [self = Self(), first = std::string(read)] { self->Begin(first); });
  }

  // --- Any thread

  Written Write(const google::protobuf::MessageLite& message) override {
    absl::MutexLock lock(&mu_);
    if (closed_) return Written::kFailed;
    wire_->Send(message);
    if (!Flush()) return Written::kFailed;
    writing_ = !Flushed();
    return writing_ ? Written::kLater : Written::kDone;
  }

  void Finish(const absl::Status& status) override {
    absl::MutexLock lock(&mu_);
    if (closed_) return;
    wire_->Finish(status);
    finishing_ = true;
    Flush();
  }

  void Close() override {
    asio::post(context_, [self = Self()] { self->End(absl::CancelledError("closed")); });
  }

 private:
  std::shared_ptr<StreamConnectionImpl> Self() {
    return std::static_pointer_cast<StreamConnectionImpl>(shared_from_this());
  }

  // --- The I/O thread

  void Connect(std::vector<Protocol::endpoint> endpoints) {
    if (ended_) return;
    auto all = std::make_shared<std::vector<Protocol::endpoint>>(std::move(endpoints));
    asio::async_connect(socket_, *all,
                        [self = Self(), all](boost::system::error_code error, const Protocol::endpoint&) {
                          if (self->ended_) return;
                          if (error) return self->End(Lost(absl::StrCat("cannot connect: ", error.message())));
                          self->Begin("");
                        });
  }

  // The socket is there.
  void Begin(const std::string& read) {
    if (ended_) return;
    boost::system::error_code ignored;
    socket_.native_non_blocking(true, ignored);
    const int on = 1;
    setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Fails on Unix sockets.
    {
      absl::MutexLock lock(&mu_);
      closed_ = false;
    }
    if (!is_caller_) WatchSilence();
    if (!read.empty()) Take(read);
    bool ok;
    {
      absl::MutexLock lock(&mu_);
      ok = !closed_ && Flush();
    }
    if (ended_) return;
    if (!ok) return End(Lost("connection lost"));
    TellWritten();
    AwaitInput();
  }

  void AwaitInput() {
    if (ended_) return;
    socket_.async_wait(Protocol::socket::wait_read, [self = Self()](boost::system::error_code error) {
      if (!error) self->Read();
    });
  }

  void Read() {
    while (!ended_) {
      const ssize_t size = recv(socket_.native_handle(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
      if (size < 0 && errno == EINTR) continue;
      if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) break;
      if (size < 0) return End(Lost(absl::StrCat("connection lost: ", std::strerror(errno))));
      if (size == 0) return End(Lost("connection closed by the other side"));
      heard_ = true;
      Take({buffer_.data(), static_cast<size_t>(size)});
      if (static_cast<size_t>(size) < buffer_.size()) break;
    }
    AwaitInput();
  }

  void Take(std::string_view bytes) {
    absl::Status status;
    {
      absl::MutexLock lock(&mu_);
      status = wire_->Receive(bytes);
      if (status.ok() && !Flush()) status = Lost("connection lost");
    }
    std::optional<std::string_view> message;
    absl::Status framing = wire_->NextMessage(&message);
    for (; framing.ok() && message.has_value() && !ended_; framing = wire_->NextMessage(&message)) {
      if (!std::exchange(answered_, true) && is_caller_) {
        timer_.cancel();
        WatchSilence();
      }
      events_.message(*message);
    }
    if (ended_) return;
    status.Update(framing);
    if (!status.ok()) return End(status);
    TellWritten();  // The other side's window may have opened.
    if (wire_->end().has_value() && !(finishing() && !is_caller_)) End(*wire_->end());
  }

  // Asks a silent other side whether it is still there.
  void WatchSilence() {
    timer_.expires_after(absl::ToChronoNanoseconds(options_.ping_interval));
    timer_.async_wait([self = Self()](boost::system::error_code error) {
      if (error || self->ended_) return;
      self->OnSilence();
    });
  }

  void OnSilence() {
    if (finishing()) return End(absl::CancelledError("finished"));
    const auto now = std::chrono::steady_clock::now();
    if (std::exchange(heard_, false)) {
      asked_.reset();
    } else if (!asked_.has_value()) {
      asked_ = now;
      absl::MutexLock lock(&mu_);
      wire_->Ping();
      if (!Flush()) return PostEnd();
    } else if (now - *asked_ >= absl::ToChronoNanoseconds(options_.ping_timeout)) {
      return End(Lost("no answer to a ping"));
    }
    WatchSilence();
  }

  void OnWritable() {
    bool ok;
    {
      absl::MutexLock lock(&mu_);
      awaits_room_ = false;
      if (closed_) return;
      ok = Flush();
    }
    if (!ok) return End(Lost("connection lost"));
    TellWritten();
  }

  // A write that was left for later may be done by now.
  void TellWritten() {
    {
      absl::MutexLock lock(&mu_);
      if (!writing_ || !Flushed()) return;
      writing_ = false;
    }
    events_.written(true);
  }

  void End(const absl::Status& status) {
    if (std::exchange(ended_, true)) return;
    bool was_writing;
    {
      absl::MutexLock lock(&mu_);
      closed_ = true;
      was_writing = std::exchange(writing_, false);
    }
    boost::system::error_code ignored;
    resolver_.cancel();
    timer_.cancel();
    socket_.close(ignored);
    if (was_writing) events_.written(false);
    // What they hold may be what holds this.
    const Events events = std::exchange(events_, Events{});
    events.ended(status);
  }

  bool finishing() const {
    absl::MutexLock lock(&mu_);
    return finishing_;
  }

  // --- Any thread

  // Everything given has been taken by the kernel.
  bool Flushed() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return output_.empty() && wire_->drained(); }

  void PostEnd() {
    asio::post(context_, [self = Self()] { self->End(Lost("connection lost")); });
  }

  // Sends what can be sent now, and has the rest sent when there is room. False: the connection is lost, and will be
  // found so.
  bool Flush() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    while (true) {
      if (output_.empty()) {
        if (!wire_->TakeOutput(&output_).ok()) {
          PostEnd();
          return false;
        }
        if (output_.empty()) break;
      }
      const ssize_t size = send(socket_.native_handle(), output_.data() + output_sent_, output_.size() - output_sent_,
                                MSG_DONTWAIT | MSG_NOSIGNAL);
      if (size < 0) {
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) {
          PostEnd();
          return false;
        }
        if (!std::exchange(awaits_room_, true)) {
          asio::post(context_, [self = Self()] {
            if (self->ended_) return;
            self->socket_.async_wait(Protocol::socket::wait_write, [self](boost::system::error_code error) {
              if (!error) self->OnWritable();
            });
          });
        }
        return true;
      }
      output_sent_ += static_cast<size_t>(size);
      if (output_sent_ < output_.size()) continue;
      output_.clear();
      if (output_.capacity() > kOutputKeptBytes) output_.shrink_to_fit();
      output_sent_ = 0;
    }
    // The last word has been said; the other side is to close.
    if (finishing_ && Flushed() && !std::exchange(shut_, true)) {
      shutdown(socket_.native_handle(), SHUT_WR);
      asio::post(context_, [self = Self()] {
        if (self->ended_) return;
        self->timer_.expires_after(kLinger);
        self->timer_.async_wait([self](boost::system::error_code error) {
          if (!error) self->End(absl::CancelledError("finished"));
        });
      });
    }
    return true;
  }

  asio::io_context& context_;
  const bool is_caller_;
  const Options options_;

  // The I/O thread's.
  Events events_;
  asio::ip::tcp::resolver resolver_;
  asio::steady_timer timer_;  // Of the answer, then of silence, then of the farewell.
  std::array<char, kReadBytes> buffer_;
  bool answered_ = false;
  bool heard_ = true;                                           // Since the timer was set.
  std::optional<std::chrono::steady_clock::time_point> asked_;  // Not answered yet.
  bool ended_ = false;

  mutable absl::Mutex mu_;
  // The I/O thread's but for sending, which any thread may do while it is not closed.
  Protocol::socket socket_;
  // Receive(), NextMessage() and end() are the I/O thread's, the first one and the rest under the lock.
  const std::unique_ptr<GrpcWire> wire_;
  std::string output_ ABSL_GUARDED_BY(mu_);
  size_t output_sent_ ABSL_GUARDED_BY(mu_) = 0;
  bool closed_ ABSL_GUARDED_BY(mu_) = true;    // No connection, not yet or not any more.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;  // A write is not done.
  bool awaits_room_ ABSL_GUARDED_BY(mu_) = false;
  bool finishing_ ABSL_GUARDED_BY(mu_) = false;
  bool shut_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace

std::shared_ptr<StreamConnection> StreamConnection::Dial(PeerIo* io, const Url& url, const std::string& method,
                                                         const google::protobuf::MessageLite& first,
                                                         const Options& options, Events events) {
  const GrpcWire::Options wire{.method = method,
                               .authority = url.is_unix() ? "localhost" : url.Target(),
                               .message_bytes_max = options.message_bytes_max};
  auto connection = std::make_shared<StreamConnectionImpl>(io, /*is_caller=*/true, wire, options, std::move(events));
  connection->StartDialling(url, first);
  return connection;
}

std::shared_ptr<StreamConnection> StreamConnection::Serve(PeerIo* io, int fd, int family, std::string_view read,
                                                          const std::string& method, const Options& options,
                                                          Events events) {
  const GrpcWire::Options wire{.method = method, .authority = "", .message_bytes_max = options.message_bytes_max};
  auto connection = std::make_shared<StreamConnectionImpl>(io, /*is_caller=*/false, wire, options, std::move(events));
  connection->StartServing(fd, family, read);
  return connection;
}

std::string_view StreamConnection::FirstBytes() { return GrpcWire::FirstBytes(); }

}  // namespace keel::server
