#pragma once

// Stands between a client and a server of this machine, and breaks their connections when it is told to.

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <set>
#include <string>
#include <thread>

namespace keel::contract {

// Thread-safe. The destructor ends every connection and joins its thread.
class TcpProxy {
 public:
  explicit TcpProxy(const std::string& target);  // "127.0.0.1:port"
  ~TcpProxy();
  TcpProxy(const TcpProxy&) = delete;
  TcpProxy& operator=(const TcpProxy&) = delete;

  const std::string& address() const { return address_; }
  // Resets every connection there is; new ones are let through. Returns when it is done.
  void Drop();

 private:
  struct Link;

  void Accept();
  void Copy(std::shared_ptr<Link> link, bool from_client);
  void End(const std::shared_ptr<Link>& link);

  boost::asio::io_context context_;
  const boost::asio::ip::tcp::endpoint target_;
  boost::asio::ip::tcp::acceptor acceptor_;
  std::string address_;
  std::set<std::shared_ptr<Link>> links_;  // Owned by the thread.
  std::thread thread_;
};

}  // namespace keel::contract
