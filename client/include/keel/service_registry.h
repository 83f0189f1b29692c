#pragma once

// Who offers a service, and whom to send the next request to.
//
//   keel::ServiceRegistry registry(client);
//   auto mine = registry.Register("payments", {.address = "10.0.0.7:8080", .weight = 2});
//   if (!mine.ok()) return mine.status();
//   (*mine)->Report({.load = 12});                     // Until *mine goes, or this process does.
//   auto pool = registry.Discover("payments");
//   if (!pool.ok()) return pool.status();
//   auto chosen = (*pool)->Pick(keel::PickPolicy::kLeastLoaded);
//   if (chosen.ok()) Send(chosen->address);

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/types.h"
#include "keel/watch.h"

namespace keel {

class Client;

namespace client {
class PoolCore;
class RegistrationCore;
}  // namespace client

enum class InstanceHealth {
  kPassing,
  kFailing,  // Here, but not to be chosen while another one passes.
  kLeaving,  // About to be gone of its own will.
};

struct HealthReport {
  InstanceHealth health = InstanceHealth::kPassing;
  // Of any unit in which one more request counts about 1, for example the requests in progress.
  double load = 0;
};

struct ServiceInstance {
  std::string address = {};  // "host:port"; the instance's name within the service.
  double weight = 1;         // How much it can take compared with the others; positive.
  std::map<std::string, std::string> metadata = {};
  HealthReport report = {};
  // By Discover: its lease has run out, but so have those of many others at once; see DiscoverOptions.
  bool is_retained = false;
};

struct RegisterOptions {
  absl::Duration ttl = absl::Seconds(10);  // How long a dead instance stays listed.
  // Asked every check_interval, on the registration's thread, how the instance is; what changes is reported. Null: only
  // Report() tells.
  std::function<HealthReport()> check = nullptr;
  absl::Duration check_interval = absl::Seconds(5);
};

// One instance, listed as long as this object lives and its process answers: if its lease is lost all the same (a
// pause, a partition), it is listed anew as soon as that is possible. Runs a thread. Thread-safe; the Client must
// outlive it. The destructor takes the instance off the list, waiting some seconds at most.
class ServiceRegistration {
 public:
  explicit ServiceRegistration(std::unique_ptr<client::RegistrationCore> core);
  ~ServiceRegistration();
  ServiceRegistration(const ServiceRegistration&) = delete;
  ServiceRegistration& operator=(const ServiceRegistration&) = delete;

  // Does not wait. Reports that follow each other quickly may be written as one, the last.
  void Report(const HealthReport& report);
  // OK: it is listed, with the last report. Else why not, or not yet.
  absl::Status status() const;
  const std::string& key() const;

 private:
  std::unique_ptr<client::RegistrationCore> core_;
};

struct DiscoverOptions {
  // When more than this part of the instances vanishes within `vanish_window` without having said kLeaving, it is taken
  // for a fault of the network or of the store, not of the instances: the last known ones stay listed (is_retained)
  // until enough have come back, or for `retain_max`. 1: never.
  double vanish_part_max = 0.5;
  absl::Duration vanish_window = absl::Seconds(30);
  absl::Duration retain_max = absl::Minutes(10);
  // Told of every change of the list, on the pool's thread.
  std::function<void(const std::vector<ServiceInstance>&)> on_change = nullptr;
};

enum class PickPolicy {
  kRoundRobin,
  kLeastLoaded,  // Lowest (reported load + picks here since the report) / weight.
  kWeighted,     // In proportion to the weights, evenly interleaved.
};

// The instances of a service, kept current. Thread-safe; the Client must outlive it.
class ServicePool {
 public:
  explicit ServicePool(std::unique_ptr<client::PoolCore> core);
  ~ServicePool();
  ServicePool(const ServicePool&) = delete;
  ServicePool& operator=(const ServicePool&) = delete;

  // Passing ones only, unless there are none, then failing ones. kUnavailable: the service has no instance.
  absl::StatusOr<ServiceInstance> Pick(PickPolicy policy = PickPolicy::kRoundRobin);
  // All that are listed, by address.
  std::vector<ServiceInstance> instances() const;
  // True while instances are retained.
  bool is_protecting() const;
  // Until the list is that of `revision` or newer; see CachedPrefix::WaitUntil.
  absl::Status WaitUntil(int64_t revision, absl::Time deadline = absl::InfiniteFuture());
  Watcher::Connection connection() const;

 private:
  std::unique_ptr<client::PoolCore> core_;
};

// The key is service + "/" + address, the value the JSON object that name resolvers of other languages' clients read
// and write there: {"Op":0,"Addr":address,"Metadata":{"weight":..,"health":..,"load":..,"metadata":{..}}}. What they
// wrote without our Metadata counts as passing, of weight 1. Thread-safe; the Client must outlive it and what it makes.
class ServiceRegistry {
 public:
  explicit ServiceRegistry(Client& client) : client_(client) {}

  // Lists the instance before it returns. kInvalidArgument: no address, or a weight that is not positive; others as
  // Leases::Grant and Kv::Put.
  absl::StatusOr<std::unique_ptr<ServiceRegistration>> Register(std::string_view service,
                                                                const ServiceInstance& instance,
                                                                const RegisterOptions& options = {});
  // Reads the list before it returns. Errors as CachedPrefix::Open.
  absl::StatusOr<std::unique_ptr<ServicePool>> Discover(std::string_view service, const DiscoverOptions& options = {});

 private:
  Client& client_;
};

}  // namespace keel
