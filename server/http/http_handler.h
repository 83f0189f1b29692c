#pragma once

// The plain HTTP side of the client port and of the metrics port: /health, /livez, /readyz, /version, /metrics
// (operations.md section 2). The JSON gateway takes its place here later.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "server/member.h"

namespace keel::server {

struct HttpRequest {
  std::string method;
  std::string path;   // Without the query.
  std::string query;  // Without '?'.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
};

enum class HttpScope {
  kClient,   // Everything, with the headers that let browsers in.
  kMetrics,  // /health, /livez, /readyz and /metrics only: what probes and scrapers need.
};

// Thread-safe.
class HttpHandler {
 public:
  static std::unique_ptr<HttpHandler> Create(const Member* member, HttpScope scope = HttpScope::kClient);
  virtual ~HttpHandler() = default;
  // `done` is called once, on any thread.
  virtual void Handle(HttpRequest request, absl::AnyInvocable<void(HttpResponse)> done) = 0;
};

}  // namespace keel::server
