#include "server/http/http_connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/write.hpp>
#include <chrono>

#include "absl/time/time.h"

namespace keel::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;

// The start of the HTTP/2 connection preface (RFC 9113, section 3.4); no HTTP/1 request begins so.
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0";

constexpr auto kLinger = std::chrono::milliseconds(500);

std::string_view Bytes(const beast::flat_buffer& buffer) {
  return {static_cast<const char*>(buffer.data().data()), buffer.size()};
}

std::string ToString(beast::string_view text) { return std::string(text.data(), text.size()); }

// The client sent something that is not HTTP; as opposed to going away, or silent.
bool IsBadRequest(boost::system::error_code error) {
  return error.category() == http::make_error_code(http::error::bad_method).category() &&
         error != http::error::end_of_stream && error != http::error::partial_message;
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

HttpConnection::HttpConnection(Socket socket, const Context* context)
    : context_(*context), stream_(std::move(socket)), buffer_(context->options.http_header_bytes_max + (64u << 10)) {}

void HttpConnection::Start() {
  stream_.expires_after(absl::ToChronoNanoseconds(context_.options.first_bytes_timeout));
  ReadFirstBytes();
}

void HttpConnection::Close() {
  if (closed_) return;
  closed_ = true;
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
  http::async_read(stream_, buffer_, *parser_,
                   [self = shared_from_this()](boost::system::error_code error, size_t) { self->OnRequest(error); });
}

void HttpConnection::OnRequest(boost::system::error_code error) {
  if (closed_) return;
  if (error) return IsBadRequest(error) ? RefuseRequest(error) : Close();
  stream_.expires_never();
  version_ = parser_->get().version();
  head_ = parser_->get().method() == http::verb::head;
  keep_alive_ = parser_->get().keep_alive();
  HttpRequest request = ToRequest(parser_->release());
  parser_.reset();
  // The answer may come from any thread and after this connection, or its listener, has ended.
  context_.handler->Handle(std::move(request), [post = context_.post, weak = weak_from_this()](HttpResponse response) {
    auto shared = std::make_shared<HttpResponse>(std::move(response));
    post([weak, shared] {
      if (auto self = weak.lock()) self->Respond(std::move(*shared));
    });
  });
}

void HttpConnection::RefuseRequest(boost::system::error_code error) {
  version_ = 11;
  head_ = false;
  keep_alive_ = false;
  HttpResponse response{.status = 400, .headers = {{"Content-Type", "text/plain; charset=utf-8"}}};
  if (error == http::error::header_limit) {
    response.status = 431;
  } else if (error == http::error::body_limit) {
    response.status = 413;
  }
  response.body = std::to_string(response.status) + " " +
                  ToString(http::obsolete_reason(static_cast<http::status>(response.status)));
  Respond(std::move(response));
}

void HttpConnection::Respond(HttpResponse response) {
  if (closed_) return;
  response_ = {};
  response_.version(version_);
  response_.result(static_cast<unsigned>(response.status));
  for (const auto& [name, value] : response.headers) response_.set(name, value);
  response_.keep_alive(keep_alive_);
  response_.body() = std::move(response.body);
  response_.content_length(response_.body().size());
  stream_.expires_after(absl::ToChronoNanoseconds(context_.options.http_write_timeout));
  serializer_.emplace(response_);
  auto done = [self = shared_from_this()](boost::system::error_code error, size_t) { self->OnResponded(error); };
  if (head_) {
    http::async_write_header(stream_, *serializer_, std::move(done));
  } else {
    http::async_write(stream_, *serializer_, std::move(done));
  }
}

void HttpConnection::OnResponded(boost::system::error_code error) {
  if (error || closed_) return Close();
  if (keep_alive_) return AwaitRequest();
  // What the client still sends is read and dropped for a moment: closing over unread bytes would reset the connection,
  // and the client might never see the answer.
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

}  // namespace keel::server
