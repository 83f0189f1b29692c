#pragma once

// One accepted connection of the client port, from its first bytes to its end or to its hand-over to gRPC or to a
// WebSocket.

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http/client_listener.h"
#include "server/http/http_caller.h"
#include "server/http/http_handler.h"
#include "server/http/web_socket.h"

namespace keel::server {

// Owned by the listener's I/O thread: every member function runs there. Lives as long as an operation is under way or
// `owner` keeps it; `closed` is called once when it is no longer of use.
//
// A request is answered before the next one is read. While it is being answered, the connection reads on a little, only
// to notice a client that goes.
class HttpConnection : public std::enable_shared_from_this<HttpConnection> {
 public:
  using Socket = boost::asio::generic::stream_protocol::socket;

  // What the connection needs from its listener, which outlives it.
  struct Context {
    ClientListener::Options options;
    HttpHandler* handler = nullptr;
    // Takes an HTTP/2 connection and what was read off it; the descriptor is then the callee's.
    std::function<void(int fd, std::string_view read)> take_http2;
    std::function<void(HttpConnection*)> closed;
    // Runs `work` on the I/O thread, or drops it when that has ended. Thread-safe; may be called after the listener
    // is gone.
    std::function<void(std::function<void()> work)> post;
    size_t body_bytes = 0;  // Of the bodies that all connections hold.
  };

  HttpConnection(Socket socket, Context* context);
  ~HttpConnection();

  void Start();
  void Close();

 private:
  void ReadFirstBytes();
  void OnFirstBytes(boost::system::error_code error, size_t bytes);
  void HandOver();

  void AwaitRequest();
  void ReadRequest();
  void OnHeader(boost::system::error_code error);
  void BecomeWebSocket();
  void InviteBody();
  void ReadBody();
  void OnRequest(boost::system::error_code error);
  void RefuseRequest(int status);

  void WatchForLeaving();
  void OnWatched(boost::system::error_code error, size_t bytes);
  void StopWatching(void (HttpConnection::*then)());

  void Respond(HttpResponse response);
  void NextPiece();
  void OnPiece(std::optional<std::string> piece);
  void Write(absl::Duration timeout, void (HttpConnection::*then)());
  void OnResponded();
  void Linger();
  void Drain();
  void ReleaseBody();

  Context& context_;
  boost::beast::basic_stream<boost::asio::generic::stream_protocol> stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  size_t body_bytes_ = 0;  // Counted in the context.

  std::shared_ptr<GoneCaller> caller_;  // Of the request being answered.
  bool watching_ = false;               // A read is on its way that only looks for the client's end.
  void (HttpConnection::*after_watching_)() = nullptr;
  bool client_gone_ = false;

  std::string head_text_;
  std::string body_text_;
  std::string chunk_head_;
  std::array<boost::asio::const_buffer, 3> out_;
  std::shared_ptr<HttpStream> rest_;
  bool chunked_ = false;

  unsigned version_ = 11;    // Of the request being answered.
  bool head_ = false;        // It was a HEAD: the body stays here.
  bool keep_alive_ = false;  // Another request may follow it.
  bool closed_ = false;

  std::shared_ptr<WebSocket> web_socket_;  // What has become of it, and now has the socket.
};

}  // namespace keel::server
