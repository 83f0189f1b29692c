#include "tests/server/member_fixture.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/string_view.h"
#include "tools/local_cluster/free_port.h"

namespace keel::server {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

sockaddr_in Loopback(uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

}  // namespace

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "keel-server-XXXXXX").string();
  KEEL_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

uint16_t FreePort() {
  const absl::StatusOr<int> port = tools::FreePort();
  KEEL_CHECK(port.ok()) << port.status();
  return static_cast<uint16_t>(*port);
}

Config OneMember(const std::string& dir) {
  Config config;
  config.name = "n1";
  config.data_dir = dir + "/n1";
  config.listen_client_urls = {Url{.host = "127.0.0.1", .port = FreePort()}};
  config.advertise_client_urls = config.listen_client_urls;
  config.listen_peer_urls = {Url{.host = "127.0.0.1", .port = FreePort()}};
  config.initial_advertise_peer_urls = config.listen_peer_urls;
  config.initial_cluster = {{.name = "n1", .peer_urls = config.listen_peer_urls}};
  config.heartbeat_ms = 20;
  config.election_ms = 100;
  return config;
}

HttpAnswer HttpCall(const Url& url, std::string_view method, std::string_view target) {
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  const sockaddr_in address = Loopback(url.port);
  std::string text;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    const std::string request =
        absl::StrCat(ToAbsl(method), " ", ToAbsl(target), " HTTP/1.1\r\nHost: keel\r\nConnection: close\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
      char chunk[16384];
      ssize_t n;
      while ((n = recv(fd, chunk, sizeof chunk, 0)) > 0) text.append(chunk, static_cast<size_t>(n));
    }
  }
  close(fd);
  HttpAnswer answer;
  std::sscanf(text.c_str(), "HTTP/1.1 %d", &answer.status);
  const size_t end = text.find("\r\n\r\n");
  if (end == std::string::npos) return answer;
  answer.headers = text.substr(0, end + 2);
  answer.body = text.substr(end + 4);
  return answer;
}

bool Eventually(const std::function<bool()>& holds) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (!holds()) {
    if (absl::Now() > deadline) return false;
    absl::SleepFor(absl::Milliseconds(5));  // Between two looks at something that tells nobody when it changes.
  }
  return true;
}

}  // namespace keel::server
