#include "tests/differential/connection.h"

#include <chrono>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"

namespace keel::differential {
namespace {

std::shared_ptr<grpc::Channel> MakeChannel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  // Connections of different runs must not be shared.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  grpc::Slice slice(bytes);
  return grpc::ByteBuffer(&slice, 1);
}

// Null: the bytes are no such message.
MessagePtr Parse(const Method& method, const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (buffer.Dump(&slices).ok()) {
    for (const grpc::Slice& slice : slices) bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  MessagePtr message(method.response->New());
  return message->ParseFromString(bytes) ? message : nullptr;
}

}  // namespace

PendingCall::PendingCall(grpc::GenericStub* stub, const Method& method, const std::string& request,
                         absl::Duration timeout, const Metadata& metadata)
    : method_(method), request_(ToBuffer(request)) {
  for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
  context_.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMilliseconds(timeout));
  stub->UnaryCall(&context_, method.path, {}, &request_, &response_, [this](grpc::Status status) {
    status_ = std::move(status);
    done_.Notify();
  });
}

Answer PendingCall::Wait() {
  done_.WaitForNotification();
  Answer answer{.status = status_};
  if (status_.ok()) {
    if (MessagePtr message = Parse(method_, response_); message != nullptr) {
      answer.messages.push_back(std::move(message));
    } else {
      answer.status = grpc::Status(grpc::StatusCode::INTERNAL, "the response is not the message it should be");
    }
  }
  return answer;
}

Stream::Stream(grpc::GenericStub* stub, const Method& method, const Metadata& metadata) : method_(method) {
  for (const auto& [name, value] : metadata) context_.AddMetadata(name, value);
  stub->PrepareBidiStreamingCall(&context_, method.path, {}, this);
  AddHold();  // Requests may follow at any time until the destructor.
  StartRead(&incoming_);
  StartCall();
}

Stream::~Stream() {
  context_.TryCancel();
  ReleaseHold();
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(&ended_));
}

void Stream::Send(const std::string& request) {
  absl::MutexLock lock(&mu_);
  outgoing_.push_back(ToBuffer(request));
  if (!writing_) WriteNext();
}

void Stream::ReleaseHold() {
  {
    absl::MutexLock lock(&mu_);
    if (!held_) return;
    held_ = false;
  }
  RemoveHold();
}

void Stream::HalfClose() {
  {
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(absl::Condition(
                             +[](Stream* s) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                               return !s->held_ || (!s->writing_ && s->written_ == s->outgoing_.size());
                             },
                             this),
                         absl::Seconds(30));
    if (!held_) return;
  }
  StartWritesDone();
}

void Stream::WriteNext() {
  if (written_ == outgoing_.size() || !held_) return;
  writing_ = true;
  StartWrite(&outgoing_[written_]);
}

bool Stream::Await(const std::function<bool(const std::vector<MessagePtr>&)>& enough, absl::Duration timeout) {
  struct Wait {
    Stream* stream;
    const std::function<bool(const std::vector<MessagePtr>&)>* enough;
  } wait{this, &enough};
  absl::MutexLock lock(&mu_);
  mu_.AwaitWithTimeout(absl::Condition(
                           +[](Wait* w) ABSL_NO_THREAD_SAFETY_ANALYSIS {
                             return w->stream->ended_ || (*w->enough)(w->stream->messages_);
                           },
                           &wait),
                       timeout);
  return enough(messages_);
}

bool Stream::AwaitEnd(absl::Duration timeout) {
  absl::MutexLock lock(&mu_);
  return mu_.AwaitWithTimeout(absl::Condition(&ended_), timeout);
}

std::vector<MessagePtr> Stream::messages() const {
  absl::MutexLock lock(&mu_);
  return messages_;
}

size_t Stream::size() const {
  absl::MutexLock lock(&mu_);
  return messages_.size();
}

bool Stream::ended() const {
  absl::MutexLock lock(&mu_);
  return ended_;
}

grpc::Status Stream::status() const {
  absl::MutexLock lock(&mu_);
  return status_;
}

void Stream::OnReadDone(bool ok) {
  if (!ok) return ReleaseHold();  // The server has ended the call, or we have.
  MessagePtr message = Parse(method_, incoming_);
  {
    absl::MutexLock lock(&mu_);
    if (message != nullptr) messages_.push_back(std::move(message));
  }
  incoming_.Clear();
  StartRead(&incoming_);
}

void Stream::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mu_);
  writing_ = false;
  ++written_;
  if (ok) WriteNext();
}

void Stream::OnDone(const grpc::Status& status) {
  absl::MutexLock lock(&mu_);
  status_ = status;
  ended_ = true;
}

Connection::Connection(const std::string& endpoint) : stub_(MakeChannel(endpoint)) {}

std::unique_ptr<PendingCall> Connection::Start(const Method& method, const std::string& request, absl::Duration timeout,
                                               const Metadata& metadata) {
  return std::make_unique<PendingCall>(&stub_, method, request, timeout, metadata);
}

std::unique_ptr<Stream> Connection::Open(const Method& method, const Metadata& metadata) {
  return std::make_unique<Stream>(&stub_, method, metadata);
}

bool Connection::AwaitReady(absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  etcdserverpb::RangeRequest request;
  request.set_key("ready");
  while (absl::Now() < deadline) {
    const Answer answer = Start(*FindMethod("range"), request.SerializeAsString(), absl::Seconds(1))->Wait();
    if (answer.status.ok()) {
      // A member counts as started when it has told the cluster its name, which may be a moment later.
      const Answer members = Start(*FindMethod("members"), "", absl::Seconds(1))->Wait();
      if (members.status.ok()) {
        const auto& list = static_cast<const etcdserverpb::MemberListResponse&>(*members.messages[0]);
        if (list.members_size() > 0 && !list.members(0).name().empty()) return true;
      }
    }
    // It refuses the connection while it starts; this polls another process.
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

}  // namespace keel::differential
