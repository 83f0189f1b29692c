#include "base/url.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel {
namespace {

struct SchemeName {
  Url::Scheme scheme;
  const char* name;
};
constexpr SchemeName kSchemes[] = {{Url::Scheme::kHttp, "http"},
                                   {Url::Scheme::kHttps, "https"},
                                   {Url::Scheme::kUnix, "unix"},
                                   {Url::Scheme::kUnixs, "unixs"}};

absl::Status BadUrl(absl::string_view text, absl::string_view why) {
  return absl::InvalidArgumentError(absl::StrCat("URL '", text, "' ", why));
}

std::string HostPort(const Url& url) {
  const bool is_v6 = url.host.find(':') != std::string::npos;
  return is_v6 ? absl::StrCat("[", url.host, "]:", url.port) : absl::StrCat(url.host, ":", url.port);
}

}  // namespace

std::string Url::ToString() const {
  std::string prefix;
  for (const SchemeName& s : kSchemes) {
    if (s.scheme == scheme) prefix = absl::StrCat(s.name, "://");
  }
  return is_unix() ? prefix + path : prefix + HostPort(*this);
}

std::string Url::Target() const { return is_unix() ? absl::StrCat("unix:", path) : HostPort(*this); }

absl::StatusOr<Url> ParseUrl(std::string_view std_text) {
  const absl::string_view text = ToAbsl(std_text);
  const std::vector<absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits("://", 1));
  if (parts.size() != 2) return BadUrl(text, "has no scheme; write it as http://host:port");

  Url url;
  bool known = false;
  for (const SchemeName& s : kSchemes) {
    if (parts[0] == s.name) {
      url.scheme = s.scheme;
      known = true;
    }
  }
  if (!known) return BadUrl(text, "has an unknown scheme; use http, https, unix or unixs");

  absl::string_view rest = parts[1];
  if (url.is_unix()) {
    if (rest.empty()) return BadUrl(text, "names no socket path");
    url.path = std::string(rest);
    return url;
  }
  absl::ConsumeSuffix(&rest, "/");
  if (rest.find_first_of("/?#@") != absl::string_view::npos) {
    return BadUrl(text, "must be just host and port, without a path or user");
  }
  const size_t colon = rest.rfind(':');
  if (colon == absl::string_view::npos || (rest.front() == '[' && rest.rfind(']') > colon)) {
    return BadUrl(text, "has no port; write it as http://host:port");
  }
  absl::string_view host = rest.substr(0, colon);
  if (absl::ConsumePrefix(&host, "[")) {
    if (!absl::ConsumeSuffix(&host, "]")) return BadUrl(text, "has an unclosed bracket");
  } else if (host.find(':') != absl::string_view::npos) {
    return BadUrl(text, "needs brackets around an IPv6 address");
  }
  if (host.empty()) return BadUrl(text, "names no host");
  uint32_t port = 0;
  if (!absl::SimpleAtoi(rest.substr(colon + 1), &port) || port > 65535) {
    return BadUrl(text, "has a port that is not a number from 0 to 65535");
  }
  url.host = std::string(host);
  url.port = static_cast<uint16_t>(port);
  return url;
}

absl::StatusOr<std::vector<Url>> ParseUrlList(std::string_view text) {
  std::vector<Url> urls;
  for (absl::string_view part : absl::StrSplit(ToAbsl(text), ',', absl::SkipEmpty())) {
    KEEL_ASSIGN_OR_RETURN(Url url, ParseUrl(ToStd(part)));
    urls.push_back(std::move(url));
  }
  std::sort(urls.begin(), urls.end(), [](const Url& a, const Url& b) { return a.ToString() < b.ToString(); });
  urls.erase(std::unique(urls.begin(), urls.end()), urls.end());
  return urls;
}

absl::StatusOr<Url> ParseEndpoint(std::string_view text) {
  if (text.find("://") == std::string_view::npos && text.substr(0, 5) != "unix:") {
    return ParseUrl(absl::StrCat("http://", ToAbsl(text)));
  }
  return ParseUrl(text);
}

}  // namespace keel
