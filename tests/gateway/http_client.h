#pragma once

// A blocking HTTP/1.1 client of one connection, which can also read an answer line by line while it comes.

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/url.h"

namespace keel::server {

struct Answer {
  unsigned status = 0;
  std::string body;
  boost::beast::http::fields headers;

  nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, /*allow_exceptions=*/false); }
};

// What fails on the way (a connection that is closed) shows as status 0 or as no line.
class HttpClient {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  explicit HttpClient(const Url& url) : socket_(context_) {
    boost::system::error_code error;
    socket_.connect({boost::asio::ip::make_address(url.host == "localhost" ? "127.0.0.1" : url.host), url.port}, error);
  }

  // A whole exchange; the connection stays open if the server lets it.
  Answer Call(const std::string& method, const std::string& path, const std::string& body = "",
              const Headers& headers = {}) {
    Send(method, path, body, headers);
    boost::system::error_code error;
    boost::beast::http::response_parser<boost::beast::http::string_body> parser;
    parser.body_limit(1u << 30);
    if (method == "HEAD") parser.skip(true);
    boost::beast::http::read(socket_, buffer_, parser, error);
    if (error) return {};
    auto message = parser.release();
    return {.status = message.result_int(), .body = message.body(), .headers = message};
  }
  Answer Post(const std::string& path, const std::string& body, const Headers& headers = {}) {
    return Call("POST", path, body, headers);
  }

  // Sends a request whose answer is then read with NextLine().
  void Send(const std::string& method, const std::string& path, const std::string& body, const Headers& headers = {}) {
    boost::beast::http::request<boost::beast::http::string_body> request;
    request.method_string(method);
    request.target(path);
    request.version(11);
    request.set("Host", "keel");
    for (const auto& [name, value] : headers) {
      if (name == "Host") request.erase(name);
      request.insert(name, value);
    }
    request.body() = body;
    request.prepare_payload();
    boost::system::error_code error;
    boost::beast::http::write(socket_, request, error);
    stream_.emplace();
    // Piece by piece: eager, it would wait for the head of the next chunk before it shows this one.
    stream_->eager(false);
    stream_->body_limit(1u << 30);
    taken_ = 0;
  }
  void Open(const std::string& path, const std::string& body, const Headers& headers = {}) {
    Send("POST", path, body, headers);
  }
  // Without its newline; nothing when the answer has ended. Waits.
  std::optional<std::string> NextLine() {
    while (true) {
      const std::string& body = stream_->get().body();
      if (const size_t end = body.find('\n', taken_); end != std::string::npos) {
        std::string line = body.substr(taken_, end - taken_);
        taken_ = end + 1;
        return line;
      }
      if (stream_->is_done()) return std::nullopt;
      boost::system::error_code error;
      boost::beast::http::read_some(socket_, buffer_, *stream_, error);
      if (error) return std::nullopt;
    }
  }
  nlohmann::json NextJson() {
    return nlohmann::json::parse(NextLine().value_or(""), nullptr, /*allow_exceptions=*/false);
  }
  unsigned stream_status() const { return stream_->get().result_int(); }

  boost::asio::ip::tcp::socket& socket() { return socket_; }

 private:
  boost::asio::io_context context_;
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
  std::optional<boost::beast::http::response_parser<boost::beast::http::string_body>> stream_;
  size_t taken_ = 0;
};

}  // namespace keel::server
