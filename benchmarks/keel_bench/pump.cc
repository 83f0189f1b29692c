#include "benchmarks/keel_bench/pump.h"

#include <thread>
#include <vector>

#include "absl/synchronization/blocking_counter.h"

namespace keel::bench {
namespace {

class ClosedLoop {
 public:
  ClosedLoop(int clients, Tally* tally, const Send& send)
      : clients_(clients), tally_(*tally), send_(send), left_(clients) {}

  void Run() {
    for (int i = 0; i < clients_; ++i) Next(i);
    left_.Wait();
  }

 private:
  void Next(int client) {
    const SteadyTime began = Now();
    uint64_t number = 0;
    if (!tally_.TakeNext(began, &number)) {
      left_.DecrementCount();
      return;
    }
    send_({.number = number, .client = client}, [this, client, began](const absl::Status& status) {
      tally_.Count(status, began);
      Next(client);
    });
  }

  const int clients_;
  Tally& tally_;
  const Send& send_;
  absl::BlockingCounter left_;
};

class OpenLoop {
 public:
  OpenLoop(int clients, double rate, Tally* tally, const Send& send)
      : clients_(static_cast<size_t>(clients)),
        interval_(std::chrono::duration_cast<SteadyTime::duration>(std::chrono::duration<double>(1 / rate))),
        tally_(*tally),
        send_(send) {
    for (int i = clients; i > 0; --i) free_.push_back(i - 1);
  }

  void Run() {
    SteadyTime due = Now();
    uint64_t number = 0;
    for (; tally_.TakeNext(due, &number); due += interval_) {
      std::this_thread::sleep_until(due);
      const int client = TakeClient();
      send_({.number = number, .client = client}, [this, client, due](const absl::Status& status) {
        tally_.Count(status, due);
        absl::MutexLock lock(&mu_);
        free_.push_back(client);
      });
    }
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &OpenLoop::AreAllFree));
  }

 private:
  int TakeClient() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(this, &OpenLoop::IsOneFree));
    const int client = free_.back();
    free_.pop_back();
    return client;
  }
  bool IsOneFree() const { return !free_.empty(); }
  bool AreAllFree() const { return free_.size() == clients_; }

  const size_t clients_;
  const SteadyTime::duration interval_;
  Tally& tally_;
  const Send& send_;
  absl::Mutex mu_;
  std::vector<int> free_;
};

}  // namespace

Tally::Tally(const WorkloadOptions& options, WorkloadResult* result) : total_(options.total), result_(*result) {
  if (options.duration < absl::InfiniteDuration()) until_ = Now() + absl::ToChronoNanoseconds(options.duration);
}

bool Tally::TakeNext(SteadyTime when, uint64_t* number) {
  *number = next_.fetch_add(1, std::memory_order_relaxed);
  if (total_ != 0 && *number >= total_) return false;
  return when < until_;
}

void Tally::Count(const absl::Status& status, SteadyTime began) {
  if (status.ok()) {
    result_.latency.Add(absl::FromChrono(Now() - began));
    succeeded_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  absl::MutexLock lock(&mu_);
  ++result_.errors[absl::StatusCodeToString(status.code())];
}

void Pump(const WorkloadOptions& options, Tally* tally, const Send& send) {
  if (options.rate > 0) {
    OpenLoop(options.clients, options.rate, tally, send).Run();
  } else {
    ClosedLoop(options.clients, tally, send).Run();
  }
}

}  // namespace keel::bench
