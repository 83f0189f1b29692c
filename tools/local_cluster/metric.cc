#include "tools/local_cluster/metric.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::tools {
namespace {

absl::StatusOr<std::string> ReadPage(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) ||
      inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    return absl::UnavailableError(absl::StrCat("'", endpoint, "' is not an IPv4 address and a port"));
  }
  address.sin_port = htons(static_cast<uint16_t>(port));
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const timeval patience = {.tv_sec = 10, .tv_usec = 0};
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const std::string request =
      absl::StrCat("GET /metrics HTTP/1.1\r\nHost: ", endpoint, "\r\nConnection: close\r\n\r\n");
  std::string answer;
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send(fd, request.data(), request.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(request.size())) {
    char buffer[65536];
    for (ssize_t n; (n = read(fd, buffer, sizeof buffer)) > 0;) answer.append(buffer, static_cast<size_t>(n));
  }
  close(fd);
  if (answer.empty()) return absl::UnavailableError(absl::StrCat("no /metrics at ", endpoint));
  return answer;
}

}  // namespace

absl::StatusOr<double> ReadMetric(const std::string& endpoint, std::string_view name) {
  KEEL_ASSIGN_OR_RETURN(const std::string page, ReadPage(endpoint));
  const std::string line = absl::StrCat("\n", ToAbsl(name), " ");
  const size_t at = page.find(line);
  double value = 0;
  if (at == std::string::npos) {
    return absl::NotFoundError(absl::StrCat("no ", ToAbsl(name), " in the metrics of ", endpoint));
  }
  const size_t begin = at + line.size();
  if (!absl::SimpleAtod(page.substr(begin, page.find_first_of("\r\n", begin) - begin), &value)) {
    return absl::NotFoundError(absl::StrCat(ToAbsl(name), " is not a number in the metrics of ", endpoint));
  }
  return value;
}

}  // namespace keel::tools
