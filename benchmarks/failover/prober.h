#pragma once

// Writes sent to every member all the time, whatever became of those before: what shows when a cluster takes writes.

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "keel/client.h"

namespace keel::bench {

using SteadyTime = std::chrono::steady_clock::time_point;

// Thread-safe. The destructor ends the writes.
class Prober {
 public:
  // A put every `interval` to each endpoint. Each is one attempt with a timeout of its own, so one that waits for what
  // does not come back says nothing about the next.
  static absl::StatusOr<std::unique_ptr<Prober>> Start(const std::vector<std::string>& endpoints,
                                                       absl::Duration interval);
  ~Prober();
  Prober(const Prober&) = delete;
  Prober& operator=(const Prober&) = delete;

  // When the first write that was sent at or after `since` was confirmed; to any of the endpoints, or only to this one.
  // nullopt: none within `timeout` from now.
  std::optional<SteadyTime> FirstAccepted(SteadyTime since, absl::Duration timeout,
                                          std::optional<size_t> endpoint = std::nullopt);
  // The longest time in [from, to] in which nobody confirmed a write.
  absl::Duration LongestGap(SteadyTime from, SteadyTime to) const;

 private:
  struct Accepted {
    SteadyTime sent;
    SteadyTime confirmed;
    size_t endpoint = 0;
  };

  Prober(const std::vector<std::string>& endpoints, absl::Duration interval, std::unique_ptr<Client> client);
  void Run();
  void Send(size_t endpoint);
  std::optional<SteadyTime> Find(SteadyTime since, std::optional<size_t> endpoint) const;  // Holding mu_.

  const std::vector<std::string> endpoints_;
  const absl::Duration interval_;
  std::atomic<bool> stopping_ = false;
  std::vector<std::atomic<int>> in_flight_;
  mutable absl::Mutex mu_;
  std::vector<Accepted> accepted_;  // Guarded by mu_.
  std::unique_ptr<Client> client_;  // Its destruction ends the callbacks.
  std::thread thread_;
};

}  // namespace keel::bench
