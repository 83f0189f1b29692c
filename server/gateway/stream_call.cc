#include "server/gateway/stream_call.h"

#include <boost/asio/post.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "server/gateway/errors.h"

namespace keel::server {

void StreamCall::Start(const CallHeaders& headers) {
  absl::StatusOr<std::optional<std::string>> first = parts_.codec.Next(*route_.descriptor->input_type(), &rest_);
  if (!first.ok()) return TakeDone()(ErrorResponse(first.status()));
  if (absl::Status late = SetHeaders(headers, &context_); !late.ok()) return TakeDone()(StreamErrorResponse(late));
  if (!parts_.open.Add(this, weak_from_this())) return TakeDone()(ErrorResponse(GatewayStopped()));
  self_ = shared_from_this();
  parts_.stub->PrepareBidiStreamingCall(&context_, route_.method, grpc::StubOptions(), this);
  AddMultipleHolds(2);
  {
    absl::MutexLock lock(&mu_);
    started_ = true;
    busy_ = true;
  }
  // A call that streams only answers has one request, which may be empty.
  if (!route_.descriptor->client_streaming()) {
    if (!first->has_value()) first->emplace();
    rest_ = {};
    if (input_ != nullptr) input_->Discard();
  }
  if (first->has_value()) {
    request_ = ToBuffer(**first);
    StartWrite(&request_);
  }
  StartRead(&response_);
  const auto alive = self_;  // The call may end while it is being started.
  StartCall();
  if (!first->has_value()) SendNext();
}

StreamCall::Done StreamCall::TakeDone() {
  absl::MutexLock lock(&mu_);
  return std::exchange(done_, nullptr);
}

void StreamCall::SendNext() {
  absl::StatusOr<std::optional<std::string>> next = parts_.codec.Next(*route_.descriptor->input_type(), &rest_);
  if (next.ok() && next->has_value()) {
    request_ = ToBuffer(**next);
    return StartWrite(&request_);
  }
  if (next.ok() && input_ != nullptr && route_.descriptor->client_streaming()) return AwaitInput();
  if (input_ != nullptr) input_->Discard();
  StartWritesDone();
  RemoveHold();
}

void StreamCall::AwaitInput() {
  input_->Next([self = shared_from_this()](std::optional<std::string> text) {
    boost::asio::post(self->parts_.workers, [self, text = std::move(text)]() mutable {
      if (!text.has_value()) {
        self->StartWritesDone();
        return self->RemoveHold();
      }
      self->body_ = *std::move(text);
      self->rest_ = self->body_;
      self->SendNext();
    });
  });
}

void StreamCall::OnWriteDone(bool ok) {
  if (!ok) return RemoveHold();
  boost::asio::post(parts_.workers, [self = shared_from_this()] { self->SendNext(); });
}

void StreamCall::Next(Piece piece) {
  std::optional<std::string> ready;
  bool ended = false;
  bool read = false;
  {
    absl::MutexLock lock(&mu_);
    if (first_.has_value()) {
      ready = std::exchange(first_, std::nullopt);
    } else {
      piece_ = std::move(piece);
      ended = status_.has_value();
      // When somebody is busy with the end already, OnDone answers.
      read = !busy_ && !read_ended_;
      if (read) busy_ = true;
    }
  }
  if (ready.has_value()) return piece(std::move(ready));
  if (ended) return DeliverEnd();
  if (read) StartRead(&response_);
}

void StreamCall::Cancel() {
  context_.TryCancel();
  bool read;
  {
    absl::MutexLock lock(&mu_);
    if (std::exchange(cancelled_, true)) return;
    // The end of a call shows as the end of its messages, so somebody has to look for it.
    read = started_ && !busy_ && !read_ended_;
    if (read) busy_ = true;
  }
  if (read) StartRead(&response_);
}

void StreamCall::OnReadDone(bool ok) {
  bool drop;
  {
    absl::MutexLock lock(&mu_);
    drop = cancelled_;
    if (!ok) {
      busy_ = false;
      read_ended_ = true;
    }
  }
  if (!ok) return RemoveHold();
  if (drop) return StartRead(&response_);
  boost::asio::post(parts_.workers, [self = shared_from_this()] { self->DeliverMessage(); });
}

void StreamCall::DeliverMessage() {
  absl::StatusOr<std::string> json = FromBuffer(response_);
  response_.Clear();
  if (json.ok()) json = parts_.codec.ToJson(*route_.descriptor->output_type(), *json);
  Done done;
  Piece piece;
  bool drop;
  std::string line;
  {
    absl::MutexLock lock(&mu_);
    if (!json.ok()) {
      failure_ = json.status();
      cancelled_ = true;
    }
    drop = cancelled_;
    if (!drop) {
      busy_ = false;
      line = absl::StrCat("{\"result\":", *json, "}\n");
      if (done_ != nullptr) {
        first_ = std::move(line);
        done = std::exchange(done_, nullptr);
      } else {
        piece = std::exchange(piece_, nullptr);
      }
    }
  }
  if (drop) {
    context_.TryCancel();
    return StartRead(&response_);
  }
  if (done != nullptr) {
    return done({.status = 200, .headers = {{"Content-Type", "application/json"}}, .rest = shared_from_this()});
  }
  piece(std::move(line));
}

void StreamCall::OnDone(const grpc::Status& status) {
  const std::shared_ptr<StreamCall> self = std::move(self_);
  {
    absl::MutexLock lock(&mu_);
    status_ = failure_.ok() ? StatusOf(status) : failure_;
  }
  DeliverEnd();
  parts_.open.Remove(this);
}

void StreamCall::DeliverEnd() {
  Done done;
  Piece piece;
  absl::Status status;
  {
    absl::MutexLock lock(&mu_);
    done = std::exchange(done_, nullptr);
    piece = std::exchange(piece_, nullptr);
    if (done == nullptr && piece == nullptr) return;
    if (!std::exchange(error_told_, true)) status = *status_;
  }
  if (done != nullptr && status.ok()) {
    return done({.status = 200, .headers = {{"Content-Type", "application/json"}}, .rest = shared_from_this()});
  }
  if (done != nullptr) return done(StreamErrorResponse(status));
  if (status.ok()) return piece(std::nullopt);
  piece(StreamErrorLine(status));
}

}  // namespace keel::server
