#pragma once

// What every streaming reactor shares: one end, whoever calls for it, and the rules of gRPC's callback interface kept
// in one place (one write at a time, one Finish, nothing after it).

#include <grpcpp/grpcpp.h>

#include <memory>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/api/grpc_call.h"
#include "server/api/stream_monitor.h"

namespace keel::server {

// `Reactor` is a ServerBidiReactor or ServerWriteReactor of `Response`. Kept alive by itself until gRPC is done with
// it, and by whoever holds a shared_ptr meanwhile. Thread-safe.
//
// Subclasses call Open() once after construction, Send() for each message, and End() once or more; they hear OnSent()
// after a message has left, unless the stream is ending, and OnEnding() once when it begins to end.
template <typename Reactor, typename Response>
class StreamReactor : public Reactor, public OpenStream, public std::enable_shared_from_this<OpenStream> {
 public:
  StreamReactor(const Member* member, StreamMonitor* monitor, grpc::CallbackServerContext* context, RpcName name,
                RpcKind kind)
      : monitor_(monitor), context_(context), record_(member, name, kind) {}

  void End(absl::Status status) final {
    {
      absl::MutexLock lock(&mu_);
      if (end_.has_value()) return;
      end_ = std::move(status);
    }
    OnEnding();
    bool finish;
    {
      absl::MutexLock lock(&mu_);
      ending_heard_ = true;
      finish = ClaimFinish();
    }
    if (finish) FinishNow();
  }

  void Abort() final {
    absl::MutexLock lock(&context_mu_);
    if (context_ != nullptr) context_->TryCancel();
  }

 protected:
  // Called before anything else can happen to it: from the service's method.
  void Open(bool requires_leader) {
    self_ = this->shared_from_this();
    monitor_id_ = monitor_->Add(self_, requires_leader);
  }

  // Writes `response_`. False: the stream is ending, nothing is sent. `more_follows`: it may wait for the next one, to
  // share a packet with it; that one must then be sent as soon as this one has been. REQUIRES: no write is on its way.
  bool Send(bool more_follows = false) {
    bool first;
    {
      absl::MutexLock lock(&mu_);
      if (end_.has_value()) return false;
      writing_ = true;
      first = !std::exchange(headers_sent_, true);
    }
    grpc::WriteOptions options;
    // The first message takes the headers along, and those have to leave before it is done: it would wait for ever.
    if (more_follows && !first) options.set_buffer_hint();
    this->StartWrite(&response_, options);
    return true;
  }

  // Asks for the next message of a client that streams, unless the stream is ending. Under the lock, because a read
  // must not begin after Finish.
  template <typename Request>
  void Read(Request* request) {
    absl::MutexLock lock(&mu_);
    if (!end_.has_value()) this->StartRead(request);
  }

  // For a client that streams: it has sent a message.
  template <typename Request>
  void CountReceived(const Request& request) {
    record_.Received(WireBytes(request));
  }

  virtual void OnSent() = 0;
  virtual void OnEnding() {}
  virtual absl::Status CancelStatus() const { return absl::CancelledError("context canceled"); }

  Response response_;  // The message on its way, or being made.

 private:
  void OnWriteDone(bool ok) final {
    bool finish;
    bool ending;
    {
      absl::MutexLock lock(&mu_);
      writing_ = false;
      ending = end_.has_value();
      finish = ClaimFinish();
    }
    // Its size is known from when it was written.
    if (ok) record_.Sent(WrittenBytes(response_));
    if (finish) return FinishNow();
    if (ending) return;
    if (!ok) return End(CancelStatus());
    OnSent();
  }

  void OnCancel() final { End(CancelStatus()); }

  void OnDone() final {
    {
      absl::MutexLock lock(&context_mu_);
      context_ = nullptr;
    }
    monitor_->Remove(monitor_id_);
    const std::shared_ptr<OpenStream> self = std::move(self_);  // Its end may be the end of the object.
  }

  // One caller gets true, once nothing stands in the way of Finish.
  bool ClaimFinish() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    if (!end_.has_value() || !ending_heard_ || writing_ || finished_) return false;
    finished_ = true;
    return true;
  }

  void FinishNow() {
    absl::Status status;
    {
      absl::MutexLock lock(&mu_);
      status = *end_;
    }
    record_.Handled(status);
    this->Finish(ToGrpc(status));
  }

  StreamMonitor* const monitor_;
  absl::Mutex context_mu_;
  grpc::CallbackServerContext* context_ ABSL_GUARDED_BY(context_mu_);  // Null: gRPC is done with the call.
  RpcRecord record_;
  StreamMonitor::Id monitor_id_ = 0;
  std::shared_ptr<OpenStream> self_;

  absl::Mutex mu_;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool headers_sent_ ABSL_GUARDED_BY(mu_) = false;
  bool ending_heard_ ABSL_GUARDED_BY(mu_) = false;
  bool finished_ ABSL_GUARDED_BY(mu_) = false;
  std::optional<absl::Status> end_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
