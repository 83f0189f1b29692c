#pragma once

// Calls to one server by path and bytes, so that a request may be anything, and a response is seen as it came.

#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/time.h"
#include "tests/differential/method.h"

namespace keel::differential {

using MessagePtr = std::shared_ptr<google::protobuf::Message>;

// What a server said to one request.
struct Answer {
  grpc::Status status;
  std::vector<MessagePtr> messages;
};

using Metadata = std::vector<std::pair<std::string, std::string>>;

// A unary call on its way.
class PendingCall {
 public:
  PendingCall(grpc::GenericStub* stub, const Method& method, const std::string& request, absl::Duration timeout,
              const Metadata& metadata);
  PendingCall(const PendingCall&) = delete;
  PendingCall& operator=(const PendingCall&) = delete;
  ~PendingCall() { done_.WaitForNotification(); }

  // Blocks; once.
  Answer Wait();
  bool ended() const { return done_.HasBeenNotified(); }
  void Cancel() { context_.TryCancel(); }

 private:
  const Method& method_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  grpc::Status status_;
  absl::Notification done_;
};

// A stream in both directions; of a method that streams only its answers, the client sends once. Thread-safe.
class Stream final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  Stream(grpc::GenericStub* stub, const Method& method, const Metadata& metadata);
  ~Stream() override;  // Cancels and waits for the end.

  void Send(const std::string& request);
  void HalfClose();
  void Cancel() { context_.TryCancel(); }

  // Blocks until `enough` holds of what has arrived, or the stream has ended, or the time is up; true in the first
  // case.
  bool Await(const std::function<bool(const std::vector<MessagePtr>&)>& enough, absl::Duration timeout);
  bool AwaitEnd(absl::Duration timeout);
  std::vector<MessagePtr> messages() const;
  size_t size() const;
  bool ended() const;
  grpc::Status status() const;  // Of an ended stream.

 private:
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;
  void ReleaseHold();
  void WriteNext() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const Method& method_;
  grpc::ClientContext context_;
  grpc::ByteBuffer incoming_;
  mutable absl::Mutex mu_;
  std::deque<grpc::ByteBuffer> outgoing_ ABSL_GUARDED_BY(mu_);  // Never moves: the one being written is pointed to.
  size_t written_ ABSL_GUARDED_BY(mu_) = 0;
  bool writing_ ABSL_GUARDED_BY(mu_) = false;
  bool held_ ABSL_GUARDED_BY(mu_) = true;  // More may be sent; gRPC does not end the call under us.
  std::vector<MessagePtr> messages_ ABSL_GUARDED_BY(mu_);
  bool ended_ ABSL_GUARDED_BY(mu_) = false;
  grpc::Status status_ ABSL_GUARDED_BY(mu_);
};

// Thread-compatible.
class Connection {
 public:
  explicit Connection(const std::string& endpoint);

  std::unique_ptr<PendingCall> Start(const Method& method, const std::string& request,
                                     absl::Duration timeout = absl::Seconds(30), const Metadata& metadata = {});
  std::unique_ptr<Stream> Open(const Method& method, const Metadata& metadata = {});

  // A typed unary call, for what a run needs for itself.
  template <typename Response>
  grpc::Status Call(std::string_view word, const google::protobuf::Message& request, Response* response) {
    Answer answer = Start(*FindMethod(word), request.SerializeAsString())->Wait();
    if (answer.status.ok()) response->CopyFrom(*answer.messages.at(0));
    return answer.status;
  }

  // Until the server leads itself, answers a read and has told its name; false: not within `timeout`.
  bool AwaitReady(absl::Duration timeout);

 private:
  grpc::GenericStub stub_;
};

}  // namespace keel::differential
