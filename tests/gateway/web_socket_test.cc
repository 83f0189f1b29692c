// Streams as pages in a browser use them: requests as they go, lines back, over one WebSocket.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket.hpp>

#include "tests/gateway/gateway_fixture.h"

namespace keel::server {
namespace {

namespace websocket = boost::beast::websocket;

// Blocking. What fails on the way shows as no message.
class WebSocketClient {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  WebSocketClient(const Url& url, const std::string& path, const Headers& headers = {}) : stream_(context_) {
    boost::system::error_code error;
    stream_.next_layer().connect({boost::asio::ip::make_address(url.host), url.port}, error);
    stream_.set_option(websocket::stream_base::decorator([&](websocket::request_type& head) {
      for (const auto& [name, value] : headers) head.set(name, value);
    }));
    stream_.handshake(answer_, "keel", path, error_);
  }

  // Of the handshake.
  unsigned status() const { return answer_.result_int(); }
  std::string header(const std::string& name) const { return std::string(answer_[name]); }

  void Send(const json& request) { SendText(request.dump()); }
  void SendText(const std::string& text) { stream_.write(boost::asio::buffer(text), error_); }
  // Waits. Null when the other side has closed; then `closed_with()` says how.
  json Next() {
    boost::beast::flat_buffer buffer;
    stream_.read(buffer, error_);
    if (error_) return {};
    return json::parse(boost::beast::buffers_to_string(buffer.data()), nullptr, /*allow_exceptions=*/false);
  }
  bool ended() const { return error_.failed(); }
  unsigned closed_with() const { return stream_.reason().code; }
  void Close() { stream_.close(websocket::close_code::normal, error_); }

 private:
  boost::asio::io_context context_;
  websocket::stream<boost::asio::ip::tcp::socket> stream_;
  websocket::response_type answer_;
  boost::system::error_code error_;
};

class WebSocketTest : public GatewayTest {
 protected:
  double Metric(const std::string& name) {
    const std::string metrics = "\n" + client_->Call("GET", "/metrics").body;
    const size_t at = metrics.find(absl::StrCat("\n", name, " "));
    return at == std::string::npos ? 0 : std::strtod(metrics.c_str() + at + name.size() + 2, nullptr);
  }
  static json WatchOf(const std::string& key) { return {{"create_request", {{"key", Base64(key)}}}}; }
};

TEST_F(WebSocketTest, AWatchTakesRequestsAsTheyComeAndTellsEvents) {
  WebSocketClient socket(url_, "/v3/watch");
  ASSERT_EQ(socket.status(), 101u);
  socket.Send(WatchOf("a"));
  EXPECT_EQ(socket.Next()["result"]["created"], true);
  Put("a", "1");
  EXPECT_EQ(socket.Next()["result"]["events"][0]["kv"]["value"], Base64("1"));
  // Another watch on the same socket, long after the first request.
  socket.Send(WatchOf("b"));
  const json created = socket.Next()["result"];
  EXPECT_EQ(created["created"], true);
  EXPECT_EQ(created["watch_id"], "1");
  Put("b", "2");
  EXPECT_EQ(socket.Next()["result"]["events"][0]["kv"]["key"], Base64("b"));
  socket.Send({{"cancel_request", {{"watch_id", "1"}}}});
  EXPECT_EQ(socket.Next()["result"]["canceled"], true);
  socket.Close();
}

TEST_F(WebSocketTest, ALeaseIsKeptAliveRequestByRequest) {
  Ask("/v3/lease/grant", {{"ID", "7"}, {"TTL", 60}});
  WebSocketClient socket(url_, "/v3/lease/keepalive");
  for (int i = 0; i < 3; ++i) {
    socket.Send({{"ID", "7"}});
    EXPECT_EQ(socket.Next()["result"]["TTL"], "60");
  }
}

TEST_F(WebSocketTest, AStreamOfAnswersTakesOneRequestAndEnds) {
  WebSocketClient socket(url_, "/v3/maintenance/snapshot");
  socket.Send(json::object());
  socket.Send(json::object());  // Nobody asked for it.
  int pieces = 0;
  for (json piece = socket.Next(); !piece.is_null(); piece = socket.Next()) {
    EXPECT_TRUE(piece["result"].contains("blob"));
    ++pieces;
  }
  EXPECT_GT(pieces, 0);
  EXPECT_EQ(socket.closed_with(), websocket::close_code::normal);
}

TEST_F(WebSocketTest, ACallWithOneAnswerHasOneMessage) {
  WebSocketClient socket(url_, "/v3/kv/put");
  socket.Send({{"key", Base64("a")}, {"value", Base64("1")}});
  EXPECT_EQ(socket.Next()["header"]["revision"], "2");
  EXPECT_TRUE(socket.Next().is_null());
  EXPECT_EQ(socket.closed_with(), websocket::close_code::normal);
}

TEST_F(WebSocketTest, ErrorsAreMessages) {
  WebSocketClient refused(url_, "/v3/watch");
  refused.SendText("{nonsense");
  EXPECT_EQ(refused.Next()["code"], 3);
  EXPECT_TRUE(refused.Next().is_null());
  WebSocketClient missing(url_, "/v3/no/such/path");
  missing.Send(json::object());
  EXPECT_EQ(missing.Next()["code"], 5);
}

TEST_F(WebSocketTest, AMessageThatIsTooLargeIsRefusedAndTheClientTold) {
  WebSocketClient socket(url_, "/v3/kv/put");
  socket.SendText(std::string(8u << 20, ' '));
  socket.Next();
  EXPECT_TRUE(socket.ended());
  Put("still", "here");
}

TEST_F(WebSocketTest, ATokenComesAsAProtocol) {
  WebSocketClient socket(url_, "/v3/watch", {{"Sec-WebSocket-Protocol", "Bearer, secret"}});
  ASSERT_EQ(socket.status(), 101u);
  EXPECT_EQ(socket.header("Sec-WebSocket-Protocol"), "Bearer");
  socket.Send(WatchOf("a"));
  EXPECT_EQ(socket.Next()["result"]["created"], true);
}

TEST_F(WebSocketTest, AClientThatGoesEndsItsWatch) {
  const double before = Metric("etcd_debugging_mvcc_watch_stream_total");
  for (int round = 0; round < 6; ++round) {
    {
      WebSocketClient socket(url_, "/v3/watch");
      socket.Send(WatchOf("a"));
      EXPECT_EQ(socket.Next()["result"]["created"], true);
      EXPECT_TRUE(Eventually([&] { return Metric("etcd_debugging_mvcc_watch_stream_total") == before + 1; }));
      if (round % 2 == 0) socket.Close();
    }
    EXPECT_TRUE(Eventually([&] { return Metric("etcd_debugging_mvcc_watch_stream_total") == before; }));
  }
}

TEST_F(WebSocketTest, OpenOnesDoNotKeepTheMemberFromStopping) {
  WebSocketClient silent(url_, "/v3/watch");
  WebSocketClient watching(url_, "/v3/watch");
  watching.Send(WatchOf("a"));
  EXPECT_EQ(watching.Next()["result"]["created"], true);
  server_->Stop();
  watching.Next();
  EXPECT_TRUE(watching.ended());
}

TEST_F(WebSocketTest, OtherPathsAreNone) {
  WebSocketClient socket(url_, "/version");
  EXPECT_EQ(socket.status(), 200u);
}

}  // namespace
}  // namespace keel::server
