#include "keel/service_registry.h"

#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/service_instances.h"
#include "keel/cached_prefix.h"
#include "keel/client.h"
#include "keel/session.h"

namespace keel {
namespace client {
namespace {

// Between attempts to be listed again.
constexpr absl::Duration kRetryPause = absl::Milliseconds(500);
// For taking an instance off the list.
constexpr absl::Duration kLeaveTimeout = absl::Seconds(2);

}  // namespace

// Thread-safe. Its thread writes the instance's key, and again with a new lease when the old one is lost.
class RegistrationCore {
 public:
  RegistrationCore(Client& client, std::string key, ServiceInstance instance, const RegisterOptions& options)
      : client_(client), key_(std::move(key)), options_(options), instance_(std::move(instance)) {}

  ~RegistrationCore() {
    stop_.request_stop();
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    if (!thread_.joinable()) return;
    thread_.join();
    if (session_ == nullptr || !session_->alive()) return;
    // First the word that it leaves of its own will, then the key goes with the lease.
    instance_.report.health = InstanceHealth::kLeaving;
    client_.kv()
        .Put(key_, InstanceToJson(instance_), {.lease = session_->lease()},
             {.timeout = kLeaveTimeout, .fail_fast = true})
        .IgnoreError();
    session_->Close().IgnoreError();
  }

  absl::Status Start() {
    KEEL_RETURN_IF_ERROR(List());
    thread_ = std::thread([this] { Run(); });
    return absl::OkStatus();
  }

  void Report(const HealthReport& report) {
    absl::MutexLock lock(&mu_);
    instance_.report = report;
    changed_ = true;
  }

  absl::Status status() const {
    absl::MutexLock lock(&mu_);
    if (lost_) return absl::UnavailableError("its lease was lost; it is being listed anew");
    return status_;
  }
  const std::string& key() const { return key_; }

 private:
  // Listed anew, with a new lease.
  absl::Status List() {
    session_.reset();
    {
      absl::MutexLock lock(&mu_);
      lost_ = false;
    }
    auto session = Session::Open(client_, {.ttl = options_.ttl,
                                           .on_change =
                                               [this](SessionState state) {
                                                 if (state != SessionState::kLost) return;
                                                 absl::MutexLock lock(&mu_);
                                                 lost_ = true;
                                               },
                                           .timeout = kLeaveTimeout,
                                           .cancel = stop_.get_token()});
    KEEL_RETURN_IF_ERROR(session.status());
    session_ = *std::move(session);
    return Write();
  }

  absl::Status Write() {
    std::string value;
    {
      absl::MutexLock lock(&mu_);
      changed_ = false;
      value = InstanceToJson(instance_);
    }
    // Written twice is written: nobody else writes this key with this lease.
    const absl::Status status =
        client_.kv()
            .Put(key_, value, {.lease = session_->lease()}, {.repeat = Repeat::kAlways, .cancel = stop_.get_token()})
            .status();
    absl::MutexLock lock(&mu_);
    status_ = status;
    return status;
  }

  void Run() {
    absl::Time next_check = absl::Now() + options_.check_interval;
    while (true) {
      absl::Duration pause = options_.check == nullptr ? absl::InfiniteDuration() : next_check - absl::Now();
      bool list = false;
      bool write = false;
      {
        absl::MutexLock lock(&mu_);
        const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
          return stopping_ || lost_ || changed_ || !status_.ok();
        };
        mu_.AwaitWithTimeout(absl::Condition(&has_work), std::max(pause, absl::ZeroDuration()));
        if (stopping_) return;
        list = lost_ || absl::IsNotFound(status_);
        write = changed_ || !status_.ok();
      }
      if (options_.check != nullptr && absl::Now() >= next_check) {
        next_check = absl::Now() + options_.check_interval;
        const HealthReport now = options_.check();
        absl::MutexLock lock(&mu_);
        if (now.health != instance_.report.health || now.load != instance_.report.load) {
          instance_.report = now;
          write = true;
        }
      }
      if (!list && !write) continue;
      const absl::Status status = list ? List() : Write();
      if (status.ok()) continue;
      absl::MutexLock lock(&mu_);
      status_ = status;
      if (list) lost_ = true;
      mu_.AwaitWithTimeout(absl::Condition(&stopping_), kRetryPause);
    }
  }

  Client& client_;
  const std::string key_;
  const RegisterOptions options_;
  std::stop_source stop_;

  mutable absl::Mutex mu_;
  ServiceInstance instance_ ABSL_GUARDED_BY(mu_);
  absl::Status status_ ABSL_GUARDED_BY(mu_) = absl::UnavailableError("not listed yet");
  bool changed_ ABSL_GUARDED_BY(mu_) = false;  // A report is to be written.
  bool lost_ ABSL_GUARDED_BY(mu_) = false;     // The session.
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<Session> session_;  // Of the thread, while it runs; its end precedes that of what its callback uses.
  std::thread thread_;
};

// Thread-safe.
class PoolCore {
 public:
  PoolCore(std::string service, const DiscoverOptions& options)
      : service_(std::move(service)),
        options_(options),
        instances_(options.vanish_part_max, options.vanish_window, options.retain_max) {}

