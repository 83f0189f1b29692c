#include "server/gateway/call_headers.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::server {
namespace {

constexpr absl::string_view kMetadataPrefix = "grpc-metadata-";
constexpr absl::string_view kGatewayPrefix = "grpcgateway-";
constexpr size_t kTimeoutDigitsMax = 18;

// Headers of the HTTP standard, which a call may see but which say nothing to it.
constexpr std::array<absl::string_view, 24> kStandardHeaders = {"accept",
                                                                "accept-charset",
                                                                "accept-language",
                                                                "accept-ranges",
                                                                "authorization",
                                                                "cache-control",
                                                                "content-type",
                                                                "cookie",
                                                                "date",
                                                                "expect",
                                                                "from",
                                                                "host",
                                                                "if-match",
                                                                "if-modified-since",
                                                                "if-none-match",
                                                                "if-schedule-tag-match",
                                                                "if-unmodified-since",
                                                                "max-forwards",
                                                                "origin",
                                                                "pragma",
                                                                "referer",
                                                                "user-agent",
                                                                "via",
                                                                "warning"};

bool IsPrintable(absl::string_view value) {
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c <= 0x7e; });
}

bool IsMetadataName(absl::string_view name) {
  return !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-' || c == '_' || c == '.';
  });
}

// gRPC's own, which steer the call itself and are set by nobody else.
bool IsReserved(absl::string_view name) {
  return absl::StartsWith(name, "grpc-") || name == "te" || name == "content-type" || name == "user-agent" ||
         name == "host" || name == "connection" || name == "lb-token" || name == "lb-cost-bin" ||
         name == "endpoint-load-metrics-bin" || name == "x-envoy-peer-metadata";
}

absl::Status Refused(absl::string_view what, absl::string_view value) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", absl::CHexEscape(value)));
}

// "100m": digits and a unit.
std::optional<absl::Duration> ParseTimeout(absl::string_view text) {
  if (text.size() < 2 || text.size() > kTimeoutDigitsMax + 1) return std::nullopt;
  const absl::string_view digits = text.substr(0, text.size() - 1);
  int64_t count = 0;
  if (!std::all_of(digits.begin(), digits.end(), absl::ascii_isdigit) || !absl::SimpleAtoi(digits, &count)) {
    return std::nullopt;
  }
  switch (text.back()) {
    case 'H':
      return absl::Hours(1) * count;
    case 'M':
      return absl::Minutes(1) * count;
    case 'S':
      return absl::Seconds(1) * count;
    case 'm':
      return absl::Milliseconds(1) * count;
    case 'u':
      return absl::Microseconds(1) * count;
    case 'n':
      return absl::Nanoseconds(1) * count;
    default:
      return std::nullopt;
  }
}

// One "Grpc-Metadata-<name>".
absl::Status AddMetadata(absl::string_view name, const std::string& value, CallHeaders* headers) {
  if (!IsMetadataName(name) || IsReserved(name)) return absl::OkStatus();
  std::string sent = value;
  if (absl::EndsWith(name, "-bin")) {
    if (!absl::Base64Unescape(value, &sent) && !absl::WebSafeBase64Unescape(value, &sent)) {
      return Refused(absl::StrCat("invalid base64 in header Grpc-Metadata-", name), value);
    }
  } else if (!IsPrintable(value)) {
    return Refused(absl::StrCat("unprintable characters in header Grpc-Metadata-", name), value);
  }
  headers->metadata.emplace_back(name, std::move(sent));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<CallHeaders> ReadCallHeaders(const HttpRequest& request, absl::Time now) {
  CallHeaders headers;
  for (const auto& [name_as_sent, value] : request.headers) {
    const std::string name = absl::AsciiStrToLower(name_as_sent);
    if (name == "grpc-timeout") {
      const std::optional<absl::Duration> timeout = ParseTimeout(value);
      if (!timeout) return Refused("invalid grpc-timeout", value);
      headers.deadline = now + *timeout;
    } else if (absl::StartsWith(name, kMetadataPrefix)) {
      absl::Status status = AddMetadata(absl::string_view(name).substr(kMetadataPrefix.size()), value, &headers);
      if (!status.ok()) return status;
    } else if (name == "authorization" && !IsPrintable(value)) {
      return absl::InvalidArgumentError("unprintable characters in header Authorization");
    } else if (std::find(kStandardHeaders.begin(), kStandardHeaders.end(), name) != kStandardHeaders.end() &&
               IsPrintable(value)) {
      if (name == "authorization") headers.metadata.emplace_back(name, value);
      headers.metadata.emplace_back(absl::StrCat(kGatewayPrefix, name), value);
    }
  }
  return headers;
}

}  // namespace keel::server
