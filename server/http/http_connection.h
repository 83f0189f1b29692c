#pragma once

// One accepted connection of the client port, from its first bytes to its end or to its hand-over to gRPC.

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/serializer.hpp>
#include <boost/beast/http/string_body.hpp>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "server/http/client_listener.h"
#include "server/http/http_handler.h"

namespace keel::server {

// Owned by the listener's I/O thread: every member function runs there. Lives as long as an operation is under way or
// `owner` keeps it; `closed` is called once when it is no longer of use.
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
  };

  HttpConnection(Socket socket, const Context* context);

  void Start();
  void Close();

 private:
  void ReadFirstBytes();
  void OnFirstBytes(boost::system::error_code error, size_t bytes);
  void HandOver();

  void AwaitRequest();
  void ReadRequest();
  void OnRequest(boost::system::error_code error);
  void RefuseRequest(boost::system::error_code error);
  void Respond(HttpResponse response);
  void OnResponded(boost::system::error_code error);
  void Drain();

  const Context& context_;
  boost::beast::basic_stream<boost::asio::generic::stream_protocol> stream_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::request_parser<boost::beast::http::string_body>> parser_;
  boost::beast::http::response<boost::beast::http::string_body> response_;
  std::optional<boost::beast::http::response_serializer<boost::beast::http::string_body>> serializer_;
  unsigned version_ = 11;    // Of the request being answered.
  bool head_ = false;        // It was a HEAD: the body stays here.
  bool keep_alive_ = false;  // Another request may follow it.
  bool closed_ = false;
};

}  // namespace keel::server
