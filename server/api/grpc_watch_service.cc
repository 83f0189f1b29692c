#include "server/api/grpc_watch_service.h"

#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_stream.h"
#include "server/watch/watch_hub.h"

namespace keel::server {
namespace {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

constexpr int kResponseBytesKept = 64 << 10;

// One client's watch stream. Takes a message from the hub whenever the connection can take one; in between the hub's
// call arms it again. Half-close does not end it: watchers run until the client cancels the call (rpc.md section 2.8).
class WatchReactor final : public StreamReactor<grpc::ServerBidiReactor<WatchRequest, WatchResponse>, WatchResponse> {
 public:
  WatchReactor(const ApiBase& base, WorkerPool* senders, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, {"etcdserverpb.Watch", "Watch"}, RpcKind::kBidiStream),
        base_(base),
        senders_(senders) {}

  void Start(const Call& call) {
    Open(call.requires_leader);
    if (absl::Status status = base_.admission->Admit(call); !status.ok()) return End(std::move(status));
    // Called under the hub's locks, so it may neither take from the hub nor let go of what might be the last reference.
    auto weak = std::weak_ptr<WatchReactor>(std::static_pointer_cast<WatchReactor>(shared_from_this()));
    stream_ = base_.member->watch->OpenStream([senders = senders_, weak = std::move(weak)] {
      senders->Run([weak] {
        if (auto self = weak.lock()) self->Deliver();
      });
    });
    Read(&request_);
    Deliver();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    CountReceived(request_);
    switch (request_.request_union_case()) {
      case WatchRequest::kCreateRequest:
        stream_->Create(request_.create_request());
        break;
      case WatchRequest::kCancelRequest:
        stream_->Cancel(request_.cancel_request().watch_id());
        break;
      case WatchRequest::kProgressRequest:
        stream_->RequestProgress();
        break;
      case WatchRequest::REQUEST_UNION_NOT_SET:
        break;
    }
    {
      absl::MutexLock lock(&mu_);
      read_paused_ = true;
    }
    ReadOn();
  }

  // Reads the next request, unless the client reads too little of what it asked for before; then whoever delivers calls
  // this again.
  void ReadOn() {
    if (stream_->congested()) return;
    {
      absl::MutexLock lock(&mu_);
      if (!std::exchange(read_paused_, false)) return;
    }
    Read(&request_);
  }

  // Sends what there is, unless somebody is at it already.
  void Deliver() {
    {
      absl::MutexLock lock(&mu_);
      if (delivering_) {
        look_again_ = true;
        return;
      }
      delivering_ = true;
    }
    TakeNext();
  }

  // REQUIRES: the caller delivers, and nothing is on its way.
  void TakeNext() {
    while (true) {
      if (response_.GetCachedSize() > kResponseBytesKept) {
        response_ = WatchResponse();
      } else {
        response_.Clear();
      }
      if (stream_->Next(&response_)) {
        base_.member->FillHeader(response_.header().revision(), response_.mutable_header());
        ReadOn();
        Send();
        return;
      }
      ReadOn();
      absl::MutexLock lock(&mu_);
      if (!look_again_) {
        delivering_ = false;
        return;
      }
      look_again_ = false;
    }
  }

  void OnSent() override { TakeNext(); }
  absl::Status CancelStatus() const override { return absl::CancelledError("etcdserver: watch canceled"); }

  const ApiBase& base_;
  WorkerPool* const senders_;
  WatchRequest request_;
  std::unique_ptr<WatchStream> stream_;  // Null: not admitted, and then nothing is read.

  absl::Mutex mu_;
  bool delivering_ ABSL_GUARDED_BY(mu_) = false;   // Somebody takes from the hub, or a message is on its way.
  bool look_again_ ABSL_GUARDED_BY(mu_) = false;   // The hub called meanwhile.
  bool read_paused_ ABSL_GUARDED_BY(mu_) = false;  // No read is on its way.
};

}  // namespace

grpc::ServerBidiReactor<WatchRequest, WatchResponse>* GrpcWatchService::Watch(grpc::CallbackServerContext* context) {
  auto reactor = std::make_shared<WatchReactor>(*base_, senders_, context);
  reactor->Start(ReadCall(*context, *base_->member));
  return reactor.get();
}

}  // namespace keel::server
