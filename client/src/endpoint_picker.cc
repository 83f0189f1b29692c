#include "client/src/endpoint_picker.h"

#include <algorithm>

#include "base/check.h"

namespace keel::client {
namespace {

constexpr absl::Duration kFirstRest = absl::Milliseconds(100);
constexpr absl::Duration kLongestRest = absl::Seconds(5);

}  // namespace

EndpointPicker::EndpointPicker(size_t count, Balance balance, uint64_t start)
    : endpoints_(count), balance_(balance), next_(count == 0 ? 0 : start % count) {
  KEEL_CHECK_GT(count, 0u);
}

size_t EndpointPicker::Pick(absl::Time now, std::span<const size_t> avoid) {
  const size_t n = endpoints_.size();
  const auto is_avoided = [&](size_t e) {
    return avoid.size() < n && std::find(avoid.begin(), avoid.end(), e) != avoid.end();
  };
  if (balance_ == Balance::kLeader && leader_ && endpoints_[*leader_].rest_until <= now && !is_avoided(*leader_)) {
    return next_ = *leader_;
  }
  std::optional<size_t> rested;   // First healthy one in order.
  std::optional<size_t> soonest;  // Else the one whose rest ends first.
  for (size_t i = 0; i < n; ++i) {
    const size_t candidate = (next_ + i) % n;
    if (is_avoided(candidate)) continue;
    if (endpoints_[candidate].rest_until <= now) {
      rested = candidate;
      break;
    }
    if (!soonest || endpoints_[candidate].rest_until < endpoints_[*soonest].rest_until) soonest = candidate;
  }
  const size_t choice = rested ? *rested : *soonest;
  next_ = balance_ == Balance::kRoundRobin ? (choice + 1) % n : choice;
  return choice;
}

void EndpointPicker::Succeeded(size_t endpoint) { endpoints_[endpoint] = Endpoint{}; }

void EndpointPicker::Failed(size_t endpoint, absl::Time now) {
  Endpoint& e = endpoints_[endpoint];
  const absl::Duration rest = std::min(kFirstRest * (int64_t{1} << std::min(e.failures, 10)), kLongestRest);
  ++e.failures;
  e.rest_until = now + rest;
}

bool EndpointPicker::has_failures() const {
  return std::any_of(endpoints_.begin(), endpoints_.end(), [](const Endpoint& e) { return e.failures > 0; });
}

}  // namespace keel::client
