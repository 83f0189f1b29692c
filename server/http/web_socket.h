#pragma once

// A connection of the client port that has become a WebSocket (RFC 6455): for pages in a browser, which cannot send the
// requests of a stream as it goes in any other way (rpc.md section 5.4).

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/websocket/stream.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http/http_caller.h"
#include "server/http/http_handler.h"

namespace keel::server {

// The request becomes a POST to the same path. Its body is what the client sends, a text message at a time; the
// answer's lines are messages back, and its end is the end of the connection. "Sec-WebSocket-Protocol: Bearer, TOKEN"
// stands for the Authorization header, which pages cannot set.
//
// Owned by the listener's I/O thread, as its connection is. A message is held until the call takes it, and meanwhile no
// other one is read, so a client that sends faster than it is answered fills its own socket.
class WebSocket final : public std::enable_shared_from_this<WebSocket> {
 public:
  using Transport = boost::beast::basic_stream<boost::asio::generic::stream_protocol>;
  using Upgrade = boost::beast::http::request<boost::beast::http::string_body>;

  struct Options {
    size_t message_bytes_max = 2u << 20;  // A client that sends a larger one is told so, and is cut off.
    HttpHandler* handler = nullptr;
    std::function<void(std::function<void()> work)> post;  // HttpConnection::Context::post.
    std::function<void()> closed;                          // Once, when it is no longer of use.
  };

  WebSocket(Transport transport, HttpRequest request, Options options);
  ~WebSocket();

  // Answers the handshake and begins.
  void Start(const Upgrade& upgrade);
  void Close();

 private:
  class Input;

  void Read();
  void OnMessage(boost::system::error_code error);
  void Handle(std::string text);
  void Take(HttpInput::Text text);
  void Discard();
  void Respond(HttpResponse response);
  void NextPiece();
  void OnPiece(std::optional<std::string> piece);
  void Send(std::string line, void (WebSocket::*then)());
  void End();
  void Gone();

  boost::beast::websocket::stream<Transport> stream_;
  const Options options_;
  HttpRequest request_;  // Until its first message has come.
  boost::beast::flat_buffer buffer_;
  std::shared_ptr<GoneCaller> caller_;
  bool handled_ = false;
  bool discards_ = false;
  std::optional<std::string> waiting_;  // A message that nobody has taken.
  HttpInput::Text wanted_;              // Somebody waits for one.
  std::shared_ptr<HttpStream> rest_;
  std::string out_;
  bool ended_ = false;  // No message comes any more.
  bool closed_ = false;
};

}  // namespace keel::server
