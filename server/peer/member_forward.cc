#include "server/peer/member_forward.h"

#include <chrono>
#include <string>
#include <utility>

#include "base/grpc_status.h"

namespace keel::server {
namespace {

constexpr char kNotLeaderText[] = "not leader";
constexpr size_t kMessageBytesMax = 4u << 20;

template <typename Call>
auto AskOnce(const Url& url, absl::Duration timeout, Call call)
    -> decltype(call(static_cast<peer::Members::Stub*>(nullptr), static_cast<grpc::ClientContext*>(nullptr))) {
  auto stub = peer::Members::NewStub(DialPeer(url, kMessageBytesMax));
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(timeout));
  return call(stub.get(), &context);
}

}  // namespace

absl::Status NotLeaderError() { return absl::UnavailableError(kNotLeaderText); }
bool IsNotLeader(const absl::Status& status) { return status == NotLeaderError(); }

etcdserverpb::Member ToMessage(const storage::MemberRecord& record) {
  etcdserverpb::Member message;
  message.set_id(record.id);
  message.set_name(record.name);
  for (const std::string& url : record.peer_urls) message.add_peerurls(url);
  for (const std::string& url : record.client_urls) message.add_clienturls(url);
  message.set_islearner(record.learner);
  return message;
}

peer::ListResponse ListMembers(const storage::StateStore& store) {
  peer::ListResponse list;
  list.set_cluster_id(store.cluster_id());
  list.set_membership_index(store.membership().index);
  for (const storage::MemberRecord& record : store.members()) {
    *list.add_members() = ToMessage(record);
    if (record.directory.id == 0) continue;
    auto* directory = list.add_directories();
    directory->set_member_id(record.id);
    directory->set_directory_id(record.directory.id);
    directory->set_starts(record.directory.starts);
  }
  return list;
}

void MemberService::SetTarget(MemberChangeTarget* target) {
  absl::MutexLock lock(&mu_);
  target_ = target;
}

grpc::ServerUnaryReactor* MemberService::List(grpc::CallbackServerContext* context, const peer::ListRequest*,
                                              peer::ListResponse* response) {
  if (store_ != nullptr) *response = ListMembers(*store_);
  response->set_cluster_id(identity_.cluster_id());
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* MemberService::Introduce(grpc::CallbackServerContext* context,
                                                   const raftpb::PeerHello* request, raftpb::PeerAck* response) {
  const PeerIdentity::Verdict verdict = identity_.Judge(*request);
  response->set_format(kPeerFormat);
  response->set_refusal(verdict.refusal);
  response->set_reason(verdict.reason);
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  reactor->Finish(grpc::Status::OK);
  return reactor;
}

grpc::ServerUnaryReactor* MemberService::Change(grpc::CallbackServerContext* context,
                                                const peer::ChangeRequest* request, peer::ChangeResponse* response) {
  auto* call = new ForwardedCall;
  const auto ending = call->ending();
  if (request->cluster_id() != identity_.cluster_id()) {
    ending->End(absl::FailedPreconditionError("cluster ID mismatch"));
    return call;
  }
  const absl::Time deadline = FromGrpcDeadline(context->deadline());
  absl::ReaderMutexLock lock(&mu_);
  if (target_ == nullptr) {
    ending->End(NotLeaderError());
    return call;
  }
  target_->ChangeAsLeader(*request, deadline, [ending, response](absl::StatusOr<peer::ChangeResponse> answer) {
    ending->End(answer.status(), [&] {
      if (answer.ok()) *response = *std::move(answer);
    });
  });
  return call;
}

absl::StatusOr<peer::ChangeResponse> MemberClient::Change(const std::shared_ptr<PeerChannels>& channels,
                                                          peer::ChangeRequest request, absl::Time deadline) {
  grpc::ClientContext context;
  context.set_deadline(ToGrpcDeadline(deadline));
  if (!calls_.Add(&context)) return NotLeaderError();
  peer::ChangeResponse response;
  const grpc::Status status = peer::Members::NewStub(channels->current())->Change(&context, request, &response);
  calls_.Remove(&context);
  if (status.ok()) return response;
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) channels->Rotate();
  return FromGrpc(status);
}

absl::StatusOr<peer::ListResponse> FetchMembers(const Url& url, absl::Duration timeout) {
  return AskOnce(url, timeout,
                 [](peer::Members::Stub* stub, grpc::ClientContext* context) -> absl::StatusOr<peer::ListResponse> {
                   peer::ListResponse response;
                   const grpc::Status status = stub->List(context, peer::ListRequest(), &response);
                   if (!status.ok()) return FromGrpc(status);
                   return response;
                 });
}

absl::StatusOr<raftpb::PeerAck> Introduce(const Url& url, const raftpb::PeerHello& hello, absl::Duration timeout) {
  return AskOnce(url, timeout,
                 [&](peer::Members::Stub* stub, grpc::ClientContext* context) -> absl::StatusOr<raftpb::PeerAck> {
                   raftpb::PeerAck ack;
                   const grpc::Status status = stub->Introduce(context, hello, &ack);
                   if (!status.ok()) return FromGrpc(status);
                   return ack;
                 });
}

}  // namespace keel::server
