#pragma once

#include <grpcpp/support/client_callback.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/synchronization/mutex.h"
#include "server/gateway/gateway_call.h"
#include "server/gateway/routes.h"
#include "server/http/http_handler.h"

namespace keel::server {

// A call that answers with messages, one line of JSON each. The next message is read when the connection asks for the
// next piece, so a client that reads slowly holds up the stream and nothing gathers here.
//
// Requests are taken off the body, and then off what the client sends after it, one by one as the call accepts them;
// after the last one it is half-closed, which ends a keep-alive and leaves a watch running. Text that is no request
// ends them, too, unless it is the first.
//
// Kept alive by itself from Start() until gRPC is done with it. Both sides of the call, reading and writing, hold the
// call open (AddHold) until they have ended for good.
class StreamCall final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                         public HttpStream,
                         public GatewayCall,
                         public std::enable_shared_from_this<StreamCall> {
 public:
  using Done = absl::AnyInvocable<void(HttpResponse)>;
  using Piece = absl::AnyInvocable<void(std::optional<std::string>)>;

  // `input`: what follows the body; may be null.
  StreamCall(GatewayParts* parts, const Route* route, std::string body, std::shared_ptr<HttpInput> input, Done done)
      : parts_(*parts),
        route_(*route),
        body_(std::move(body)),
        rest_(body_),
        input_(std::move(input)),
        done_(std::move(done)) {}

  // On a worker. `done` is called once: with the first message on its way, or with the error instead of it.
  void Start(const CallHeaders& headers);

  void Next(Piece piece) override;
  void Cancel() override;

 private:
  Done TakeDone();
  // Writes the next request, waits for more of the body, or ends the writing. On a worker.
  void SendNext();
  void AwaitInput();
  void OnWriteDone(bool ok) override;
  void OnReadDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

  // Hands on the message that has come. On a worker.
  void DeliverMessage();
  // Tells whoever waits that there are no messages any more, and why. REQUIRES: status_ is there.
  void DeliverEnd();

  GatewayParts& parts_;
  const Route& route_;
  // Whoever writes owns these.
  std::string body_;
  std::string_view rest_;  // Of the body.
  const std::shared_ptr<HttpInput> input_;
  grpc::ClientContext context_;
  grpc::ByteBuffer request_;
  grpc::ByteBuffer response_;
  std::shared_ptr<StreamCall> self_;  // Until OnDone.

  absl::Mutex mu_;
  Done done_ ABSL_GUARDED_BY(mu_);                         // Until the first message or the end.
  std::optional<std::string> first_ ABSL_GUARDED_BY(mu_);  // The first message, until it is asked for.
  Piece piece_ ABSL_GUARDED_BY(mu_);                       // Asked for.
  bool started_ ABSL_GUARDED_BY(mu_) = false;
  bool busy_ ABSL_GUARDED_BY(mu_) = false;                   // A read is on its way, or its message is being handed on.
  bool read_ended_ ABSL_GUARDED_BY(mu_) = false;             // No message comes any more.
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;              // Messages are read and dropped, up to the end.
  absl::Status failure_ ABSL_GUARDED_BY(mu_);                // Of our own.
  std::optional<absl::Status> status_ ABSL_GUARDED_BY(mu_);  // How the call has ended.
  bool error_told_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace keel::server
