#include "server/net/listen_socket.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

constexpr int kBacklog = 4096;

// "Address already in use" in the spelling that logs of such stores have.
std::string ErrnoText(int error) {
  std::string text = std::strerror(error);
  if (!text.empty()) text[0] = absl::ascii_tolower(text[0]);
  return text;
}

absl::Status Failed(const Url& url, const char* step, int error) {
  return absl::UnavailableError(absl::StrCat("listen ", url.is_unix() ? "unix " : "tcp ",
                                             url.is_unix() ? url.path : url.Target(), ": ", step, ": ",
                                             ErrnoText(error)));
}

// localhost is 127.0.0.1 whatever the resolver prefers: that is where clients told "localhost:2379" look first.
absl::StatusOr<std::pair<sockaddr_storage, socklen_t>> TcpAddress(const Url& url) {
  sockaddr_storage storage{};
  const std::string host = url.host == "localhost" ? "127.0.0.1" : url.host;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&storage);
  if (inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(url.port);
    return std::pair(storage, static_cast<socklen_t>(sizeof(sockaddr_in)));
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&storage);
  if (inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(url.port);
    return std::pair(storage, static_cast<socklen_t>(sizeof(sockaddr_in6)));
  }
  return absl::InvalidArgumentError(absl::StrCat("expected IP in URL for binding (", url.ToString(), ")"));
}

uint16_t BoundPort(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &size) != 0) return 0;
  return ntohs(storage.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&storage)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&storage)->sin_port);
}

absl::StatusOr<ListenSocket> OpenTcp(const Url& url) {
  const auto address = TcpAddress(url);
  if (!address.ok()) return address.status();
  const auto& [storage, size] = *address;
  const int fd = socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Failed(url, "socket", errno);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);  // A restart must not wait for old connections to fade.
  if (bind(fd, reinterpret_cast<const sockaddr*>(&storage), size) != 0 || listen(fd, kBacklog) != 0) {
    const int error = errno;
    close(fd);
    return Failed(url, "bind", error);
  }
  ListenSocket listening{.fd = fd, .url = url};
  listening.url.port = BoundPort(fd);
  return listening;
}

absl::StatusOr<ListenSocket> OpenUnix(const Url& url) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (url.path.size() >= sizeof address.sun_path) return Failed(url, "bind", ENAMETOOLONG);
  std::memcpy(address.sun_path, url.path.c_str(), url.path.size() + 1);
  const auto* const sockaddr_of = reinterpret_cast<const sockaddr*>(&address);

  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return Failed(url, "socket", errno);
  const bool alive = connect(probe, sockaddr_of, sizeof address) == 0;
  const bool left_behind = !alive && errno == ECONNREFUSED;
  close(probe);
  if (alive) return Failed(url, "bind", EADDRINUSE);
  if (left_behind) unlink(url.path.c_str());

  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Failed(url, "socket", errno);
  if (bind(fd, sockaddr_of, sizeof address) != 0 || listen(fd, kBacklog) != 0) {
    const int error = errno;
    close(fd);
    return Failed(url, "bind", error);
  }
  return ListenSocket{.fd = fd, .url = url};
}

}  // namespace

absl::StatusOr<ListenSocket> OpenListenSocket(const Url& url) { return url.is_unix() ? OpenUnix(url) : OpenTcp(url); }

}  // namespace keel::server
