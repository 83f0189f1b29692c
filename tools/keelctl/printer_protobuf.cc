#include "tools/keelctl/printer_protobuf.h"

#include "base/check.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::ctl {
namespace {

void Fill(const ResponseHeader& in, etcdserverpb::ResponseHeader* out) {
  out->set_cluster_id(in.cluster_id);
  out->set_member_id(in.member_id);
  out->set_revision(in.revision);
  out->set_raft_term(in.raft_term);
}

void Fill(const KeyValue& in, mvccpb::KeyValue* out) {
  out->set_key(in.key);
  out->set_value(in.value);
  out->set_create_revision(in.create_revision);
  out->set_mod_revision(in.mod_revision);
  out->set_version(in.version);
  out->set_lease(in.lease);
}

void Fill(const RangeResponse& in, etcdserverpb::RangeResponse* out) {
  Fill(in.header, out->mutable_header());
  for (const KeyValue& kv : in.kvs) Fill(kv, out->add_kvs());
  out->set_more(in.more);
  out->set_count(in.count);
}

void Fill(const PutResponse& in, etcdserverpb::PutResponse* out) {
  Fill(in.header, out->mutable_header());
  if (in.prev_kv) Fill(*in.prev_kv, out->mutable_prev_kv());
}

void Fill(const DeleteResponse& in, etcdserverpb::DeleteRangeResponse* out) {
  Fill(in.header, out->mutable_header());
  out->set_deleted(in.deleted);
  for (const KeyValue& kv : in.prev_kvs) Fill(kv, out->add_prev_kvs());
}

void Fill(const TxnResponse& in, etcdserverpb::TxnResponse* out) {
  Fill(in.header, out->mutable_header());
  out->set_succeeded(in.succeeded);
  for (const OpResponse& op : in.responses) {
    etcdserverpb::ResponseOp* each = out->add_responses();
    if (op.is_range()) Fill(op.range(), each->mutable_response_range());
    if (op.is_put()) Fill(op.put(), each->mutable_response_put());
    if (op.is_delete()) Fill(op.deleted(), each->mutable_response_delete_range());
    if (op.is_txn()) Fill(op.txn(), each->mutable_response_txn());
  }
}

void Fill(const Member& in, etcdserverpb::Member* out) {
  out->set_id(in.id);
  out->set_name(in.name);
  for (const std::string& url : in.peer_urls) out->add_peerurls(url);
  for (const std::string& url : in.client_urls) out->add_clienturls(url);
  out->set_islearner(in.is_learner);
}

class ProtobufPrinter : public Printer {
 public:
  explicit ProtobufPrinter(std::ostream& out) : out_(out) {}

  void Put(const PutResponse& response) override { Write<etcdserverpb::PutResponse>(response); }
  void Get(const RangeResponse& response, const GetStyle&) override { Write<etcdserverpb::RangeResponse>(response); }
  void Delete(const DeleteResponse& response) override { Write<etcdserverpb::DeleteRangeResponse>(response); }
  void Txn(const TxnResponse& response) override { Write<etcdserverpb::TxnResponse>(response); }

  void Watch(const WatchResponse& response) override {
    etcdserverpb::WatchResponse message;
    Fill(response.header, message.mutable_header());
    message.set_created(response.created);
    message.set_canceled(response.canceled);
    message.set_compact_revision(response.compact_revision);
    message.set_cancel_reason(response.cancel_reason);
    for (const Event& event : response.events) {
      mvccpb::Event* each = message.add_events();
      each->set_type(event.type == Event::Type::kPut ? mvccpb::Event::PUT : mvccpb::Event::DELETE);
      Fill(event.kv, each->mutable_kv());
      if (event.prev_kv) Fill(*event.prev_kv, each->mutable_prev_kv());
    }
    Write(message);
  }

  void LeaseGrant(const LeaseGrantResponse& response) override {
    etcdserverpb::LeaseGrantResponse message;
    Fill(response.header, message.mutable_header());
    message.set_id(response.id);
    message.set_ttl(response.ttl_seconds);
    Write(message);
  }
  void LeaseRevoke(LeaseId, const LeaseRevokeResponse& response) override {
    etcdserverpb::LeaseRevokeResponse message;
    Fill(response.header, message.mutable_header());
    Write(message);
  }
  void LeaseTimeToLive(const LeaseTimeToLiveResponse& response, bool) override {
    etcdserverpb::LeaseTimeToLiveResponse message;
    Fill(response.header, message.mutable_header());
    message.set_id(response.id);
    message.set_ttl(response.ttl_seconds);
    message.set_grantedttl(response.granted_ttl_seconds);
    for (const std::string& key : response.keys) message.add_keys(key);
    Write(message);
  }
  void LeaseList(const LeaseListResponse& response) override {
    etcdserverpb::LeaseLeasesResponse message;
    Fill(response.header, message.mutable_header());
    for (const LeaseId id : response.leases) message.add_leases()->set_id(id);
    Write(message);
  }
  void LeaseKeepAlive(const LeaseKeepAliveResponse& response) override {
    etcdserverpb::LeaseKeepAliveResponse message;
    Fill(response.header, message.mutable_header());
    message.set_id(response.id);
    message.set_ttl(response.ttl_seconds);
    Write(message);
  }

  void Members(const MembersResponse& response) override {
    if (response.member) {
      etcdserverpb::MemberAddResponse message;
      Fill(*response.member, message.mutable_member());
      WriteMembers(response, &message);
    } else {
      etcdserverpb::MemberListResponse message;
      WriteMembers(response, &message);
    }
  }
  // The answers to remove, update and promote are the same on the wire as that to list.
  void MemberChanged(uint64_t /*id*/, const std::string& /*what*/, const MembersResponse& response) override {
    Members(response);
  }
  void LeaderMoved(uint64_t /*from*/, uint64_t /*to*/) override { Write(etcdserverpb::MoveLeaderResponse()); }

  void Alarms(const AlarmResponse& response) override {
    etcdserverpb::AlarmResponse message;
    if (response.header.cluster_id != 0) Fill(response.header, message.mutable_header());
    for (const Alarm& alarm : response.alarms) {
      etcdserverpb::AlarmMember* each = message.add_alarms();
      each->set_memberid(alarm.member_id);
      each->set_alarm(static_cast<etcdserverpb::AlarmType>(alarm.type));
    }
    Write(message);
  }

  // Rows of several members are no message; these commands refuse the format.
  void Health(const std::vector<EndpointHealth>&) override { KEEL_CHECK(false); }
  void Status(const std::vector<EndpointStatus>&) override { KEEL_CHECK(false); }
  void Hashes(const std::vector<EndpointHash>&) override { KEEL_CHECK(false); }

 private:
  template <typename Message, typename Response>
  void Write(const Response& response) {
    Message message;
    Fill(response, &message);
    Write(message);
  }
  template <typename Message>
  void WriteMembers(const MembersResponse& response, Message* message) {
    Fill(response.header, message->mutable_header());
    for (const Member& member : response.members) Fill(member, message->add_members());
    Write(*message);
  }
  void Write(const google::protobuf::MessageLite& message) {
    out_ << message.SerializeAsString();
    out_.flush();
  }

  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> MakeProtobufPrinter(std::ostream& out) { return std::make_unique<ProtobufPrinter>(out); }

}  // namespace keel::ctl
