#include "server/http/http_connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <chrono>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/http/on_io_thread.h"

namespace keel::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

// The start of the HTTP/2 connection preface (RFC 9113, section 3.4); no HTTP/1 request begins so.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0";

constexpr auto kLinger = std::chrono::milliseconds(500);
constexpr size_t kSmallBody = 16u << 10;
constexpr size_t kReadAhead = 16u << 10;
constexpr size_t kSlowestBytesPerSecond = 64u << 10;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view kLineEnd = "\r\n";
constexpr std::string_view kLastChunk = "0\r\n\r\n";

std::string_view Bytes(const beast::flat_buffer& buffer) {
  return {static_cast<const char*>(buffer.data().data()), buffer.size()};
}

std::string ToString(beast::string_view text) { return std::string(text.data(), text.size()); }

// The client sent something that is not HTTP; as opposed to going away, or silent.
bool IsBadRequest(boost::system::error_code error) {
  return error.category() == http::make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
}

int StatusOf(boost::system::error_code error) {
  if (error == http::error::header_limit) return 431;
  return error == http::error::body_limit ? 413 : 400;
}

std::string ReasonOf(unsigned status) {
  if (status == 499) return "Client Closed Request";  // No standard one, and so unknown to the library.
  return ToString(http::obsolete_reason(static_cast<http::status>(status)));
}

HttpRequest ToRequest(http::request<http::string_body> message) {
  HttpRequest request;
  request.method = ToString(message.method_string());
  const std::string target = ToString(message.target());
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  for (const auto& field : message) {
    request.headers.emplace_back(ToString(field.name_string()), ToString(field.value()));
  }
  request.body = std::move(message.body());
  return request;
}

}  // namespace

HttpConnection::HttpConnection(Socket socket, Context* context)
    : context_(*context), stream_(std::move(socket)), buffer_(context->options.http_header_bytes_max + (64u << 10)) {}

HttpConnection::~HttpConnection() = default;

void HttpConnection::Start() {
  stream_.expires_after(absl::ToChronoNanoseconds(context_.options.first_bytes_timeout));
  ReadFirstBytes();
}

void HttpConnection::Close() {
  if (closed_) return;
  closed_ = true;
  ReleaseBody();
  if (caller_ != nullptr) caller_->Leave();
  if (web_socket_ != nullptr) return web_socket_->Close();
  stream_.close();
  context_.closed(this);
}

void HttpConnection::ReadFirstBytes() {
  // No more than the preface: what follows it is for gRPC to read.
  stream_.async_read_some(
      buffer_.prepare(kHttp2Preface.size() - buffer_.size()),
      [self = shared_from_this()](boost::system::error_code error, size_t bytes) { self->OnFirstBytes(error, bytes); });
}

void HttpConnection::OnFirstBytes(boost::system::error_code error, size_t bytes) {
  if (error || closed_) return Close();
  buffer_.commit(bytes);
  const std::string_view seen = Bytes(buffer_);
  if (seen != kHttp2Preface.substr(0, seen.size())) return ReadRequest();
  if (seen.size() < kHttp2Preface.size()) return ReadFirstBytes();
  HandOver();
}

void HttpConnection::HandOver() {
  if (!context_.take_http2) return Close();
  Socket socket = stream_.release_socket();
  boost::system::error_code error;
  socket.native_non_blocking(true, error);
  const int fd = socket.release(error);
  if (error) return Close();
  context_.take_http2(fd, Bytes(buffer_));
  closed_ = true;
  context_.closed(this);
}

void HttpConnection::AwaitRequest() {
  if (buffer_.size() > 0) return ReadRequest();  // The client sent several at once.
  stream_.expires_after(absl::ToChronoNanoseconds(context_.options.http_idle_timeout));
  stream_.async_read_some(buffer_.prepare(4096),
                          [self = shared_from_this()](boost::system::error_code error, size_t bytes) {
                            if (error || self->closed_) return self->Close();
                            self->buffer_.commit(bytes);
                            self->ReadRequest();
                          });
}

void HttpConnection::ReadRequest() {
  stream_.expires_after(absl::ToChronoNanoseconds(context_.options.http_request_timeout));
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(context_.options.http_header_bytes_max));
  parser_->body_limit(context_.options.http_body_bytes_max);
  http::async_read_header(
      stream_, buffer_, *parser_,
      [self = shared_from_this()](boost::system::error_code error, size_t) { self->OnHeader(error); });
}

