#include "server/api/grpc_watch_service.h"

#include <grpc/slice.h>

#include <atomic>
#include <memory>
#include <utility>

#include "server/api/grpc_call.h"
#include "server/api/grpc_stream.h"
#include "server/watch/watch_hub.h"

namespace keel::server {
namespace {

using etcdserverpb::WatchRequest;

absl::Status ParseRequest(grpc::ByteBuffer* bytes, WatchRequest* request) {
  const grpc::Status status = grpc::SerializationTraits<WatchRequest>::Deserialize(bytes, request);
  return status.ok() ? absl::OkStatus() : absl::InternalError("a message of the client is not a WatchRequest");
}

// One client's watch stream. Takes a message from the hub whenever the connection can take one; in between the hub's
// call arms it again. Half-close does not end it: watchers run until the client cancels the call (rpc.md section 2.8).
class WatchReactor final
    : public StreamReactor<grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>, grpc::ByteBuffer> {
 public:
  WatchReactor(const ApiBase& base, WorkerPool* senders, SendTurns* turns, grpc::CallbackServerContext* context)
      : StreamReactor(base.member, base.monitor, context, {"etcdserverpb.Watch", "Watch"}, RpcKind::kBidiStream),
        base_(base),
        senders_(senders),
        turns_(turns) {}

  void Start(const Call& call) {
    Open(call.requires_leader);
    if (absl::Status status = base_.admission->Admit(call); !status.ok()) return End(std::move(status));
    // Called under the hub's locks, so it may neither take from the hub nor let go of what might be the last reference.
    stream_ = base_.member->watch->OpenStream([senders = senders_, weak = Weak()] {
      senders->Run([weak] {
        if (auto self = weak.lock()) self->Deliver();
      });
    });
    Read(&received_);
    Deliver();
  }

 private:
  void OnReadDone(bool ok) override {
    if (!ok) return;
    CountReceived(received_);
    if (absl::Status status = ParseRequest(&received_, &request_); !status.ok()) {
      if (base_.member->metrics != nullptr) base_.member->metrics->StreamRefused("watch");
      return End(std::move(status));
    }
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
    read_paused_.store(true, std::memory_order_release);
    ReadOn();
  }

  // Reads the next request, unless the client reads too little of what it asked for before; then whoever delivers calls
  // this again.
  void ReadOn() {
    if (!read_paused_.load(std::memory_order_acquire) || stream_->congested()) return;
    if (read_paused_.exchange(false, std::memory_order_acq_rel)) Read(&received_);
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
      const WatchStream::Taken taken = Take();
      ReadOn();
      if (taken.any) {
        turn_.events += taken.events;
        turn_.answers |= taken.answer;
        turn_goes_on_ = taken.more_follows;
        // Thousands of watchers of one stream have a message each: they leave in packets, not one by one.
        Send(taken.more_follows);
        return;
      }
      absl::MutexLock lock(&mu_);
      if (!look_again_) {
        delivering_ = false;
        return;
      }
      look_again_ = false;
    }
  }

  // Into `response_`.
  WatchStream::Taken Take() {
    etcdserverpb::ResponseHeader header;
    base_.member->FillHeader(0, &header);
    if (!std::exchange(turn_goes_on_, false)) turn_begin_ = base_.member->clock->Now();
    return stream_->NextWire(header, [this](size_t bytes) {
      grpc_slice slice = grpc_slice_malloc_large(bytes);  // Never inside the slice itself, however small.
      const grpc::Slice taken(slice, grpc::Slice::STEAL_REF);
      response_ = grpc::ByteBuffer(&taken, 1);
      return GRPC_SLICE_START_PTR(slice);
    });
  }

  void OnSent() override {
    response_.Clear();  // It may have been large, and the next one may be long in coming.
    if (!turn_goes_on_) CountTurn();
    if (turns_->Spend()) return TakeNext();
    turns_->StepBack([weak = Weak()] {
      if (auto self = weak.lock()) self->TakeNext();
    });
  }

  // Everything that was there has been sent.
  void CountTurn() {
    const WatchTurn turn = std::exchange(turn_, {});
    if (base_.member->metrics == nullptr) return;
    base_.member->metrics->WatchSent(turn, base_.member->clock->Now() - turn_begin_);
  }

  std::weak_ptr<WatchReactor> Weak() { return std::static_pointer_cast<WatchReactor>(shared_from_this()); }
  absl::Status CancelStatus() const override { return absl::CancelledError("etcdserver: watch canceled"); }

  const ApiBase& base_;
  WorkerPool* const senders_;
  SendTurns* const turns_;
  grpc::ByteBuffer received_;
  WatchRequest request_;
  std::atomic<bool> read_paused_{false};  // No read is on its way, and one is wanted.
  std::unique_ptr<WatchStream> stream_;   // Null: not admitted, and then nothing is read.

  // Whoever delivers.
  WatchTurn turn_;
  bool turn_goes_on_ = false;
  absl::Time turn_begin_;

  absl::Mutex mu_;
  bool delivering_ ABSL_GUARDED_BY(mu_) = false;  // Somebody takes from the hub, or a message is on its way.
  bool look_again_ ABSL_GUARDED_BY(mu_) = false;  // The hub called meanwhile.
};

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* GrpcWatchService::Watch(
    grpc::CallbackServerContext* context) {
  auto reactor = std::make_shared<WatchReactor>(*base_, senders_, turns_.get(), context);
  reactor->Start(ReadCall(*context, *base_->member, RpcKind::kBidiStream));
  return reactor.get();
}

}  // namespace keel::server
