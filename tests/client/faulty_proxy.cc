#include "tests/client/faulty_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "base/check.h"

namespace keel::testing {
namespace {

sockaddr_in Loopback(int port) {
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// A peer that does not read must not hold up the proxy for ever.
void Prepare(int fd) {
  const timeval patience = {.tv_sec = 0, .tv_usec = 500000};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  const int yes = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

// Whether among these HTTP/2 frames, the first of which is whole from its beginning, there is a whole one that ends a
// request or an answer.
bool EndsStream(std::string_view frames) {
  constexpr size_t kFrameHeader = 9;
  constexpr unsigned char kData = 0, kHeaders = 1, kEndStream = 1;
  while (frames.size() >= kFrameHeader) {
    const auto at = [&](size_t i) { return static_cast<unsigned char>(frames[i]); };
    const size_t size = kFrameHeader + (size_t{at(0)} << 16 | size_t{at(1)} << 8 | at(2));
    if (frames.size() < size) return false;
    if ((at(3) == kData || at(3) == kHeaders) && (at(4) & kEndStream) != 0) return true;
    frames.remove_prefix(size);
  }
  return false;
}

}  // namespace

FaultyProxy::FaultyProxy(const std::string& target) : target_port_(std::stoi(target.substr(target.rfind(':') + 1))) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = Loopback(0);
  KEEL_CHECK_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  KEEL_CHECK_EQ(listen(listener_, 64), 0);
  socklen_t size = sizeof address;
  KEEL_CHECK_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size), 0);
  address_ = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  thread_ = std::thread([this] { Run(); });
}

FaultyProxy::~FaultyProxy() {
  stop_ = true;
  thread_.join();
  for (const Link& link : links_) {
    if (link.client >= 0) close(link.client);
    close(link.server);
  }
  close(listener_);
}

void FaultyProxy::DeliverLate() {
  KEEL_CHECK(late_ == Late::kKept) << "no request has been kept back";
  late_ = Late::kDelivering;
  while (late_ != Late::kAnswered) absl::SleepFor(absl::Milliseconds(1));
}

void FaultyProxy::Run() {
  while (!stop_) {
    const Mode mode = mode_;
    std::vector<pollfd> fds = {{.fd = listener_, .events = POLLIN, .revents = 0}};
    std::vector<std::list<Link>::iterator> of;
    if (mode != Mode::kCut) {
      for (auto link = links_.begin(); link != links_.end(); ++link) {
        fds.push_back({.fd = link->client, .events = POLLIN, .revents = 0});
        fds.push_back({.fd = link->server, .events = POLLIN, .revents = 0});
        of.push_back(link);
      }
    }
    if (poll(fds.data(), fds.size(), 10) < 0) continue;
    if (fds[0].revents != 0) Accept();
    for (size_t i = 0; i < of.size(); ++i) {
      Link& link = *of[i];
      if (link.client < 0) {
        if (ServeLate(link, fds[2 + 2 * i].revents != 0)) continue;
        close(link.server);
        links_.erase(of[i]);
        continue;
      }
      bool alive = !(link.has_lost && mode == Mode::kPass);
      if (alive && fds[1 + 2 * i].revents != 0) {
        alive = keep_back_ ? KeepBack(link) : Copy(link.client, link.server, false);
        if (alive && link.client < 0) continue;  // What the server has sent is for nobody.
      }
      if (alive && fds[2 + 2 * i].revents != 0) {
        const bool lose = mode == Mode::kLoseReplies;
        link.has_lost = link.has_lost || lose;
        alive = Copy(link.server, link.client, lose);
      }
      if (alive) continue;
      if (link.client >= 0) close(link.client);
      close(link.server);
      links_.erase(of[i]);
    }
  }
}

bool FaultyProxy::KeepBack(Link& link) {
  char buffer[65536];
  const ssize_t n = recv(link.client, buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  link.late.append(buffer, static_cast<size_t>(n));
  if (EndsStream(link.late)) {
    close(std::exchange(link.client, -1));
    keep_back_ = false;
    late_ = Late::kKept;
  }
  return true;
}

bool FaultyProxy::ServeLate(Link& link, bool is_readable) {
  if (late_ == Late::kDelivering && !link.late.empty()) {
    KEEL_CHECK_EQ(send(link.server, link.late.data(), link.late.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(link.late.size()));
    link.late.clear();
    return true;
  }
  if (!is_readable) return true;
  char buffer[65536];
  const ssize_t n = recv(link.server, buffer, sizeof buffer, 0);
  KEEL_CHECK(n > 0 || late_ != Late::kDelivering) << "the server has closed the connection of the late request";
  if (n <= 0) return false;
  link.answer.append(buffer, static_cast<size_t>(n));
  if (late_ != Late::kDelivering || !EndsStream(link.answer)) return true;
  late_ = Late::kAnswered;
  return false;
}

void FaultyProxy::Accept() {
  const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
  if (client < 0) return;
  const int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = Loopback(target_port_);
  if (connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(server);
    close(client);
    return;
  }
  Prepare(client);
  Prepare(server);
  links_.push_back({.client = client, .server = server});
}

bool FaultyProxy::Copy(int from, int to, bool drop) {
  char buffer[65536];
  const ssize_t n = recv(from, buffer, sizeof buffer, 0);
  if (n <= 0) return false;
  if (drop) return true;
  for (ssize_t sent = 0; sent < n;) {
    const ssize_t part = send(to, buffer + sent, static_cast<size_t>(n - sent), MSG_NOSIGNAL);
    if (part <= 0) return false;
    sent += part;
  }
  return true;
}

}  // namespace keel::testing
