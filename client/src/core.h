#pragma once

// What everything in the client stands on: channels, the choice among them, and the threads.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "base/random.h"
#include "client/src/callback_thread.h"
#include "client/src/connection.h"
#include "client/src/endpoint_picker.h"
#include "client/src/key_prefix.h"
#include "client/src/timer_thread.h"
#include "keel/options.h"

namespace keel::client {

// What a completion queue gives back. Done() runs on the I/O thread of that queue.
class QueueTag {
 public:
  virtual ~QueueTag() = default;
  virtual void Done(bool ok) = 0;
};

// Something that uses a completion queue and can be told to end. Linked into its Core while it is registered.
class Activity {
 public:
  virtual ~Activity() = default;
  // Called with the Core's registry locked, perhaps more than once: must only ask, not wait, and must not take a lock
  // under which Core::Register or Unregister is called.
  virtual void CancelFromCore() = 0;

 private:
  friend class Core;
  Activity* previous_ = nullptr;
  Activity* next_ = nullptr;
};

// The way an attempt takes.
struct Route {
  std::shared_ptr<Connection> connection;
  std::shared_ptr<const std::vector<Endpoint>> endpoints;  // The list that `endpoint` counts in.
  std::optional<size_t> endpoint;                          // Unset: the caller named it, not the picker.
};

// Thread-safe. Owned by its Client and by the watches and sessions made from it; after Shutdown() it is an empty shell
// for those that outlive the Client.
//
// Threads: `io_threads` that each serve one completion queue and run completions; one for timers; one for callbacks of
// the application that may take their time. Lock order: registry_mu_ before the locks of activities; mu_ is innermost.
class Core : public std::enable_shared_from_this<Core> {
 public:
  static absl::StatusOr<std::shared_ptr<Core>> Create(const ClientOptions& options);
  ~Core();

  // Cancels all activities, waits until they are gone, and ends the threads. Not on one of these threads.
  void Shutdown();
  bool stopping() const { return stopping_.load(std::memory_order_acquire); }

  const ClientOptions& options() const { return options_; }
  const KeyPrefix& key_prefix() const { return key_prefix_; }

  // False after Shutdown() began: the activity must then not touch a completion queue.
  bool Register(Activity* activity);
  void Unregister(Activity* activity);
  // Counts a call in; false if there are as many as ClientOptions::in_flight_max. Leave() counts it out.
  bool Enter() {
    if (in_flight_.fetch_add(1, std::memory_order_relaxed) < options_.in_flight_max) return true;
    Leave();
    return false;
  }
  void Leave() { in_flight_.fetch_sub(1, std::memory_order_relaxed); }
  int64_t in_flight() const { return in_flight_.load(std::memory_order_relaxed); }

  // Runs `change` unless Shutdown() has begun, such that CancelFromCore either sees its effect or does not run at all
  // until later. For replacing what CancelFromCore would cancel.
  template <typename Change>
  bool ChangeUnlessStopping(Change change) {
    absl::MutexLock lock(&registry_mu_);
    if (stopping()) return false;
    change();
    return true;
  }

  // The next endpoint to try, none of `avoid` if possible. See Tour.
  Route Pick(std::span<const size_t> avoid = {});
  // A route to exactly this endpoint. kInvalidArgument if it cannot be read.
  absl::StatusOr<Route> PickExactly(std::string_view endpoint);
  void Succeeded(const Route& route);
  void Failed(const Route& route);
  // Who leads, for Balance::kLeader; empty: not known.
  void SetLeader(std::string_view endpoint);
  // Called whenever an endpoint has failed, on any thread. Set before the first call.
  void set_on_failure(std::function<void()> on_failure) { on_failure_ = std::move(on_failure); }
  // Some server has answered; see ClientOptions::reconnect_patience.
  void NoteConnected() {
    if (!has_connected_.load(std::memory_order_relaxed)) has_connected_.store(true, std::memory_order_relaxed);
  }
  bool has_connected() const { return has_connected_.load(std::memory_order_relaxed); }
  // How long a call with these options goes on while no endpoint can be connected to.
  absl::Duration Patience(const CallOptions& call) const;
  size_t endpoint_count() const { return endpoint_count_.load(std::memory_order_relaxed); }

  std::vector<std::string> endpoints() const;
  absl::Status SetEndpoints(const std::vector<std::string>& endpoints);

  double Jitter();
  TimerThread& timers() { return timers_; }
  CallbackThread& callbacks() { return callbacks_; }

  static absl::Status ClosedError() { return absl::CancelledError("the client is closed"); }

 private:
  struct IoThread {
    grpc::CompletionQueue queue;
    std::thread thread;
  };

  explicit Core(const ClientOptions& options);
  bool HasEndpoints(const std::vector<std::string>& texts) const;
  absl::StatusOr<Endpoint> MakeEndpoint(const std::string& text, int connections);
  bool NoActivity() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(registry_mu_) { return activities_ == nullptr; }

  const ClientOptions options_;
  const KeyPrefix key_prefix_;
  std::shared_ptr<grpc::ChannelCredentials> tls_;
  std::function<void()> on_failure_;  // May be null.
  std::vector<std::unique_ptr<IoThread>> io_threads_;
  std::atomic<int64_t> in_flight_ = 0;
  std::atomic<uint64_t> next_connection_ = 0;
  std::atomic<uint64_t> next_queue_ = 0;
  std::atomic<size_t> endpoint_count_ = 1;
  std::atomic<bool> has_connected_ = false;
  std::atomic<bool> has_failures_ = false;  // picker_->has_failures(), so that most successes need no lock.

  absl::Mutex registry_mu_;
  Activity* activities_ ABSL_GUARDED_BY(registry_mu_) = nullptr;
  std::atomic<bool> stopping_ = false;  // Set with registry_mu_ held.

  mutable absl::Mutex mu_;
  Random random_ ABSL_GUARDED_BY(mu_);
  std::shared_ptr<const std::vector<Endpoint>> endpoints_ ABSL_GUARDED_BY(mu_);
  std::optional<EndpointPicker> picker_ ABSL_GUARDED_BY(mu_);
  // Of calls that named their endpoint, where endpoints_ has no usable one.
  absl::flat_hash_map<std::string, std::shared_ptr<Connection>> named_ ABSL_GUARDED_BY(mu_);

  TimerThread timers_;
  CallbackThread callbacks_;
};

}  // namespace keel::client
