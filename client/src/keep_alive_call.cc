#include "client/src/keep_alive_call.h"

namespace keel::client {

KeepAliveCall::KeepAliveCall(std::shared_ptr<Core> core, const CallTraits& traits, const CallOptions& options,
                             LeaseId lease, Completion done)
    : CallBase(std::move(core), traits, options), done_(std::move(done)) {
  request_.set_id(lease);
}

void KeepAliveCall::Send(Connection& connection, grpc::ClientContext* context) {
  phase_ = Phase::kStarting;
  answered_ = false;
  response_.Clear();
  // In two steps: the tag may come back on the I/O thread before an assignment here is done.
  stream_ = connection.lease->PrepareAsyncLeaseKeepAlive(context, connection.queue);
  stream_->StartCall(static_cast<QueueTag*>(this));
}

bool KeepAliveCall::Advance(bool ok) {
  QueueTag* const tag = this;
  if (phase_ == Phase::kFinishing) {
    // What counts is the answer; how the stream ends after it says nothing about the lease.
    if (answered_) status_ = grpc::Status::OK;
    if (!answered_ && status_.ok()) {
      status_ = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the server ended the stream without an answer");
    }
    return true;
  }
  if (phase_ == Phase::kReading) answered_ = ok;
  if (!ok || phase_ == Phase::kReading) {
    phase_ = Phase::kFinishing;
    stream_->Finish(&status_, tag);
  } else if (phase_ == Phase::kStarting) {
    phase_ = Phase::kWriting;
    stream_->WriteLast(request_, grpc::WriteOptions(), tag);
  } else {
    phase_ = Phase::kReading;
    stream_->Read(&response_, tag);
  }
  return false;
}

}  // namespace keel::client
