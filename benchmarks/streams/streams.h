#pragma once

// Many watchers and many renewals on few connections, as other clients of the protocol send them: all watchers of a
// connection on one stream. The client library of this tree opens a stream for each watcher, which would measure that.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "proto/etcdserver_lease.grpc.pb.h"
#include "proto/etcdserver_watch.grpc.pb.h"

namespace keel::bench {

std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint);

// A stream that sends what it is given, in order, and tells of every answer. Thread-safe. The destructor cancels it and
// waits for its end.
template <typename Request, typename Response>
class Stream final : public grpc::ClientBidiReactor<Request, Response> {
 public:
  explicit Stream(std::function<void(const Response&)> received) : received_(std::move(received)) {}
  ~Stream() override {
    context_.TryCancel();
    Release();
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(&ended_));
  }

  grpc::ClientContext* context() { return &context_; }
  // Once, after the call has been bound to the reactor.
  void Start() {
    this->AddHold();
    this->StartRead(&response_);
    this->StartCall();
  }
  void Send(Request request) {
    absl::MutexLock lock(&mu_);
    waiting_.push_back(std::move(request));
    if (!writing_ && held_) WriteNext();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return Release();
    received_(response_);
    this->StartRead(&response_);
  }
  void OnWriteDone(bool ok) override {
    absl::MutexLock lock(&mu_);
    writing_ = false;
    waiting_.pop_front();
    if (ok && held_ && !waiting_.empty()) WriteNext();
  }
  void OnDone(const grpc::Status&) override {
    absl::MutexLock lock(&mu_);
    ended_ = true;
  }
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    writing_ = true;
    this->StartWrite(&waiting_.front());
  }
  void Release() {
    {
      absl::MutexLock lock(&mu_);
      if (!held_) return;
      held_ = false;
    }
    this->RemoveHold();
  }

  const std::function<void(const Response&)> received_;
  grpc::ClientContext context_;
  Response response_;
  absl::Mutex mu_;
  std::deque<Request> waiting_ ABSL_GUARDED_BY(mu_);  // The first is being written while writing_.
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = true;
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
};

// `count` watchers on `connections` streams, each on a connection of its own. Thread-safe.
class Watchers {
 public:
  // Returns when all are confirmed; null: not within a minute. `request` fills the one with this number.
  static std::unique_ptr<Watchers> Open(const std::string& endpoint, int connections, int count,
                                        const std::function<void(int, etcdserverpb::WatchCreateRequest*)>& request);
  // Events received by all of them so far.
  uint64_t events() const { return events_.load(std::memory_order_relaxed); }

 private:
  using WatchStream = Stream<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>;

  std::atomic<int> created_{0};
  std::atomic<uint64_t> events_{0};
  std::vector<std::unique_ptr<etcdserverpb::Watch::Stub>> stubs_;
  std::vector<std::unique_ptr<WatchStream>> streams_;
};

// Renewals of many leases. Thread-safe.
class Renewals {
 public:
  Renewals(const std::string& endpoint, int connections);
  void Send(int64_t lease);  // Over the connections in turn.
  uint64_t answered() const { return answered_.load(std::memory_order_relaxed); }
  uint64_t lost() const { return lost_.load(std::memory_order_relaxed); }  // Answers that say the lease is gone.

 private:
  using KeepAliveStream = Stream<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse>;

  std::atomic<uint64_t> answered_{0};
  std::atomic<uint64_t> lost_{0};
  std::atomic<size_t> turn_{0};
  std::vector<std::unique_ptr<etcdserverpb::Lease::Stub>> stubs_;
  std::vector<std::unique_ptr<KeepAliveStream>> streams_;
};

}  // namespace keel::bench
