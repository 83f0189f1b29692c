#include "server/net/acceptor.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"

namespace keel::server {
namespace {

constexpr auto kAcceptPause = std::chrono::milliseconds(100);
constexpr auto kBetweenWarnings = std::chrono::seconds(10);

int DescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 1 << 30) return 1 << 30;
  return static_cast<int>(limit.rlim_cur);
}

int FamilyOf(int fd) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  return address.ss_family;
}

}  // namespace

Acceptor::Acceptor(boost::asio::io_context& context, const ListenSocket& socket, Options options,
                   std::function<void(int fd, int family)> accepted)
    : url_(socket.url),
      options_(std::move(options)),
      descriptor_(context, socket.fd),
      pause_(context),
      accepted_(std::move(accepted)),
      family_(FamilyOf(socket.fd)),
      descriptor_limit_(DescriptorLimit() - options_.descriptors_kept_for_else) {}

Acceptor::~Acceptor() {
  if (url_.is_unix()) unlink(url_.path.c_str());
}

void Acceptor::Accept() {
  descriptor_.async_wait(boost::asio::posix::stream_descriptor::wait_read, [this](boost::system::error_code error) {
    if (error) return;  // Closed.
    AcceptAllWaiting();
  });
}

void Acceptor::Close() {
  boost::system::error_code ignored;
  descriptor_.close(ignored);
  pause_.cancel();
}

void Acceptor::AcceptAllWaiting() {
  while (true) {
    const int fd = accept4(descriptor_.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd >= 0) {
      // Descriptors are given out lowest first, so a high one means that few are left.
      if (fd >= descriptor_limit_) {
        close(fd);
        WarnOfShortage();
      } else {
        accepted_(fd, family_);
      }
      continue;
    }
    if (errno == EAGAIN || errno == EWOULDBLOCK) return Accept();
    if (errno == EINTR || errno == ECONNABORTED) continue;
    // Out of descriptors or memory: the connection stays in the backlog; try again a little later.
    WarnOfShortage();
    pause_.expires_after(kAcceptPause);
    pause_.async_wait([this](boost::system::error_code error) {
      if (!error) Accept();
    });
    return;
  }
}

void Acceptor::WarnOfShortage() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_warning_) return;
  next_warning_ = now + kBetweenWarnings;
  KEEL_LOG_WARN(
      absl::StrCat("rejected connection on ", options_.endpoint, " endpoint"),
      {{"address", url_.ToString()}, {"error", "too few file descriptors left; raise the limit (ulimit -n)"}});
}

}  // namespace keel::server
