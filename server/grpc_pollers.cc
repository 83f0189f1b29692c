#include "server/grpc_pollers.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/support/byte_buffer.h>

#include <algorithm>
#include <utility>

#include "absl/time/time.h"
#include "base/grpc_lifetime.h"
#include "base/thread_name.h"

namespace keel::server {
namespace {

constexpr absl::Duration kAwakeInterval = absl::Milliseconds(400);

// As gRPC counts them.
int CallbackThreads(int cores) { return std::clamp(cores / 2, 2, 16); }

// One for every four cores: the raft, log and apply threads want theirs, too.
int UsefulThreads(int cores) { return std::max(1, cores / 4); }

}  // namespace

// A call on a channel without credentials, which fails at once and whose callback runs on a callback thread like any
// other. Not to be destroyed by its callback, which may run before Start() has returned.
class GrpcPollers::Nowhere {
 public:
  explicit Nowhere(std::function<void()> done)
      : done_(std::move(done)),
        stub_(grpc::CreateChannel("nowhere", nullptr)),
        slice_("nothing"),
        request_(&slice_, 1) {}

  void Start() {
    stub_.UnaryCall(&context_, "/keel/Nowhere", grpc::StubOptions(), &request_, &response_,
                    [this](const grpc::Status&) { done_(); });
  }

 private:
  const std::function<void()> done_;
  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::Slice slice_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
};

GrpcPollers::GrpcPollers() {
  KeepGrpc();
  const int cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
  for (int surplus = CallbackThreads(cores) - UsefulThreads(cores); surplus > 0; --surplus) {
    {
      absl::MutexLock lock(&mu_);
      ++calls_;
    }
    parked_.push_back(std::make_unique<Nowhere>([this] { Park(); }));
    parked_.back()->Start();
  }
  waker_ = std::thread([this] { KeepAwake(); });
}

GrpcPollers::~GrpcPollers() {
  {
    absl::MutexLock lock(&mu_);
    released_ = true;
  }
  waker_.join();
  absl::MutexLock lock(&mu_);
  auto none = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return calls_ == 0; };
  mu_.Await(absl::Condition(&none));
}

void GrpcPollers::Park() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(&released_));
  --calls_;
}

void GrpcPollers::KeepAwake() {
  NameThread("grpc-awake");
  std::unique_ptr<Nowhere> call;
  absl::MutexLock lock(&mu_);
  while (!mu_.AwaitWithTimeout(absl::Condition(&released_), kAwakeInterval)) {
    if (awake_call_) continue;  // Still on its way: then nobody sleeps.
    awake_call_ = true;
    mu_.Unlock();
    call = std::make_unique<Nowhere>([this] {
      absl::MutexLock ended(&mu_);
      awake_call_ = false;
    });
    call->Start();
    mu_.Lock();
  }
  auto ended = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return !awake_call_; };
  mu_.Await(absl::Condition(&ended));
}

}  // namespace keel::server
