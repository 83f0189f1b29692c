#include "server/peer/peer_listener.h"

#include <netdb.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

// An open descriptor.
class Socket {
 public:
  explicit Socket(int domain) : fd_(socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0)) {}
  ~Socket() {
    if (fd_ >= 0) close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

// As other servers of this protocol word it: no capital.
std::string ErrnoText(int error) {
  std::string text = std::strerror(error);
  if (!text.empty() && text[0] >= 'A' && text[0] <= 'Z') text[0] = static_cast<char>(text[0] - 'A' + 'a');
  return text;
}

absl::Status ProbeUnix(const Url& url) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (url.path.size() >= sizeof address.sun_path) {
    return absl::InvalidArgumentError(absl::StrCat("listen unix ", url.path, ": path too long"));
  }
  std::memcpy(address.sun_path, url.path.data(), url.path.size());
  const Socket socket(AF_UNIX);
  // Somebody who answers owns it; a file left by a dead process does not matter.
  if (connect(socket.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return absl::UnavailableError(absl::StrCat("listen unix ", url.path, ": bind: ", ErrnoText(EADDRINUSE)));
  }
  return absl::OkStatus();
}

absl::Status ProbeTcp(const Url& url) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int failed =
      getaddrinfo(url.host.empty() ? nullptr : url.host.c_str(), std::to_string(url.port).c_str(), &hints, &found);
  if (failed != 0) {
    return absl::UnavailableError(absl::StrCat("listen tcp ", url.Target(), ": lookup: ", gai_strerror(failed)));
  }
  absl::Status status = absl::OkStatus();
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    const Socket socket(address->ai_family);
    if (socket.fd() < 0) continue;  // The machine lacks this family.
    const int on = 1;
    setsockopt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address->ai_family == AF_INET6) setsockopt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    // Two sockets may share a bound address until one listens, hence the listen.
    const char* step = "bind";
    int error = 0;
    if (bind(socket.fd(), address->ai_addr, address->ai_addrlen) != 0) {
      error = errno;
    } else if (listen(socket.fd(), 1) != 0) {
      step = "listen";
      error = errno;
    }
    if (error != 0) {
      status.Update(
          absl::UnavailableError(absl::StrCat("listen tcp ", url.Target(), ": ", step, ": ", ErrnoText(error))));
    }
  }
  freeaddrinfo(found);
  return status;
}

}  // namespace

absl::Status ProbeListenAddress(const Url& url) { return url.is_unix() ? ProbeUnix(url) : ProbeTcp(url); }

}  // namespace keel::server
