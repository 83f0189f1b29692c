#include "tests/client/recipe_test_base.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"

namespace keel::testing {

std::unique_ptr<Client> Connect(const std::vector<std::string>& endpoints) {
  auto client = Client::Create({.endpoints = endpoints});
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

std::unique_ptr<Session> Open(Client& client, absl::Duration ttl) {
  auto session = Session::Open(client, {.ttl = ttl});
  EXPECT_TRUE(session.ok()) << session.status();
  return *std::move(session);
}

absl::Time Soon() { return absl::Now() + absl::Seconds(60); }
absl::Time AtOnce() { return absl::Now() + absl::Milliseconds(300); }

void AwaitKeys(Client& client, const std::string& prefix, int64_t count) {
  const absl::Time deadline = Soon();
  while (absl::Now() < deadline) {
    const auto keys = client.kv().Get(prefix, {.prefix = true, .count_only = true});
    if (keys.ok() && keys->count == count) return;
    absl::SleepFor(absl::Milliseconds(5));
  }
  ADD_FAILURE() << "not " << count << " but " << CountKeys(client, prefix) << " keys at " << prefix;
}

int64_t CountKeys(Client& client, const std::string& prefix) {
  const auto keys = client.kv().Get(prefix, {.prefix = true, .count_only = true});
  EXPECT_TRUE(keys.ok()) << keys.status();
  return keys.ok() ? keys->count : -1;
}

std::string ValueAt(Client& client, const std::string& key) {
  const auto got = client.kv().Get(key);
  EXPECT_TRUE(got.ok()) << got.status();
  return got.ok() && !got->kvs.empty() ? got->kvs[0].value : "(none)";
}

int64_t EventsSent(const std::string& endpoint) {
  const std::vector<std::string> parts = absl::StrSplit(endpoint, ':');
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(parts.at(1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string request =
        absl::StrCat("GET /metrics HTTP/1.1\r\nHost: ", endpoint, "\r\nConnection: close\r\n\r\n");
    if (send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
      char buffer[65536];
      ssize_t n;
      while ((n = read(fd, buffer, sizeof buffer)) > 0) answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  const std::string name = "\netcd_debugging_mvcc_events_total ";
  const size_t at = answer.find(name);
  double sent = -1;
  if (at != std::string::npos) {
    const size_t begin = at + name.size();
    EXPECT_TRUE(absl::SimpleAtod(answer.substr(begin, answer.find_first_of("\r\n", begin) - begin), &sent));
  }
  EXPECT_GE(sent, 0) << "no count of events in the metrics of " << endpoint;
  return static_cast<int64_t>(sent);
}

}  // namespace keel::testing
