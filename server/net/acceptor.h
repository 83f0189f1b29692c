#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "base/url.h"
#include "server/net/listen_socket.h"

namespace keel::server {

// Accepts the connections of one listening socket for as long as it is open. When few file descriptors are left to the
// process, new connections are closed at once, so that what matters more can always open its own.
//
// Lives on the thread of its context once Accept() has been called.
class Acceptor {
 public:
  struct Options {
    std::string endpoint;               // "client", "peer"; for the log.
    int descriptors_kept_for_else = 0;  // As many as that must be left.
  };

  // Takes over the socket. `accepted` gets connections that do not block, and owns them.
  Acceptor(boost::asio::io_context& context, const ListenSocket& socket, Options options,
           std::function<void(int fd, int family)> accepted);
  // Removes the file of a Unix socket.
  ~Acceptor();

  const Url& url() const { return url_; }

  void Accept();
  void Close();

 private:
  void AcceptAllWaiting();
  void WarnOfShortage();

  const Url url_;
  const Options options_;
  boost::asio::posix::stream_descriptor descriptor_;
  boost::asio::steady_timer pause_;
  const std::function<void(int, int)> accepted_;
  const int family_;
  const int descriptor_limit_;
  std::chrono::steady_clock::time_point next_warning_{};
};

}  // namespace keel::server
