#include "server/http/http_handler.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/version.h"
#include "server/http/health.h"
#include "server/http/query.h"
#include "server/metrics.h"

namespace keel::server {
namespace {

constexpr const char kPlainText[] = "text/plain; charset=utf-8";

HttpResponse Text(int status, std::string body) {
  return {.status = status, .headers = {{"Content-Type", kPlainText}}, .body = std::move(body)};
}

// As Go's http.Error writes them, which scripts compare.
HttpResponse ErrorText(int status, absl::string_view body) {
  HttpResponse response = Text(status, absl::StrCat(body, "\n"));
  response.headers.emplace_back("X-Content-Type-Options", "nosniff");
  return response;
}

HttpResponse MethodNotAllowed() {
  HttpResponse response = Text(405, "Method Not Allowed");
  response.headers.emplace_back("Allow", "GET");
  return response;
}

// The member's name as a client writes it, without the port.
absl::string_view HostNameOf(absl::string_view host) {
  if (absl::StartsWith(host, "[")) return host.substr(0, host.find(']') + 1);
  return host.substr(0, host.find(':'));
}

std::string HeaderOf(const HttpRequest& request, absl::string_view name) {
  for (const auto& [key, value] : request.headers) {
    if (absl::EqualsIgnoreCase(key, name)) return value;
  }
  return "";
}

class AccessRules {
 public:
  explicit AccessRules(HttpAccess access) : access_(std::move(access)) {}

  bool AdmitsHost(absl::string_view host) const { return Admits(access_.hosts, HostNameOf(host)); }
  // What browsers are told whose pages may read the answer; empty: they are told nothing, and so let nobody.
  std::string AllowedOrigin(const HttpRequest& request) const {
    if (Admits(access_.origins, "*")) return "*";
    const std::string origin = HeaderOf(request, "Origin");
    return Admits(access_.origins, origin) ? origin : "";
  }

 private:
  static bool Admits(const std::vector<std::string>& list, absl::string_view who) {
    if (list.empty()) return true;
    return std::any_of(list.begin(), list.end(), [&](const std::string& each) { return each == "*" || each == who; });
  }

  const HttpAccess access_;
};

HttpResponse WithCors(HttpResponse response, const std::string& origin) {
  if (origin.empty()) return response;
  response.headers.emplace_back("Access-Control-Allow-Methods", "POST, GET, OPTIONS, PUT, DELETE");
  response.headers.emplace_back("Access-Control-Allow-Origin", origin);
  response.headers.emplace_back("Access-Control-Allow-Headers", "accept, content-type, authorization");
  return response;
}

using Done = absl::AnyInvocable<void(HttpResponse)>;

class HttpHandlerImpl final : public HttpHandler {
 public:
  HttpHandlerImpl(const Member* member, HttpScope scope, HttpHandler* gateway, HttpAccess access)
      : member_(*member), scope_(scope), gateway_(gateway), access_(std::move(access)), health_(member) {}

  void Handle(HttpRequest request, Done done) override {
    if (scope_ == HttpScope::kClient) {
      if (const std::string host = HeaderOf(request, "Host"); !access_.AdmitsHost(host)) {
        return done(ErrorText(421, absl::StrCat("this member is not known as '", host,
                                                "'; name it in --host-whitelist, or ask under a name that is there")));
      }
      std::string origin = access_.AllowedOrigin(request);
      // Browsers ask for leave before a script may read any other answer, but not for this.
      if (request.input != nullptr && origin.empty() && !HeaderOf(request, "Origin").empty()) {
        return done(ErrorText(403, absl::StrCat("pages of ", HeaderOf(request, "Origin"), " are not in --cors")));
      }
      HandleForClients(std::move(request),
                       [done = std::move(done), origin = std::move(origin)](HttpResponse response) mutable {
                         done(WithCors(std::move(response), origin));
                       });
    } else if (!HandleForMetrics(request, &done)) {
      done(NotFound());
    }
  }

  bool TakesWebSocket(std::string_view path) const override {
    return scope_ == HttpScope::kClient && gateway_ != nullptr && IsGatewayPath(path);
  }

