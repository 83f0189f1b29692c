#include "server/peer/peer_probe.h"

#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "absl/time/clock.h"

namespace keel::server {
namespace {

// While a process ends, its listening socket may outlive a connection for a moment.
constexpr absl::Duration kPatience = absl::Milliseconds(300);
constexpr absl::Duration kBetweenAttempts = absl::Milliseconds(2);
constexpr size_t kQuestionsMax = 64;

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int fd() const { return fd_; }

 private:
  const int fd_;
};

bool AwaitEvents(int fd, short events, absl::Time deadline) {
  pollfd waiting{.fd = fd, .events = events, .revents = 0};
  const auto left = absl::ToInt64Milliseconds(deadline - absl::Now());
  return poll(&waiting, 1, static_cast<int>(std::max<int64_t>(left, 0))) == 1;
}

// One attempt. kUnknown also when the connection came about and was closed again at once: ask again.
Liveness Connect(const sockaddr* address, socklen_t size, absl::Time deadline) {
  const Descriptor fd(socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (fd.fd() < 0) return Liveness::kUnknown;
  int error = connect(fd.fd(), address, size) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (!AwaitEvents(fd.fd(), POLLOUT, deadline)) return Liveness::kUnknown;
    socklen_t length = sizeof error;
    if (getsockopt(fd.fd(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) return Liveness::kUnknown;
  }
  if (error == ECONNREFUSED || error == ENOENT) return Liveness::kEnded;
  if (error != 0) return Liveness::kUnknown;
  // A living peer speaks first (the settings of HTTP/2), or at least stays.
  if (!AwaitEvents(fd.fd(), POLLIN, deadline)) return Liveness::kAlive;
  char byte;
  return recv(fd.fd(), &byte, 1, MSG_DONTWAIT) > 0 ? Liveness::kAlive : Liveness::kUnknown;
}

Liveness ConnectUnix(const Url& url, absl::Time deadline) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (url.path.size() >= sizeof address.sun_path) return Liveness::kUnknown;
  std::memcpy(address.sun_path, url.path.data(), url.path.size());
  return Connect(reinterpret_cast<const sockaddr*>(&address), sizeof address, deadline);
}

// Every address of the name has to say the same.
Liveness ConnectTcp(const Url& url, absl::Time deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(url.host.c_str(), std::to_string(url.port).c_str(), &hints, &found) != 0) return Liveness::kUnknown;
  Liveness all = Liveness::kUnknown;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    all = Connect(address->ai_addr, address->ai_addrlen, deadline);
    if (all != Liveness::kEnded) break;
  }
  freeaddrinfo(found);
  return all;
}

}  // namespace

Liveness ProbeAddress(const Url& url, absl::Duration patience) {
  const absl::Time deadline = absl::Now() + patience;
  while (true) {
    const Liveness liveness = url.is_unix() ? ConnectUnix(url, deadline) : ConnectTcp(url, deadline);
    if (liveness != Liveness::kUnknown || absl::Now() + kBetweenAttempts >= deadline) return liveness;
    absl::SleepFor(kBetweenAttempts);
  }
}

Liveness ProbePeer(const std::vector<Url>& urls, absl::Duration patience) {
  for (const Url& url : urls) {
    const Liveness liveness = ProbeAddress(url, patience);
    if (liveness != Liveness::kEnded) return liveness;
  }
  return urls.empty() ? Liveness::kUnknown : Liveness::kEnded;
}

PeerProbe::PeerProbe() : thread_([this] { Run(); }) {}

void PeerProbe::Ask(std::vector<Url> urls, std::function<void()> ended) {
  absl::MutexLock lock(&mu_);
  if (stopping_ || questions_.size() >= kQuestionsMax) return;
  questions_.push_back({std::move(urls), std::move(ended)});
}

void PeerProbe::Run() {
  while (true) {
    Question question;
    {
      absl::MutexLock lock(&mu_);
      auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !questions_.empty(); };
      mu_.Await(absl::Condition(&ready));
      if (stopping_) return;
      question = std::move(questions_.front());
      questions_.pop_front();
    }
    if (ProbePeer(question.urls, kPatience) == Liveness::kEnded) question.ended();
  }
}

void PeerProbe::Stop() {
  {
    absl::MutexLock lock(&mu_);
    stopping_ = true;
  }
  if (thread_.joinable()) thread_.join();
}

}  // namespace keel::server