void HttpConnection::OnHeader(boost::system::error_code error) {
  if (closed_) return;
  if (error) return IsBadRequest(error) ? RefuseRequest(StatusOf(error)) : Close();
  if (boost::beast::websocket::is_upgrade(parser_->get())) {
    const std::string target = ToString(parser_->get().target());
    if (context_.handler->TakesWebSocket(target.substr(0, target.find('?')))) return BecomeWebSocket();
  }
  // A body of unknown length may become as large as one may be.
  const auto length = parser_->content_length();
  const size_t bytes = length ? static_cast<size_t>(*length)
                              : (parser_->is_done() ? 0 : static_cast<size_t>(context_.options.http_body_bytes_max));
  if (bytes > kSmallBody) {
    if (context_.body_bytes + bytes > context_.options.http_bodies_bytes_max) return RefuseRequest(503);
    body_bytes_ = bytes;
    context_.body_bytes += bytes;
  }
  const bool waits = parser_->get().version() >= 11 && !parser_->is_done() && buffer_.size() == 0 &&
                     beast::iequals(parser_->get()[http::field::expect], "100-continue");
  waits ? InviteBody() : ReadBody();
}

void HttpConnection::BecomeWebSocket() {
  const WebSocket::Upgrade upgrade = parser_->release();
  parser_.reset();
  web_socket_ = std::make_shared<WebSocket>(std::move(stream_), ToRequest(upgrade),
                                            WebSocket::Options{
                                                .message_bytes_max = context_.options.http_body_bytes_max,
                                                .handler = context_.handler,
                                                .post = context_.post,
                                                .closed =
                                                    [this] {
                                                      closed_ = true;
                                                      context_.closed(this);
                                                    },
                                            });
  web_socket_->Start(upgrade);
}

// A client that asked whether its body is welcome waits a while before it sends it anyway.
void HttpConnection::InviteBody() {
  asio::async_write(stream_, asio::buffer(kContinue.data(), kContinue.size()),
                    [self = shared_from_this()](boost::system::error_code error, size_t) {
                      if (error || self->closed_) return self->Close();
                      self->ReadBody();
                    });
}

void HttpConnection::ReadBody() {
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](boost::system::error_code error, size_t) { self->OnRequest(error); });
}

void HttpConnection::OnRequest(boost::system::error_code error) {
  if (closed_) return;
  if (error) return IsBadRequest(error) ? RefuseRequest(StatusOf(error)) : Close();
  stream_.expires_never();
  version_ = parser_->get().version();
  head_ = parser_->get().method() == http::verb::head;
  keep_alive_ = parser_->get().keep_alive();
  HttpRequest request = ToRequest(parser_->release());
  parser_.reset();
  caller_ = std::make_shared<GoneCaller>();
  request.caller = caller_;
  WatchForLeaving();
  // The answer may come from any thread and after this connection, or its listener, has ended.
  context_.handler->Handle(std::move(request), OnIoThread(context_.post, weak_from_this(), &HttpConnection::Respond));
}

void HttpConnection::RefuseRequest(int status) {
  version_ = 11;
  head_ = false;
  keep_alive_ = false;
  Respond({.status = status,
           .headers = {{"Content-Type", "text/plain; charset=utf-8"}},
           .body = std::to_string(status) + " " + ReasonOf(static_cast<unsigned>(status))});
}

void HttpConnection::WatchForLeaving() {
  // A client that has sent much ahead is not watched any more: what it sends is not to gather here.
  if (buffer_.size() >= kReadAhead) return;
  watching_ = true;
  stream_.async_read_some(
      buffer_.prepare(4096),
      [self = shared_from_this()](boost::system::error_code error, size_t bytes) { self->OnWatched(error, bytes); });
}

void HttpConnection::OnWatched(boost::system::error_code error, size_t bytes) {
  watching_ = false;
  if (closed_) return;
  buffer_.commit(bytes);
  const bool stopped = error == asio::error::operation_aborted;
  if (error && !stopped) {
    client_gone_ = true;
    if (caller_ != nullptr) caller_->Leave();
  }
  if (after_watching_ != nullptr) {
    if (client_gone_) return Close();
    return (this->*std::exchange(after_watching_, nullptr))();
  }
  if (!error) WatchForLeaving();
}

