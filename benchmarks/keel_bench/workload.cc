#include "benchmarks/keel_bench/workload.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "benchmarks/keel_bench/key_source.h"
#include "keel/client.h"
#include "keel/mutex.h"
#include "keel/session.h"

namespace keel::bench {
namespace {

using SteadyTime = std::chrono::steady_clock::time_point;

SteadyTime Now() { return std::chrono::steady_clock::now(); }

// Counts requests out and results in. Thread-safe.
class Tally {
 public:
  Tally(const WorkloadOptions& options, WorkloadResult* result) : total_(options.total), result_(*result) {
    if (options.duration < absl::InfiniteDuration()) {
      until_ = Now() + absl::ToChronoNanoseconds(options.duration);
    }
  }

  // Takes the number of the next request; false when there are enough.
  bool TakeNext(uint64_t* number) {
    *number = next_.fetch_add(1, std::memory_order_relaxed);
    if (total_ != 0 && *number >= total_) return false;
    return until_ == SteadyTime::max() || Now() < until_;
  }

  void Count(const absl::Status& status, SteadyTime began) {
    if (status.ok()) {
      result_.latency.Add(absl::FromChrono(Now() - began));
      succeeded_.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    absl::MutexLock lock(&mu_);
    ++result_.errors[absl::StatusCodeToString(status.code())];
  }

  uint64_t succeeded() const { return succeeded_.load(std::memory_order_relaxed); }

 private:
  const uint64_t total_;
  SteadyTime until_ = SteadyTime::max();
  std::atomic<uint64_t> next_ = 0;
  std::atomic<uint64_t> succeeded_ = 0;
  absl::Mutex mu_;
  WorkloadResult& result_;
};

// `clients` requests in flight: each answer sends the next request, on the I/O thread that received it.
class Pump {
 public:
  // Sends request `number` and calls `done` with its outcome.
  using Done = std::function<void(const absl::Status&)>;
  using Send = std::function<void(uint64_t number, Done done)>;

  Pump(int clients, Tally* tally, Send send)
      : clients_(clients), tally_(*tally), send_(std::move(send)), left_(clients) {}

  void Run() {
    for (int i = 0; i < clients_; ++i) Next();
    left_.Wait();
  }

 private:
  void Next() {
    uint64_t number = 0;
    if (!tally_.TakeNext(&number)) {
      left_.DecrementCount();
      return;
    }
    send_(number, [this, began = Now()](const absl::Status& status) {
      tally_.Count(status, began);
      Next();
    });
  }

  const int clients_;
  Tally& tally_;
  const Send send_;
  absl::BlockingCounter left_;
};

ClientOptions ToClientOptions(const WorkloadOptions& options) {
  const int endpoints = std::max<int>(static_cast<int>(options.endpoints.size()), 1);
  return {.endpoints = options.endpoints,
          .timeout = options.timeout,
          .balance = Balance::kRoundRobin,
          .connections_per_endpoint = std::max(1, (options.connections + endpoints - 1) / endpoints),
          .io_threads = options.io_threads};
}

// Opens every connection, so that the first requests do not pay for it.
absl::Status Connect(Client& client, const WorkloadOptions& options) {
  const int calls = std::max<int>(options.connections, static_cast<int>(options.endpoints.size())) * 2;
  for (int i = 0; i < calls; ++i) {
    // The servers may have been started just now.
    KEEL_RETURN_IF_ERROR(client.kv().Get("keel-bench", {.count_only = true}, {.wait_for_ready = true}).status());
  }
  return absl::OkStatus();
}

Pump::Send Sender(const WorkloadOptions& options, Client& client, const KeySource& keys) {
  Kv& kv = client.kv();
  if (options.name == "range") {
    return [&kv, &keys,
            range = RangeOptions{.from_key = options.limit > 1,
                                 .limit = options.limit,
                                 .serializable = options.serializable}](uint64_t n, Pump::Done done) {
      kv.GetAsync(keys.KeyAt(n), range, {},
                  [done = std::move(done)](absl::StatusOr<RangeResponse> r) { done(r.status()); });
    };
  }
  if (options.name == "txn") {
    return [&kv, &keys, ops = static_cast<uint64_t>(options.txn_ops)](uint64_t n, Pump::Done done) {
      Txn txn;
      txn.If(VersionOf(keys.KeyAt(n * ops)) > -1);  // Always true, but the server has to look.
      for (uint64_t i = 0; i < ops; ++i) txn.Then(Put(keys.KeyAt(n * ops + i), keys.value()));
      kv.CommitAsync(txn, {}, [done = std::move(done)](absl::StatusOr<TxnResponse> r) { done(r.status()); });
    };
  }
  return [&kv, &keys](uint64_t n, Pump::Done done) {
    kv.PutAsync(keys.KeyAt(n), keys.value(), {}, {},
                [done = std::move(done)](absl::StatusOr<PutResponse> r) { done(r.status()); });
  };
}

// Puts that carry their time of sending; every watcher measures the way of every put.
class WatchRun {
 public:
  WatchRun(const WorkloadOptions& options, Client& client, WorkloadResult* result)
      : options_(options), client_(client), result_(*result) {}

  absl::Status Open(absl::BlockingCounter* open) {
    for (int i = 0; i < options_.watchers; ++i) {
      watchers_.push_back(client_.Watch("keel-bench/watch/", {.prefix = true, .created_notify = true},
                                        [this, open](const absl::StatusOr<WatchResponse>& next) {
                                          if (!next.ok()) return;
                                          if (next->created) {
                                            open->DecrementCount();
                                            return;
                                          }
                                          Receive(*next);
                                        }));
    }
    return absl::OkStatus();
  }

