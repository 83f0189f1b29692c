#include "server/http/web_socket.h"

#include <boost/asio/buffer.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/http/field.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/http/on_io_thread.h"

namespace keel::server {
namespace {

namespace beast = boost::beast;
namespace websocket = boost::beast::websocket;

constexpr absl::string_view kBearer = "Bearer";

// The token of "Bearer, TOKEN"; nullopt: the client offers something else, or nothing.
std::optional<std::string> TokenOf(absl::string_view protocols) {
  const size_t comma = protocols.find(',');
  if (comma == absl::string_view::npos || absl::StripAsciiWhitespace(protocols.substr(0, comma)) != kBearer) {
    return std::nullopt;
  }
  return std::string(absl::StripAsciiWhitespace(protocols.substr(comma + 1)));
}

}  // namespace

// What the call holds: it may outlive the socket, and the thread that the socket belongs to.
class WebSocket::Input final : public HttpInput {
 public:
  Input(std::weak_ptr<WebSocket> socket, std::function<void(std::function<void()>)> post)
      : socket_(std::move(socket)), post_(std::move(post)) {}

  void Next(Text text) override {
    auto shared = std::make_shared<Text>(std::move(text));
    // Dropped by a listener that has ended: then there is nothing more to come.
    std::shared_ptr<void> unless_taken(nullptr, [shared](void*) {
      if (*shared != nullptr) (*shared)(std::nullopt);
    });
    post_([weak = socket_, shared, unless_taken] {
      if (auto socket = weak.lock()) socket->Take(std::exchange(*shared, nullptr));
    });
  }
  void Discard() override {
    post_([weak = socket_] {
      if (auto socket = weak.lock()) socket->Discard();
    });
  }

 private:
  const std::weak_ptr<WebSocket> socket_;
  const std::function<void(std::function<void()>)> post_;
};

WebSocket::WebSocket(Transport transport, HttpRequest request, Options options)
    : stream_(std::move(transport)), options_(std::move(options)), request_(std::move(request)) {}

WebSocket::~WebSocket() {
  if (wanted_ != nullptr) wanted_(std::nullopt);
}

void WebSocket::Start(const Upgrade& upgrade) {
  const auto offered = upgrade[beast::http::field::sec_websocket_protocol];
  const std::optional<std::string> token = TokenOf({offered.data(), offered.size()});
  if (token.has_value()) request_.headers.emplace_back("Authorization", absl::StrCat(kBearer, " ", *token));
  request_.method = "POST";
  beast::get_lowest_layer(stream_).expires_never();
  stream_.set_option(websocket::stream_base::timeout::suggested(beast::role_type::server));
  stream_.set_option(websocket::stream_base::decorator([has_token = token.has_value()](websocket::response_type& head) {
    if (has_token) head.set(beast::http::field::sec_websocket_protocol, {kBearer.data(), kBearer.size()});
  }));
  stream_.read_message_max(options_.message_bytes_max);
  stream_.text(true);
  stream_.async_accept(upgrade, [self = shared_from_this()](boost::system::error_code error) {
    if (error || self->closed_) return self->Close();
    self->Read();
  });
}

void WebSocket::Close() {
  if (std::exchange(closed_, true)) return;
  Gone();
  rest_ = nullptr;
  beast::get_lowest_layer(stream_).close();
  options_.closed();
}

void WebSocket::Read() {
  if (closed_) return;
  stream_.async_read(buffer_,
                     [self = shared_from_this()](boost::system::error_code error, size_t) { self->OnMessage(error); });
}

void WebSocket::OnMessage(boost::system::error_code error) {
  if (closed_) return;
  if (error) {
    Gone();
    // An answer that is on its way finds out by itself, as does a call by its caller.
    return handled_ ? void() : Close();
  }
  std::string text = beast::buffers_to_string(buffer_.data());
  buffer_.clear();
  if (!handled_) {
    Handle(std::move(text));
  } else if (wanted_ != nullptr) {
    std::exchange(wanted_, nullptr)(std::move(text));
  } else if (!discards_) {
    waiting_ = std::move(text);
    return;
  }
  Read();
}

void WebSocket::Handle(std::string text) {
  handled_ = true;
  caller_ = std::make_shared<GoneCaller>();
  HttpRequest request = std::move(request_);
  request.body = std::move(text);
  request.caller = caller_;
  request.input = std::make_shared<Input>(weak_from_this(), options_.post);
  options_.handler->Handle(std::move(request), OnIoThread(options_.post, weak_from_this(), &WebSocket::Respond));
}

void WebSocket::Take(HttpInput::Text text) {
  if (ended_) return text(std::nullopt);
  if (!waiting_.has_value()) {
    wanted_ = std::move(text);
    return;
  }
  text(std::exchange(waiting_, std::nullopt));
  Read();
}

void WebSocket::Discard() {
  if (std::exchange(discards_, true)) return;
  if (std::exchange(waiting_, std::nullopt).has_value()) Read();
}

void WebSocket::Respond(HttpResponse response) {
  if (closed_) return;
  rest_ = std::move(response.rest);
  if (rest_ != nullptr) return NextPiece();
  Send(std::move(response.body), &WebSocket::End);
}

void WebSocket::NextPiece() { rest_->Next(OnIoThread(options_.post, weak_from_this(), &WebSocket::OnPiece)); }

void WebSocket::OnPiece(std::optional<std::string> piece) {
  if (closed_) return;
  if (!piece.has_value()) {
    rest_ = nullptr;
    return End();
  }
  Send(*std::move(piece), &WebSocket::NextPiece);
}

void WebSocket::Send(std::string line, void (WebSocket::*then)()) {
  out_ = std::move(line);
  while (!out_.empty() && out_.back() == '\n') out_.pop_back();
  stream_.async_write(boost::asio::buffer(out_),
                      [self = shared_from_this(), then](boost::system::error_code error, size_t) {
                        if (error || self->closed_) return self->Close();
                        (self.get()->*then)();
                      });
}

void WebSocket::End() {
  if (closed_) return;
  caller_ = nullptr;
  stream_.async_close(websocket::close_code::normal,
                      [self = shared_from_this()](boost::system::error_code) { self->Close(); });
}

void WebSocket::Gone() {
  ended_ = true;
  waiting_.reset();
  if (wanted_ != nullptr) std::exchange(wanted_, nullptr)(std::nullopt);
  if (caller_ != nullptr) caller_->Leave();
}

}  // namespace keel::server