  absl::Status Start(Client& client) {
    KEEL_ASSIGN_OR_RETURN(cache_, CachedPrefix::Open(client, service_ + "/",
                                                     {.on_update = [this](const auto& update) { Take(update); }}));
    return absl::OkStatus();
  }

  absl::StatusOr<ServiceInstance> Pick(PickPolicy policy) {
    absl::MutexLock lock(&mu_);
    std::optional<ServiceInstance> chosen = picker_.Pick(instances_.List(absl::Now()), policy);
    if (!chosen) return absl::UnavailableError(absl::StrCat("service '", service_, "' has no instance"));
    return *std::move(chosen);
  }
  std::vector<ServiceInstance> List() {
    absl::MutexLock lock(&mu_);
    return instances_.List(absl::Now());
  }
  bool is_protecting() {
    absl::MutexLock lock(&mu_);
    return instances_.is_protecting(absl::Now());
  }
  absl::Status WaitUntil(int64_t revision, absl::Time deadline) { return cache_->WaitUntil(revision, deadline); }
  Watcher::Connection connection() const { return cache_->connection(); }

 private:
  void Take(const PrefixUpdate& update) {
    std::vector<ServiceInstance> instances;
    {
      absl::MutexLock lock(&mu_);
      const absl::Time now = absl::Now();
      for (const PrefixChange& change : update.changes) {
        const std::string name =
            (change.after != nullptr ? change.after : change.before)->key.substr(service_.size() + 1);
        std::optional<ServiceInstance> instance;
        if (change.after != nullptr) instance = InstanceFromJson(name, change.after->value);
        if (instance) {
          picker_.Reported(instance->address);
          instances_.Put(name, *std::move(instance), now);
        } else {
          instances_.Remove(name, now);
        }
      }
      instances = instances_.List(now);
    }
    if (options_.on_change != nullptr) options_.on_change(instances);
  }

  const std::string service_;
  const DiscoverOptions options_;
  absl::Mutex mu_;
  InstanceSet instances_ ABSL_GUARDED_BY(mu_);
  InstancePicker picker_ ABSL_GUARDED_BY(mu_);
  std::unique_ptr<CachedPrefix> cache_;  // Last: its thread uses the others.
};

}  // namespace client

ServiceRegistration::ServiceRegistration(std::unique_ptr<client::RegistrationCore> core) : core_(std::move(core)) {}
ServiceRegistration::~ServiceRegistration() = default;
void ServiceRegistration::Report(const HealthReport& report) { core_->Report(report); }
absl::Status ServiceRegistration::status() const { return core_->status(); }
const std::string& ServiceRegistration::key() const { return core_->key(); }

ServicePool::ServicePool(std::unique_ptr<client::PoolCore> core) : core_(std::move(core)) {}
ServicePool::~ServicePool() = default;
absl::StatusOr<ServiceInstance> ServicePool::Pick(PickPolicy policy) { return core_->Pick(policy); }
std::vector<ServiceInstance> ServicePool::instances() const { return core_->List(); }
bool ServicePool::is_protecting() const { return core_->is_protecting(); }
absl::Status ServicePool::WaitUntil(int64_t revision, absl::Time deadline) {
  return core_->WaitUntil(revision, deadline);
}
Watcher::Connection ServicePool::connection() const { return core_->connection(); }

absl::StatusOr<std::unique_ptr<ServiceRegistration>> ServiceRegistry::Register(std::string_view service,
                                                                               const ServiceInstance& instance,
                                                                               const RegisterOptions& options) {
  if (service.empty() || instance.address.empty()) {
    return absl::InvalidArgumentError("an instance needs the name of its service and an address");
  }
  if (!(instance.weight > 0)) {
    return absl::InvalidArgumentError(absl::StrCat("weight ", instance.weight, " is not positive"));
  }
  auto core = std::make_unique<client::RegistrationCore>(client_, absl::StrCat(ToAbsl(service), "/", instance.address),
                                                         instance, options);
  KEEL_RETURN_IF_ERROR(core->Start());
  return std::make_unique<ServiceRegistration>(std::move(core));
}

absl::StatusOr<std::unique_ptr<ServicePool>> ServiceRegistry::Discover(std::string_view service,
                                                                       const DiscoverOptions& options) {
  if (service.empty()) return absl::InvalidArgumentError("the name of the service is empty");
  auto core = std::make_unique<client::PoolCore>(std::string(service), options);
  KEEL_RETURN_IF_ERROR(core->Start(client_));
  return std::make_unique<ServicePool>(std::move(core));
}

}  // namespace keel
