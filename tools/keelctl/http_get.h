#pragma once

// One page of a member's HTTP side, such as /metrics.

#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/options.h"

namespace keel::ctl {

// A certificate that the server showed.
struct Certificate {
  std::string subject;
  absl::Time expires;
};

struct HttpPage {
  std::string body;
  absl::Time asked;  // By the clock here, just before and just after.
  absl::Time answered;
  std::optional<absl::Time> server_time = std::nullopt;  // Of the Date header, whole seconds.
  std::vector<Certificate> certificates = {};            // The server's own first.
};

// `endpoint` as a Client takes it; unix sockets too. kUnavailable names the endpoint and the cause; also for a status
// other than 200.
absl::StatusOr<HttpPage> HttpGet(const std::string& endpoint, const std::string& path,
                                 const std::optional<TlsOptions>& tls, absl::Duration timeout);

}  // namespace keel::ctl
