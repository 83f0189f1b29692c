#include "tests/contract/tcp_proxy.h"

#include <array>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/notification.h"

namespace keel::contract {

using boost::asio::ip::tcp;
using boost::system::error_code;

namespace {

tcp::endpoint Parse(const std::string& address) {
  const std::vector<std::string> parts = absl::StrSplit(address, ':');
  return {boost::asio::ip::make_address(parts.at(0)), static_cast<unsigned short>(std::stoi(parts.at(1)))};
}

}  // namespace

struct TcpProxy::Link {
  explicit Link(boost::asio::io_context& context) : client(context), server(context) {}
  tcp::socket client;
  tcp::socket server;
  std::array<std::array<char, 16384>, 2> buffers;
};

TcpProxy::TcpProxy(const std::string& target)
    : target_(Parse(target)), acceptor_(context_, tcp::endpoint(boost::asio::ip::address_v4::loopback(), 0)) {
  address_ = absl::StrCat("127.0.0.1:", acceptor_.local_endpoint().port());
  Accept();
  thread_ = std::thread([this] { context_.run(); });
}

TcpProxy::~TcpProxy() {
  context_.stop();
  thread_.join();
}

void TcpProxy::Drop() {
  absl::Notification done;
  boost::asio::post(context_, [&] {
    while (!links_.empty()) End(*links_.begin());
    done.Notify();
  });
  done.WaitForNotification();
}

void TcpProxy::Accept() {
  auto link = std::make_shared<Link>(context_);
  acceptor_.async_accept(link->client, [this, link](error_code error) {
    if (error) return;
    link->server.async_connect(target_, [this, link](error_code refused) {
      if (refused) return;  // Nobody is there: the client sees its connection end.
      links_.insert(link);
      Copy(link, true);
      Copy(link, false);
    });
    Accept();
  });
}

void TcpProxy::Copy(std::shared_ptr<Link> link, bool from_client) {
  tcp::socket& from = from_client ? link->client : link->server;
  tcp::socket& to = from_client ? link->server : link->client;
  auto& buffer = link->buffers[from_client];
  from.async_read_some(boost::asio::buffer(buffer), [=, this, &to, &buffer](error_code error, size_t n) {
    if (error) return End(link);
    boost::asio::async_write(to, boost::asio::buffer(buffer, n), [=, this](error_code failed, size_t) {
      if (failed) return End(link);
      Copy(link, from_client);
    });
  });
}

void TcpProxy::End(const std::shared_ptr<Link>& link) {
  const std::shared_ptr<Link> kept = link;  // The caller's may be the one in the set.
  links_.erase(kept);
  error_code ignored;
  kept->client.set_option(tcp::socket::linger(true, 0), ignored);
  kept->client.close(ignored);
  kept->server.close(ignored);
}

}  // namespace keel::contract
