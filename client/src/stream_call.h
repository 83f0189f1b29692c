#pragma once

// One call with many answers, which the application takes one after the other.

#include <grpcpp/grpcpp.h>

#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "client/src/unary_call.h"
#include "keel/types.h"

namespace keel::client {

inline constexpr CallTraits kStream = {.call_class = CallClass::kRepeatable, .is_write = false, .is_stream = true};

// Pieces come one at a time, and the next is asked for when the last has been taken, so the application's pace is the
// server's. Tried again like any read, but only until the first piece. It may be left with the application for ever;
// who cancels the call, or destroys the client, does not wait for it.
template <typename Request, typename Response>
class StreamCall final : public CallBase {
 public:
  using Reader = grpc::ClientAsyncReader<Response>;
  using Method = std::unique_ptr<Reader> (*)(Connection&, grpc::ClientContext*, const Request&, grpc::CompletionQueue*);
  // On an I/O thread. It may take the piece apart until it calls Taken.
  using Sink = std::function<void(Response&, Taken)>;
  using Completion = std::function<void(absl::Status, bool any_piece)>;

  StreamCall(std::shared_ptr<Core> core, const CallOptions& options, Method method, Sink sink, Completion done)
      : CallBase(std::move(core), kStream, options),
        method_(method),
        sink_(std::move(sink)),
        done_(std::move(done)),
        shared_(std::make_shared<Shared>()) {
    absl::MutexLock lock(&shared_->mu);
    shared_->call = this;
  }

  Request& request() { return request_; }

 private:
  enum class Phase { kIdle, kOpening, kReading, kWithCaller, kFinishing };
  // What is left for a Taken that comes when the call is gone. Lock order: the Core's registry before `mu`, which
  // guards everything below as well.
  struct Shared {
    absl::Mutex mu;
    StreamCall* call ABSL_GUARDED_BY(mu) = nullptr;
  };

  void Send(Connection& connection, grpc::ClientContext* context) override {
    absl::MutexLock lock(&shared_->mu);
    phase_ = Phase::kOpening;
    attempt_context_ = context;
    reader_ = method_(connection, context, request_, connection.queue);
    reader_->StartCall(tag());
  }

  void DropAttempt() override {
    absl::MutexLock lock(&shared_->mu);
    phase_ = Phase::kIdle;
    reader_.reset();
  }

  bool Advance(bool ok) override {
    int64_t number = 0;
    {
      absl::MutexLock lock(&shared_->mu);
      if (phase_ == Phase::kFinishing) return true;
      if (!ok || (phase_ == Phase::kReading && is_cancelled_)) {
        EndStream();  // By itself, or because the cancellation came too early to find it.
        return false;
      }
      if (phase_ == Phase::kOpening) {
        Read();
        return false;
      }
      phase_ = Phase::kWithCaller;
      number = ++pieces_;
    }
    // Whatever it starts comes back on this thread, so the call stays until we have returned.
    sink_(piece_, [shared = shared_, number](const absl::Status& status) {
      absl::MutexLock lock(&shared->mu);
      if (shared->call != nullptr) shared->call->PieceTaken(number, status);
    });
    return false;
  }

  bool MayBeRepeated() const override { return pieces_ == 0; }

  void OnCancel() override {
    absl::MutexLock lock(&shared_->mu);
    is_cancelled_ = true;
    if (phase_ == Phase::kWithCaller) EndStream();  // Nobody is reading, who would notice.
  }

  void Finish(absl::Status status) override {
    {
      absl::MutexLock lock(&shared_->mu);
      shared_->call = nullptr;
    }
    done_(refusal_.ok() ? std::move(status) : std::move(refusal_), pieces_ > 0);
  }

  void PieceTaken(int64_t number, const absl::Status& status) {
    if (phase_ != Phase::kWithCaller || number != pieces_) return;
    if (status.ok()) return Read();
    refusal_ = status;
    attempt_context_->TryCancel();
    EndStream();
  }
  void Read() {
    phase_ = Phase::kReading;
    piece_.Clear();
    reader_->Read(&piece_, tag());
  }
  void EndStream() {
    phase_ = Phase::kFinishing;
    reader_->Finish(&status_, tag());
  }
  void* tag() { return static_cast<QueueTag*>(this); }

  const Method method_;
  const Sink sink_;
  const Completion done_;
  Request request_;
  const std::shared_ptr<Shared> shared_;
  Phase phase_ = Phase::kIdle;
  grpc::ClientContext* attempt_context_ = nullptr;
  std::unique_ptr<Reader> reader_;
  Response piece_;
  int64_t pieces_ = 0;  // That have come. Changed on the I/O thread only.
  bool is_cancelled_ = false;
  absl::Status refusal_;  // By the application, of a piece.
};

// Runs the asynchronous form of a stream, with the pieces given to `sink` on this thread. `start` gets the asynchronous
// sink and what is to be done at the end. Not on an I/O thread.
template <typename Piece, typename Result, typename Start, typename Sink>
Result AwaitStream(Start start, const Sink& sink) {
  struct Meeting {
    absl::Mutex mu;
    std::optional<Piece> piece ABSL_GUARDED_BY(mu);
    Taken taken ABSL_GUARDED_BY(mu);
    std::optional<Result> result ABSL_GUARDED_BY(mu);
    bool HasNews() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return piece.has_value() || result.has_value(); }
  };
  // Shared: the thread that brings the result may be in it still when we leave.
  const auto meeting = std::make_shared<Meeting>();
  start(
      [meeting](Piece piece, Taken taken) {
        absl::MutexLock lock(&meeting->mu);
        meeting->piece = std::move(piece);
        meeting->taken = std::move(taken);
      },
      [meeting](Result result) {
        absl::MutexLock lock(&meeting->mu);
        meeting->result = std::move(result);
      });
  while (true) {
    std::optional<Piece> piece;
    Taken taken;
    {
      absl::MutexLock lock(&meeting->mu);
      meeting->mu.Await(absl::Condition(meeting.get(), &Meeting::HasNews));
      if (meeting->result.has_value()) return *std::move(meeting->result);
      piece = std::exchange(meeting->piece, std::nullopt);
      taken = std::exchange(meeting->taken, nullptr);
    }
    taken(sink(*std::move(piece)));
  }
}

}  // namespace keel::client
