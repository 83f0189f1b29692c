#include "client/src/connect_error.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"
#include "base/url.h"

namespace keel::client {
namespace {

struct Known {
  const char* in_text;
  const char* cause;
};

// The first that occurs counts. The last is what a plain client meets at a server that speaks TLS or HTTP/1.
constexpr Known kKnown[] = {
    {"Connection refused", "connection refused"},
    {"No route to host", "no route to host"},
    {"Network is unreachable", "network is unreachable"},
    {"No such file or directory", "no such socket file"},
    {"Permission denied", "permission denied for the socket file"},
    {"Timeout occurred", "no connection within the dial timeout"},
    {"connection attempt timed out", "no connection within the dial timeout"},
    {"handshaker shutdown", "no connection within the dial timeout"},
    {"Domain name not found", "no such host"},
    {"certificate verify failed", "TLS: the server's certificate is not trusted (certificate verify failed)"},
    {"is not in peer certificate", "TLS: the server's certificate is for another name"},
    {"Hostname Verification Check failed", "TLS: the server's certificate is for another name"},
    {"wrong version number", "TLS: the endpoint does not speak TLS"},
    {"WRONG_VERSION_NUMBER", "TLS: the endpoint does not speak TLS"},
    {"missing selected ALPN property", "TLS: the endpoint does not speak HTTP/2"},
    {"certificate required", "TLS: the server wants a client certificate"},
    {"empty address list", "no address to connect to"},
    {"Failed parsing HTTP/2", "the endpoint does not speak HTTP/2 (does it want https?)"},
};

// Whoever speaks the wrong protocol to a server is hung up on. So is, without another word, a client whose certificate
// is missing or refused: in TLS 1.3 the server looks at it when the client's handshake has ended.
constexpr absl::string_view kHungUp[] = {"Endpoint read failed", "Socket closed", "Connection reset", "Broken pipe"};

bool IsTls(std::string_view endpoint) {
  const absl::StatusOr<Url> url = ParseEndpoint(endpoint);
  return url.ok() && url->is_tls();
}

}  // namespace

std::string ConnectCause(std::string_view endpoint, std::string_view text) {
  for (const Known& known : kKnown) {
    if (text.find(known.in_text) != std::string_view::npos) return known.cause;
  }
  for (const absl::string_view hung_up : kHungUp) {
    if (!absl::StrContains(ToAbsl(text), hung_up)) continue;
    return IsTls(endpoint) ? "TLS: the server closed the connection after the handshake (does it want a client "
                             "certificate, or one of another authority?)"
                           : "the connection was closed at once (does the endpoint want https?)";
  }
  constexpr std::string_view kPreamble = "last error: ";
  const size_t preamble = text.find(kPreamble);
  if (preamble != std::string_view::npos) text.remove_prefix(preamble + kPreamble.size());
  constexpr absl::string_view kResolution = "DNS resolution failed";
  if (absl::StartsWith(ToAbsl(text), kResolution)) {
    const size_t reason = text.rfind(": ");
    return absl::StrCat("its host name cannot be resolved", reason == std::string_view::npos ? "" : ": ",
                        reason == std::string_view::npos ? "" : ToAbsl(text.substr(reason + 2)));
  }
  return std::string(text);
}

std::string NameStranger(std::string_view endpoint, std::string_view text) {
  constexpr absl::string_view kHttpStatus = "Received http2 header with status: ";
  if (!absl::StartsWith(ToAbsl(text), kHttpStatus)) return std::string(text);
  return absl::StrCat("endpoint ", ToAbsl(endpoint), ": this is no Keel or etcd server: it answers with HTTP status ",
                      ToAbsl(text.substr(kHttpStatus.size())));
}

}  // namespace keel::client
