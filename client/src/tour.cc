#include "client/src/tour.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/src/connect_error.h"

namespace keel::client {

Route Tour::Next(Core& core) {
  const size_t endpoints = core.endpoint_count();
  if (tried_.size() >= endpoints) tried_.erase(tried_.begin(), tried_.end() - 1);  // A new round, but not back at once.
  Route route = core.Pick(tried_);
  if (endpoints > 1) tried_.push_back(*route.endpoint);
  return route;
}

void Tour::Refused(const std::string& endpoint, std::string_view text, absl::Time now) {
  std::string cause = ConnectCause(endpoint, text);
  const auto known = std::find_if(refused_.begin(), refused_.end(),
                                  [&endpoint](const Refusal& refusal) { return refusal.endpoint == endpoint; });
  if (known != refused_.end()) {
    known->cause = std::move(cause);
    return;
  }
  refused_.push_back({.endpoint = endpoint, .cause = std::move(cause)});
  all_refused_at_ = now;
}

std::optional<absl::Duration> Tour::UnreachableFor(size_t endpoints, absl::Time now) const {
  if (refused_.size() < endpoints) return std::nullopt;
  return now - all_refused_at_;
}

std::string Tour::Explanation(size_t endpoints) const {
  std::string text;
  for (const Refusal& refusal : refused_) {
    absl::StrAppend(&text, text.empty() ? "" : "; ", "endpoint ", refusal.endpoint, ": ", refusal.cause);
  }
  if (refused_.size() > 1 && refused_.size() >= endpoints) return absl::StrCat("no endpoint can be reached: ", text);
  return text;
}

}  // namespace keel::client