  void Run(Tally* tally, const KeySource& keys) {
    Pump pump(options_.clients, tally, [&](uint64_t n, Pump::Done done) {
      std::string value = keys.value();
      const int64_t sent = Now().time_since_epoch().count();
      if (value.size() < sizeof sent) value.resize(sizeof sent);
      std::memcpy(value.data(), &sent, sizeof sent);
      client_.kv().PutAsync(absl::StrCat("keel-bench/watch/", keys.KeyAt(n)), value, {}, {},
                            [done = std::move(done)](absl::StatusOr<PutResponse> r) { done(r.status()); });
    });
    pump.Run();
    // The last events are still on their way; puts whose outcome is unknown may add more, so "at least".
    wanted_ = tally->succeeded() * watchers_.size();
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(absl::Condition(this, &WatchRun::HasAll), absl::Seconds(30));
    result_.events = received_;
  }

 private:
  void Receive(const WatchResponse& response) {
    const int64_t now = Now().time_since_epoch().count();
    uint64_t count = 0;
    for (const Event& event : response.events) {
      int64_t sent = 0;
      if (event.kv.value.size() < sizeof sent) continue;
      std::memcpy(&sent, event.kv.value.data(), sizeof sent);
      result_.latency.Add(absl::Nanoseconds(now - sent));
      ++count;
    }
    absl::MutexLock lock(&mu_);
    received_ += count;
  }
  bool HasAll() const { return received_ >= wanted_; }

  const WorkloadOptions& options_;
  Client& client_;
  WorkloadResult& result_;
  absl::Mutex mu_;
  uint64_t received_ = 0;
  std::atomic<uint64_t> wanted_ = 0;
  std::vector<std::unique_ptr<Watcher>> watchers_;  // Last: its destruction ends the callbacks.
};

absl::Status RunLeases(const WorkloadOptions& options, Client& client, Tally* tally,
                       const std::function<void()>& about_to_start, const std::function<void()>& ended) {
  std::vector<LeaseId> leases;
  for (int i = 0; i < options.clients; ++i) {
    KEEL_ASSIGN_OR_RETURN(const LeaseGrantResponse granted, client.leases().Grant(absl::Minutes(10)));
    leases.push_back(granted.id);
  }
  Pump pump(options.clients, tally, [&](uint64_t n, Pump::Done done) {
    client.leases().KeepAliveOnceAsync(
        leases[n % leases.size()], {},
        [done = std::move(done)](absl::StatusOr<LeaseKeepAliveResponse> r) { done(r.status()); });
  });
  about_to_start();
  pump.Run();
  ended();
  for (LeaseId lease : leases) KEEL_RETURN_IF_ERROR(client.leases().Revoke(lease).status());
  return absl::OkStatus();
}

absl::Status RunLocks(const WorkloadOptions& options, Client& client, Tally* tally,
                      const std::function<void()>& about_to_start, const std::function<void()>& ended) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (int i = 0; i < options.clients; ++i) {
    KEEL_ASSIGN_OR_RETURN(auto session, Session::Open(client, {.ttl = absl::Seconds(60)}));
    sessions.push_back(std::move(session));
  }
  about_to_start();
  std::vector<std::thread> threads;
  for (int i = 0; i < options.clients; ++i) {
    threads.emplace_back([&, i] {
      Mutex mutex(client, *sessions[i], absl::StrCat("keel-bench/lock/", i % std::max(options.locks, 1)));
      uint64_t number = 0;
      while (tally->TakeNext(&number)) {
        const SteadyTime began = Now();
        absl::Status status = mutex.Lock(absl::Now() + options.timeout);
        if (status.ok()) status = mutex.Unlock();
        tally->Count(status, began);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ended();
  return absl::OkStatus();
}

}  // namespace

absl::Status RunWorkload(const WorkloadOptions& options, const std::function<void()>& about_to_start,
                         const std::function<void()>& ended, WorkloadResult* result) {
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<Client> client, Client::Create(ToClientOptions(options)));
  KEEL_RETURN_IF_ERROR(Connect(*client, options));
  const KeySource keys(options);
  SteadyTime began;
  std::unique_ptr<Tally> tally;
  const auto start = [&] {
    about_to_start();
    began = Now();
  };
  const auto finish = [&] {
    result->elapsed = absl::FromChrono(Now() - began);
    ended();
  };

  tally = std::make_unique<Tally>(options, result);
  if (options.name == "lease") {
    KEEL_RETURN_IF_ERROR(RunLeases(options, *client, tally.get(), start, finish));
  } else if (options.name == "lock") {
    KEEL_RETURN_IF_ERROR(RunLocks(options, *client, tally.get(), start, finish));
  } else if (options.name == "watch") {
    absl::BlockingCounter open(options.watchers);
    auto delivered = std::make_unique<WorkloadResult>();  // `result` measures deliveries, this one the puts.
    tally = std::make_unique<Tally>(options, delivered.get());
    WatchRun run(options, *client, result);
    KEEL_RETURN_IF_ERROR(run.Open(&open));
    open.Wait();
    start();
    run.Run(tally.get(), keys);
    finish();
    result->errors = delivered->errors;
    result->requests = tally->succeeded();
    return absl::OkStatus();
  } else {
    Pump pump(options.clients, tally.get(), Sender(options, *client, keys));
    start();
    pump.Run();
    finish();
  }
  result->requests = tally->succeeded();
  return absl::OkStatus();
}

}  // namespace keel::bench
