#pragma once

// The plain HTTP side of the client port and of the metrics port: /health, /livez, /readyz, /version, /metrics
// (operations.md section 2), and the way to the JSON gateway.

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "server/member.h"

namespace keel::server {

// Who asked, as far as an answer that takes long needs to know. Thread-safe.
class HttpCaller {
 public:
  // Runs `gone` once when the client has gone, on the thread that notices; at once when it has already. One at a time.
  virtual void OnGone(std::function<void()> gone) = 0;

 protected:
  ~HttpCaller() = default;
};

// An answer that comes in pieces.
class HttpStream {
 public:
  virtual ~HttpStream() = default;
  // `piece` is called once with the next one, on any thread, perhaps before this returns; with nothing at the end. Not
  // to be called again before that. A client that goes is told through HttpCaller.
  virtual void Next(absl::AnyInvocable<void(std::optional<std::string>)> piece) = 0;
};

// What a client sends after the body that its request began with. Thread-safe.
class HttpInput {
 public:
  using Text = absl::AnyInvocable<void(std::optional<std::string>)>;
  virtual ~HttpInput() = default;
  // `text` is called once with the next piece, on any thread; with nothing when none will come. Not to be called again
  // before that.
  virtual void Next(Text text) = 0;
  // Nobody will ask for more.
  virtual void Discard() = 0;
};

struct HttpRequest {
  std::string method;
  std::string path;   // Without the query.
  std::string query;  // Without '?'.
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::shared_ptr<HttpCaller> caller;  // Null: nobody will tell.
  std::shared_ptr<HttpInput> input;    // Null: the body is all.
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::shared_ptr<HttpStream> rest;  // Instead of a body.
};

// Whom the client port's plain HTTP side lets in; "*" among them, or none at all: everybody.
struct HttpAccess {
  std::vector<std::string> origins = {"*"};  // Of pages whose scripts may read answers: "https://host:port".
  // Names in the Host header: a page that makes its own name resolve to this member gets nowhere (DNS rebinding).
  std::vector<std::string> hosts = {"*"};
};

enum class HttpScope {
  kClient,   // Everything, with the headers that let browsers in.
  kMetrics,  // /health, /livez, /readyz and /metrics only: what probes and scrapers need.
};

// Below these are the gateway's paths: "/v3/kv/put", in their old form "/v3beta/kv/put".
inline constexpr std::string_view kGatewayRoot = "/v3/";
inline constexpr std::string_view kOldGatewayRoot = "/v3beta/";
inline bool IsGatewayPath(std::string_view path) {
  return path.starts_with(kGatewayRoot) || path.starts_with(kOldGatewayRoot);
}

// Thread-safe.
class HttpHandler {
 public:
  // `gateway` answers what IsGatewayPath on the client port; null: there is nothing there. Both outlive the handler.
  static std::unique_ptr<HttpHandler> Create(const Member* member, HttpScope scope = HttpScope::kClient,
                                             HttpHandler* gateway = nullptr, HttpAccess access = {});
  virtual ~HttpHandler() = default;
  // `done` is called once, on any thread.
  virtual void Handle(HttpRequest request, absl::AnyInvocable<void(HttpResponse)> done) = 0;
  // Whether a request to this path may come as a WebSocket.
  virtual bool TakesWebSocket(std::string_view /*path*/) const { return false; }
};

}  // namespace keel::server