void HttpConnection::StopWatching(void (HttpConnection::*then)()) {
  if (client_gone_) return Close();
  if (!watching_) return (this->*then)();
  after_watching_ = then;
  stream_.cancel();
}

void HttpConnection::Respond(HttpResponse response) {
  if (closed_) return;
  ReleaseBody();
  rest_ = std::move(response.rest);
  chunked_ = rest_ != nullptr && version_ >= 11;
  if (rest_ != nullptr && !chunked_) keep_alive_ = false;  // The end of the connection is the end of the answer.

  http::response<http::string_body> head;
  head.version(version_);
  head.result(static_cast<unsigned>(response.status));
  head.reason(ReasonOf(static_cast<unsigned>(response.status)));
  // RFC 9110 section 6.6.1; who operates several members compares their clocks by it.
  head.set(http::field::date, absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()));
  for (const auto& [name, value] : response.headers) head.set(name, value);
  head.keep_alive(keep_alive_);
  if (chunked_) {
    head.chunked(true);
  } else if (rest_ == nullptr) {
    head.content_length(response.body.size());
  }
  std::ostringstream text;
  text << head.base();
  head_text_ = text.str();
  body_text_ = head_ ? std::string() : std::move(response.body);
  if (head_) rest_ = nullptr;
  out_ = {asio::buffer(head_text_), asio::buffer(body_text_), asio::const_buffer()};
  Write(context_.options.http_write_timeout,
        rest_ == nullptr ? &HttpConnection::OnResponded : &HttpConnection::NextPiece);
}

void HttpConnection::NextPiece() { rest_->Next(OnIoThread(context_.post, weak_from_this(), &HttpConnection::OnPiece)); }

void HttpConnection::OnPiece(std::optional<std::string> piece) {
  if (closed_) return;
  if (!piece.has_value()) {
    rest_ = nullptr;
    if (!chunked_) return OnResponded();
    out_ = {asio::buffer(kLastChunk.data(), kLastChunk.size()), asio::const_buffer(), asio::const_buffer()};
    return Write(context_.options.http_write_timeout, &HttpConnection::OnResponded);
  }
  body_text_ = *std::move(piece);
  if (chunked_) {
    chunk_head_ = absl::StrCat(absl::Hex(body_text_.size()), "\r\n");
    out_ = {asio::buffer(chunk_head_), asio::buffer(body_text_), asio::buffer(kLineEnd.data(), kLineEnd.size())};
  } else {
    out_ = {asio::buffer(body_text_), asio::const_buffer(), asio::const_buffer()};
  }
  Write(context_.options.http_stream_write_timeout, &HttpConnection::NextPiece);
}

void HttpConnection::Write(absl::Duration timeout, void (HttpConnection::*then)()) {
  timeout += absl::Seconds(static_cast<int64_t>(asio::buffer_size(out_) / kSlowestBytesPerSecond));
  stream_.expires_after(absl::ToChronoNanoseconds(timeout));
  asio::async_write(stream_, out_, [self = shared_from_this(), then](boost::system::error_code error, size_t) {
    if (error || self->closed_) return self->Close();
    self->body_text_ = std::string();
    (self.get()->*then)();
  });
}

void HttpConnection::OnResponded() {
  caller_ = nullptr;
  StopWatching(keep_alive_ ? &HttpConnection::AwaitRequest : &HttpConnection::Linger);
}

// What the client still sends is read and dropped for a moment: closing over unread bytes would reset the connection,
// and the client might never see the answer.
void HttpConnection::Linger() {
  boost::system::error_code ignored;
  stream_.socket().shutdown(Socket::shutdown_send, ignored);
  stream_.expires_after(kLinger);
  Drain();
}

void HttpConnection::Drain() {
  buffer_.clear();
  stream_.async_read_some(buffer_.prepare(4096), [self = shared_from_this()](boost::system::error_code error, size_t) {
    if (error || self->closed_) return self->Close();
    self->Drain();
  });
}

void HttpConnection::ReleaseBody() {
  context_.body_bytes -= body_bytes_;
  body_bytes_ = 0;
}

}  // namespace keel::server
