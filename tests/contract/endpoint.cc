#include "tests/contract/endpoint.h"

#include <google/protobuf/text_format.h>

#include <cstdlib>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "tests/differential/comparer.h"
#include "tests/differential/sequence.h"

namespace keel::contract {
namespace {

using differential::FindMethod;
using differential::PrintMessage;

constexpr int64_t kFirstFence = 1'000'000;

// Everything but the header's revision is the server's own.
void StripHeader(google::protobuf::Message* message) {
  const auto* field = message->GetDescriptor()->FindFieldByName("header");
  if (field == nullptr || !message->GetReflection()->HasField(*message, field)) return;
  auto* header = static_cast<etcdserverpb::ResponseHeader*>(message->GetReflection()->MutableMessage(message, field));
  header->clear_cluster_id();
  header->clear_member_id();
  header->clear_raft_term();
}

}  // namespace

bool is_etcd() {
  const char* wanted = std::getenv("KEEL_TEST_SERVER");
  return wanted != nullptr && std::string(wanted) == "etcd";
}

std::string Shown(const google::protobuf::Message& message) {
  std::unique_ptr<google::protobuf::Message> copy(message.New());
  copy->CopyFrom(message);
  StripHeader(copy.get());
  return PrintMessage(*copy);
}

std::string Shown(const grpc::Status& status) {
  return status.ok() ? "ok" : absl::StrCat(status.error_code(), " ", status.error_message());
}

WatchStream::WatchStream(differential::Connection* connection, const differential::Metadata& metadata)
    : stream_(connection->Open(*FindMethod("watch"), metadata)) {}

void WatchStream::Send(const std::string& request) {
  etcdserverpb::WatchRequest message;
  KEEL_CHECK(google::protobuf::TextFormat::ParseFromString(request, &message)) << request;
  stream_->Send(message.SerializeAsString());
}

etcdserverpb::WatchResponse WatchStream::NextMessage() {
  const bool came = stream_->Await([this](const auto& messages) { return messages.size() > read_; }, kPatience);
  EXPECT_TRUE(came) << "no message came";
  if (!came) return {};
  return static_cast<const etcdserverpb::WatchResponse&>(*stream_->messages()[read_++]);
}

std::string WatchStream::Next() {
  const etcdserverpb::WatchResponse message = NextMessage();
  return Shown(message);
}

std::vector<std::string> WatchStream::UntilFence() {
  const int64_t id = kFirstFence + fences_++;
  Send(absl::StrCat("create_request { key: 'nobody writes this' watch_id: ", id, " }"));
  std::vector<std::string> came;
  while (!testing::Test::HasFailure()) {
    const etcdserverpb::WatchResponse message = NextMessage();
    if (message.watch_id() == id) break;
    came.push_back(Shown(message));
  }
  Send(absl::StrCat("cancel_request { watch_id: ", id, " }"));
  // What the cancellation overtakes belongs to the next read; nothing can: the fence is the last that was asked for.
  EXPECT_TRUE(NextMessage().canceled());
  return came;
}

int64_t WatchStream::Create(const std::string& create) {
  Send(absl::StrCat("create_request { ", create, " }"));
  const etcdserverpb::WatchResponse created = NextMessage();
  EXPECT_TRUE(created.created()) << Shown(created);
  EXPECT_FALSE(created.canceled()) << Shown(created);
  return created.watch_id();
}

void Endpoint::Connect(const std::string& address) {
  connection_ = std::make_unique<differential::Connection>(address);
}

differential::Answer Endpoint::Call(const std::string& line, absl::Duration timeout,
                                    const differential::Metadata& metadata) {
  const auto step = differential::ParseStep(line);
  KEEL_CHECK_OK(step);
  if (step->method->shape != differential::Shape::kServerStream) {
    return connection_->Start(*step->method, step->request->SerializeAsString(), timeout, metadata)->Wait();
  }
  const auto stream = Open(line, metadata);
  EXPECT_TRUE(stream->AwaitEnd(timeout)) << line;
  return {.status = stream->status(), .messages = stream->messages()};
}

std::unique_ptr<differential::PendingCall> Endpoint::Start(const std::string& line, absl::Duration timeout) {
  const auto step = differential::ParseStep(line);
  KEEL_CHECK_OK(step);
  return connection_->Start(*step->method, step->request->SerializeAsString(), timeout);
}

std::unique_ptr<differential::Stream> Endpoint::Open(const std::string& line, const differential::Metadata& metadata) {
  const auto step = differential::ParseStep(line);
  KEEL_CHECK_OK(step);
  auto stream = connection_->Open(*step->method, metadata);
  stream->Send(step->request->SerializeAsString());
  if (step->method->shape == differential::Shape::kServerStream) stream->HalfClose();
  return stream;
}

std::string Endpoint::Error(const std::string& line, absl::Duration timeout, const differential::Metadata& metadata) {
  const differential::Answer answer = Call(line, timeout, metadata);
  return answer.status.ok() ? "ok " + differential::PrintAnswer(answer) : Shown(answer.status);
}

std::string Endpoint::Text(const std::string& line) {
  const differential::Answer answer = Call(line);
  return answer.status.ok() ? Shown(*answer.messages[0]) : Shown(answer.status);
}

std::string Endpoint::Keys(const std::string& range) {
  const auto response = Ok<etcdserverpb::RangeResponse>("range " + range);
  std::vector<std::string> keys;
  for (const mvccpb::KeyValue& pair : response.kvs()) keys.push_back(pair.key());
  return absl::StrCat(absl::StrJoin(keys, " "), " |", response.more() ? " more" : "", " | ", response.count());
}

int64_t Endpoint::Put(const std::string& key, const std::string& value, int64_t lease) {
  etcdserverpb::PutRequest put;
  put.set_key(key);
  put.set_value(value);
  put.set_lease(lease);
  etcdserverpb::PutResponse response;
  const grpc::Status status = connection_->Call("put", put, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.header().revision();
}

int64_t Endpoint::Revision() { return Ok<etcdserverpb::RangeResponse>("range key: 'a'").header().revision(); }

}  // namespace keel::contract
