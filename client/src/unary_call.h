#pragma once

// One call with one answer, over as many attempts as the retry policy allows.

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/notification.h"
#include "client/src/convert.h"
#include "client/src/core.h"
#include "client/src/retry_policy.h"
#include "client/src/tour.h"
#include "keel/options.h"

namespace keel::client {

// What kind of call it is; the same for all calls of a method, but for a few special cases.
struct CallTraits {
  CallClass call_class = CallClass::kOnce;
  bool is_write = true;
  int attempts_max = 0;  // 0: as the policy says.
  bool counts = true;    // Against ClientOptions::in_flight_max.
  // Answers may come for as long as they will: only a timeout that the caller names bounds the call, and the client's
  // own only how long to look for a server that begins to answer.
  bool is_stream = false;
};
inline constexpr CallTraits kRead = {.call_class = CallClass::kRepeatable, .is_write = false};
inline constexpr CallTraits kWrite = {.call_class = CallClass::kOnce, .is_write = true};
// Writes that may be executed twice, and whose callers need not know whether they were.
inline constexpr CallTraits kHarmlessWrite = {.call_class = CallClass::kRepeatable, .is_write = false};

// Attempts, deadlines, retries; the message types are the subclass's. Owns itself from Start() until it has finished.
class CallBase : public QueueTag, public Activity {
 public:
  virtual ~CallBase() = default;

  // Finish() follows exactly once, here or on a thread of the Core.
  void Start();
  // Instead of Start(): finishes with `status`, unsent.
  void Reject(absl::Status status) { End(std::move(status)); }

 protected:
  CallBase(std::shared_ptr<Core> core, const CallTraits& traits, const CallOptions& options);

  // Begins one attempt on `connection` with `context`; its end, when Advance() says so, is in `status_`.
  virtual void Send(Connection& connection, grpc::ClientContext* context) = 0;
  // Lets go of what the last attempt left in its context's memory, before the context goes.
  virtual void DropAttempt() = 0;
  // A tag came back. True when the attempt is over.
  virtual bool Advance(bool ok) = 0;
  // The last call made on it.
  virtual void Finish(absl::Status status) = 0;
  // False once another attempt could not begin where this one ended.
  virtual bool MayBeRepeated() const { return true; }
  // The call is to end; the context of an attempt has been told. Under the Core's registry lock, on any thread.
  virtual void OnCancel() {}

  grpc::Status status_;

 private:
  // `now`: about the time.
  void Attempt(absl::Time now);
  // Sends once the channel is connected or refuses to be.
  void ConnectOrSend();
  void Done(bool ok) final;
  void AttemptEnded(const grpc::Status& status, bool sent);
  void CancelFromCore() final;
  // The application asks for the end, on any thread.
  void CancelFromCaller();
  // Attempts again after `delay`, unless it is cancelled in between.
  void AttemptAfter(absl::Duration delay);
  absl::Status CancelledByCaller() const;
  size_t endpoint_count() const { return options_.endpoint.empty() ? core_->endpoint_count() : 1; }
  void End(absl::Status status);

  const std::shared_ptr<Core> core_;
  const CallTraits traits_;
  const CallOptions options_;
  absl::Time deadline_;          // Of the call. Wall time, as gRPC's deadlines are.
  absl::Time retry_until_;       // Later attempts do not begin.
  absl::Time attempt_deadline_;  // Of this attempt.
  bool registered_ = false;
  bool counted_ = false;
  Route route_;
  Tour tour_;
  int attempts_ = 0;
  bool connecting_ = false;  // The tag under way is of the channel, not of the call.
  bool maybe_executed_ = false;
  std::atomic<bool> cancelled_ = false;         // Set in Core::ChangeUnlessStopping, as context_ is.
  std::optional<grpc::ClientContext> context_;  // Replaced only in Core::ChangeUnlessStopping.
  // Last, so that it is gone, and has run to its end, before anything that it touches.
  std::optional<std::stop_callback<std::function<void()>>> on_cancel_;
};

// `Completion` is called with an absl::Status and a Response&. A type of its own, so that a call is one allocation.
template <typename Request, typename Response, typename Completion>
class UnaryCall final : public CallBase {
 public:
  using Reader = grpc::ClientAsyncResponseReader<Response>;
  using Method = std::unique_ptr<Reader> (*)(Connection&, grpc::ClientContext*, const Request&, grpc::CompletionQueue*);

  UnaryCall(std::shared_ptr<Core> core, const CallTraits& traits, const CallOptions& options, Method method,
            Completion done)
      : CallBase(std::move(core), traits, options), method_(method), done_(std::move(done)) {}

  Request& request() { return request_; }

 private:
  void Send(Connection& connection, grpc::ClientContext* context) override {
    response_.Clear();
    reader_ = method_(connection, context, request_, connection.queue);
    reader_->Finish(&response_, &status_, static_cast<QueueTag*>(this));
  }
  void DropAttempt() override { reader_.reset(); }
  bool Advance(bool) override { return true; }
  void Finish(absl::Status status) override { done_(std::move(status), response_); }

  const Method method_;
  const Completion done_;
  Request request_;
  Response response_;
  std::unique_ptr<Reader> reader_;
};

template <typename Rpc>
struct RpcTypes;
template <typename Stub, typename RequestPb, typename ResponsePb>
struct RpcTypes<std::unique_ptr<grpc::ClientAsyncResponseReader<ResponsePb>> (Stub::*)(
    grpc::ClientContext*, const RequestPb&, grpc::CompletionQueue*)> {
  using Request = RequestPb;
  using Response = ResponsePb;
};

// Starts a call of one RPC: StartCall<&Connection::kv, &KV::Stub::AsyncPut>(...). `fill` makes the request (and may
// refuse with a Status), `convert` turns the answer's message into the Response of `done`.
template <auto kService, auto kRpc, typename Response, typename Fill, typename Convert>
void StartCall(Core& core, const CallTraits& traits, const CallOptions& options, Fill fill, Convert convert,
               Callback<Response> done) {
  using Request = typename RpcTypes<decltype(kRpc)>::Request;
  using ResponsePb = typename RpcTypes<decltype(kRpc)>::Response;
  auto completion = [done = std::move(done), convert](absl::Status status, ResponsePb& response) {
    if (!status.ok()) return done(std::move(status));
    done(convert(response));
  };
  auto call = std::make_unique<UnaryCall<Request, ResponsePb, decltype(completion)>>(
      core.shared_from_this(), traits, options,
      [](Connection& connection, grpc::ClientContext* context, const Request& request, grpc::CompletionQueue* queue) {
        return ((*(connection.*kService)).*kRpc)(context, request, queue);
      },
      std::move(completion));
  absl::Status status = fill(&call->request());
  CallBase* const running = call.release();  // It owns itself from here.
  if (status.ok()) {
    running->Start();
  } else {
    running->Reject(std::move(status));
  }
}

// The usual conversion: whatever FromProto does with the message.
inline constexpr auto kByFromProto = [](auto& response) { return FromProto(response); };

// Runs the asynchronous form of a call and waits for its answer. Not on an I/O thread.
template <typename Response, typename StartCall>
absl::StatusOr<Response> Await(StartCall start) {
  absl::Notification done;
  absl::StatusOr<Response> result = absl::UnknownError("no answer");
  start([&](absl::StatusOr<Response> r) {
    result = std::move(r);
    done.Notify();
  });
  done.WaitForNotification();
  return result;
}

}  // namespace keel::client
