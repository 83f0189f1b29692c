#include "tools/local_cluster/free_port.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <random>
#include <string>

#include "absl/strings/str_cat.h"

namespace keel::tools {
namespace {

// Linux gives 32768 and more to outgoing connections.
constexpr int kFirst = 10000;
constexpr int kLast = 32767;
constexpr int kAttempts = 1000;

// A name in the abstract namespace of Unix sockets has one owner, until that process ends. The socket stays open.
bool Claim(int port) {
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  const std::string name = absl::StrCat("keel-free-port-", port);
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  memcpy(address.sun_path + 1, name.data(), name.size());
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0) return true;
  close(fd);
  return false;
}

bool NobodyListens(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool is_free = bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  close(fd);
  return is_free;
}

}  // namespace

absl::StatusOr<int> FreePort() {
  std::random_device random;
  std::uniform_int_distribution<int> ports(kFirst, kLast);
  for (int i = 0; i < kAttempts; ++i) {
    const int port = ports(random);
    if (NobodyListens(port) && Claim(port)) return port;
  }
  return absl::UnavailableError(absl::StrCat("no free TCP port of 127.0.0.1 between ", kFirst, " and ", kLast, " in ",
                                             kAttempts, " attempts: ", strerror(errno)));
}

}  // namespace keel::tools
