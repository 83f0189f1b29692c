#include "benchmarks/failover/prober.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace keel::bench {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(1);
// Towards a member that does not answer.
constexpr int kInFlightMax = 400;

}  // namespace

absl::StatusOr<std::unique_ptr<Prober>> Prober::Start(const std::vector<std::string>& endpoints,
                                                      absl::Duration interval) {
  KEEL_ASSIGN_OR_RETURN(std::unique_ptr<Client> client,
                        Client::Create({.endpoints = endpoints, .dial_timeout = absl::Milliseconds(200)}));
  return std::unique_ptr<Prober>(new Prober(endpoints, interval, std::move(client)));
}

Prober::Prober(const std::vector<std::string>& endpoints, absl::Duration interval, std::unique_ptr<Client> client)
    : endpoints_(endpoints), interval_(interval), in_flight_(endpoints.size()), client_(std::move(client)) {
  thread_ = std::thread([this] { Run(); });
}

Prober::~Prober() {
  stopping_ = true;
  thread_.join();
  client_.reset();
}

void Prober::Run() {
  while (!stopping_) {
    for (size_t i = 0; i < endpoints_.size(); ++i) Send(i);
    absl::SleepFor(interval_);
  }
}

void Prober::Send(size_t endpoint) {
  if (in_flight_[endpoint] >= kInFlightMax) return;
  ++in_flight_[endpoint];
  client_->kv().PutAsync(absl::StrCat("keel-failover/", endpoint), "x", {},
                         {.timeout = kTimeout, .endpoint = endpoints_[endpoint]},
                         [this, endpoint, sent = std::chrono::steady_clock::now()](absl::StatusOr<PutResponse> put) {
                           const SteadyTime now = std::chrono::steady_clock::now();
                           --in_flight_[endpoint];
                           if (!put.ok()) return;
                           absl::MutexLock lock(&mu_);
                           accepted_.push_back({.sent = sent, .confirmed = now, .endpoint = endpoint});
                         });
}

std::optional<SteadyTime> Prober::Find(SteadyTime since, std::optional<size_t> endpoint) const {
  // Confirmed in order, so those that matter are at the end.
  std::optional<SteadyTime> first;
  for (auto it = accepted_.rbegin(); it != accepted_.rend() && it->confirmed >= since; ++it) {
    if (it->sent >= since && (!endpoint || it->endpoint == *endpoint)) first = it->confirmed;
  }
  return first;
}

std::optional<SteadyTime> Prober::FirstAccepted(SteadyTime since, absl::Duration timeout,
                                                std::optional<size_t> endpoint) {
  std::optional<SteadyTime> found;
  const auto is_there = [&] {
    found = Find(since, endpoint);
    return found.has_value();
  };
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(&is_there), timeout);
  return found;
}

absl::Duration Prober::LongestGap(SteadyTime from, SteadyTime to) const {
  std::vector<SteadyTime> times = {from, to};
  {
    absl::MutexLock lock(&mu_);
    for (const Accepted& accepted : accepted_) {
      if (accepted.confirmed > from && accepted.confirmed < to) times.push_back(accepted.confirmed);
    }
  }
  std::sort(times.begin(), times.end());
  absl::Duration longest;
  for (size_t i = 1; i < times.size(); ++i) longest = std::max(longest, absl::FromChrono(times[i] - times[i - 1]));
  return longest;
}

}  // namespace keel::bench
