#pragma once

// One renewal of a lease: a stream of one request and one answer.

#include <functional>
#include <memory>
#include <utility>

#include "client/src/unary_call.h"
#include "proto/etcdserver_lease.grpc.pb.h"

namespace keel::client {

class KeepAliveCall final : public CallBase {
 public:
  using Completion = std::function<void(absl::Status, const etcdserverpb::LeaseKeepAliveResponse&)>;

  KeepAliveCall(std::shared_ptr<Core> core, const CallTraits& traits, const CallOptions& options, LeaseId lease,
                Completion done);

 private:
  enum class Phase { kStarting, kWriting, kReading, kFinishing };

  void Send(Connection& connection, grpc::ClientContext* context) override;
  void DropAttempt() override { stream_.reset(); }
  bool Advance(bool ok) override;
  void Finish(absl::Status status) override { done_(std::move(status), response_); }

  const Completion done_;
  etcdserverpb::LeaseKeepAliveRequest request_;
  etcdserverpb::LeaseKeepAliveResponse response_;
  std::unique_ptr<
      grpc::ClientAsyncReaderWriter<etcdserverpb::LeaseKeepAliveRequest, etcdserverpb::LeaseKeepAliveResponse>>
      stream_;
  Phase phase_ = Phase::kStarting;
  bool answered_ = false;
};

}  // namespace keel::client