 private:
  void HandleForClients(HttpRequest request, Done done) {
    if (request.method == "OPTIONS") {
      done({.status = 200});
    } else if (request.path == "/version") {
      if (!RefusedMethod(request, &done)) done(Version());
    } else if (gateway_ != nullptr && IsGatewayPath(request.path)) {
      gateway_->Handle(std::move(request), std::move(done));
    } else if (!HandleForMetrics(request, &done)) {
      done(NotFound());
    }
  }

  // False when it is none of these paths; `done` is then untouched.
  bool HandleForMetrics(const HttpRequest& request, Done* done) {
    if (request.path == "/health") {
      if (!RefusedMethod(request, done)) Health(ParseQuery(request.query), std::move(*done));
    } else if (IsProbePath(request.path, "/livez")) {
      Probe(ProbeKind::kLive, request, std::move(*done));
    } else if (IsProbePath(request.path, "/readyz")) {
      Probe(ProbeKind::kReady, request, std::move(*done));
    } else if (request.path == "/metrics") {
      (*done)({.status = 200,
               .headers = {{"Content-Type", "text/plain; version=0.0.4; charset=utf-8"}},
               .body = member_.metrics->Render(member_)});
    } else {
      return false;
    }
    return true;
  }

  static HttpResponse NotFound() { return ErrorText(404, "404 page not found"); }

  static bool RefusedMethod(const HttpRequest& request, Done* done) {
    if (request.method == "GET") return false;
    (*done)(MethodNotAllowed());
    return true;
  }

  static bool IsProbePath(const std::string& path, absl::string_view root) {
    return path == root || (path.size() > root.size() && path.compare(0, root.size(), root.data(), root.size()) == 0 &&
                            path[root.size()] == '/');
  }

  void Health(const Query& query, Done done) {
    health_.Check(query, [this, done = std::move(done)](std::string reason) mutable {
      member_.metrics->HealthChecked(reason.empty());
      if (reason.empty()) {
        done(Text(200, R"({"health":"true","reason":""})"));
      } else {
        done(ErrorText(503, absl::StrCat(R"({"health":"false","reason":")", reason, R"("})")));
      }
    });
  }

  void Probe(ProbeKind kind, const HttpRequest& request, Done done) {
    const absl::string_view root = kind == ProbeKind::kLive ? "/livez" : "/readyz";
    std::vector<ProbeCheck> checks = ChecksOf(kind);
    if (request.path.size() > root.size()) {
      const std::string wanted = request.path.substr(root.size() + 1);
      std::erase_if(checks, [&](ProbeCheck check) { return wanted != NameOf(check); });
      if (checks.empty()) return done(NotFound());
    }
    if (RefusedMethod(request, &done)) return;
    const Query query = ParseQuery(request.query);
    const bool verbose = query.Has("verbose");
    health_.Probe(kind, std::move(checks), query.All("exclude"),
                  [verbose, done = std::move(done)](ProbeResult result) mutable {
                    if (!result.ok) return done(ErrorText(503, result.lines));
                    HttpResponse response = Text(200, verbose ? result.lines + "ok\n" : "ok\n");
                    response.headers.emplace_back("X-Content-Type-Options", "nosniff");
                    done(std::move(response));
                  });
  }

  HttpResponse Version() const {
    // Before its first election a new cluster has agreed on nothing, its version included.
    const bool decided = member_.node->commit().value() > 1;  // 1 is the bootstrap itself.
    return {.status = 200,
            .headers = {{"Content-Type", "application/json"}},
            .body = absl::StrCat(R"({"etcdserver":")", kProtocolVersion, R"(","etcdcluster":")",
                                 decided ? kProtocolClusterVersion : "not_decided", R"(","storage":")",
                                 decided ? kProtocolClusterVersion : "unknown", R"("})")};
  }

  const Member& member_;
  const HttpScope scope_;
  HttpHandler* const gateway_;
  const AccessRules access_;
  HealthChecks health_;
};

}  // namespace

std::unique_ptr<HttpHandler> HttpHandler::Create(const Member* member, HttpScope scope, HttpHandler* gateway,
                                                 HttpAccess access) {
  return std::make_unique<HttpHandlerImpl>(member, scope, gateway, std::move(access));
}

}  // namespace keel::server
