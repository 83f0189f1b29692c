#include "benchmarks/keel_bench/workload.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <thread>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "benchmarks/keel_bench/key_source.h"
#include "benchmarks/keel_bench/pump.h"
#include "keel/client.h"
#include "keel/mutex.h"
#include "keel/session.h"

namespace keel::bench {
namespace {

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

Send PutSender(Kv& kv, const KeySource& keys) {
  return [&kv, &keys](const Request& request, Done done) {
    kv.PutAsync(keys.KeyAt(request.number), keys.value(), {}, {},
                [done = std::move(done)](absl::StatusOr<PutResponse> r) { done(r.status()); });
  };
}

Send RangeSender(Kv& kv, const KeySource& keys, int64_t limit, bool serializable) {
  return [&kv, &keys, limit, serializable](const Request& request, Done done) {
    RangeOptions range{.limit = limit, .serializable = serializable};
    std::string key;
    if (limit > 1) {
      std::tie(key, range.range_end) = keys.RangeAt(request.number, static_cast<uint64_t>(limit));
    } else {
      key = keys.KeyAt(request.number);
    }
    kv.GetAsync(key, range, {}, [done = std::move(done)](absl::StatusOr<RangeResponse> r) { done(r.status()); });
  };
}

Send MixedSender(Kv& kv, const KeySource& keys, int reads_percent) {
  return [put = PutSender(kv, keys), range = RangeSender(kv, keys, 1, /*serializable=*/false), reads_percent](
             const Request& request, Done done) {
    // 61 has no divisor in common with 100: the reads are spread evenly, and every hundred requests hold the same.
    const bool is_read = request.number * 61 % 100 < static_cast<uint64_t>(reads_percent);
    (is_read ? range : put)(request, std::move(done));
  };
}

Send TxnSender(Kv& kv, const KeySource& keys, int puts) {
  return [&kv, &keys, ops = static_cast<uint64_t>(puts)](const Request& request, Done done) {
    Txn txn;
    txn.If(VersionOf(keys.KeyAt(request.number * ops)) > -1);  // Always true, but the server has to look.
    for (uint64_t i = 0; i < ops; ++i) txn.Then(Put(keys.KeyAt(request.number * ops + i), keys.value()));
    kv.CommitAsync(txn, {}, [done = std::move(done)](absl::StatusOr<TxnResponse> r) { done(r.status()); });
  };
}

// Each client moves a key of its own from the revision it knows to the next one. Where it does not know it, which is
// once, the transaction answers with it.
Send CompareAndPutSender(Kv& kv, const KeySource& keys, int clients) {
  auto revisions = std::make_shared<std::vector<int64_t>>(static_cast<size_t>(clients), 0);
  return [&kv, &keys, revisions](const Request& request, Done done) {
    const std::string key = absl::StrCat("keel-bench/cas/", request.client);
    int64_t& known = (*revisions)[static_cast<size_t>(request.client)];  // Only the one request of the client uses it.
    kv.CommitAsync(Txn().If(ModRevisionOf(key) == known).Then(Put(key, keys.value())).Else(Get(key)), {},
                   [revisions, &known, done = std::move(done)](absl::StatusOr<TxnResponse> r) {
                     if (r.ok() && r->succeeded) {
                       known = r->header.revision;
                     } else if (r.ok() && !r->responses.empty() && r->responses[0].is_range()) {
                       const std::vector<KeyValue>& found = r->responses[0].range().kvs;
                       known = found.empty() ? 0 : found[0].mod_revision;
                     }
                     done(r.status());
                   });
  };
}

Send Sender(const WorkloadOptions& options, Client& client, const KeySource& keys) {
  Kv& kv = client.kv();
  if (options.name == "range") return RangeSender(kv, keys, options.limit, options.serializable);
  if (options.name == "mixed") return MixedSender(kv, keys, options.reads_percent);
  if (options.name == "txn") return TxnSender(kv, keys, options.txn_ops);
  if (options.name == "cas") return CompareAndPutSender(kv, keys, options.clients);
  return PutSender(kv, keys);
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
    Pump(options_, tally, [&](const Request& request, Done done) {
      std::string value = keys.value();
      const int64_t sent = Now().time_since_epoch().count();
      if (value.size() < sizeof sent) value.resize(sizeof sent);
      std::memcpy(value.data(), &sent, sizeof sent);
      client_.kv().PutAsync(absl::StrCat("keel-bench/watch/", keys.KeyAt(request.number)), value, {}, {},
                            [done = std::move(done)](absl::StatusOr<PutResponse> r) { done(r.status()); });
    });
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
  about_to_start();
  Pump(options, tally, [&](const Request& request, Done done) {
    client.leases().KeepAliveOnceAsync(
        leases[static_cast<size_t>(request.client)], {},
        [done = std::move(done)](absl::StatusOr<LeaseKeepAliveResponse> r) { done(r.status()); });
  });
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
      while (tally->TakeNext(Now(), &number)) {
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
    start();
    Pump(options, tally.get(), Sender(options, *client, keys));
    finish();
  }
  result->requests = tally->succeeded();
  return absl::OkStatus();
}

}  // namespace keel::bench
