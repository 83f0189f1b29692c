#include "tools/keelctl/printer_fields.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

class FieldsPrinter : public Printer {
 public:
  FieldsPrinter(bool hex, std::ostream& out) : hex_(hex), out_(out) {}

  void Put(const PutResponse& response) override {
    Header(response.header);
    if (response.prev_kv) Pair("Prev", *response.prev_kv);
  }
  void Get(const RangeResponse& response, const GetStyle&) override {
    Header(response.header);
    for (const KeyValue& kv : response.kvs) Pair("", kv);
    Line("More", response.more ? "true" : "false");
    Number("Count", response.count);
  }
  void Delete(const DeleteResponse& response) override {
    Header(response.header);
    Number("Deleted", response.deleted);
    for (const KeyValue& kv : response.prev_kvs) Pair("Prev", kv);
  }
  void Txn(const TxnResponse& response) override {
    Header(response.header);
    Line("Succeeded", response.succeeded ? "true" : "false");
    for (const OpResponse& op : response.responses) {
      if (op.is_range()) Get(op.range(), {});
      if (op.is_put()) Put(op.put());
      if (op.is_delete()) Delete(op.deleted());
      if (op.is_txn()) Txn(op.txn());
    }
  }
  void Watch(const WatchResponse& response) override {
    Header(response.header);
    for (const Event& event : response.events) {
      Line("Type", event.type == Event::Type::kPut ? "PUT" : "DELETE");
      if (event.prev_kv) Pair("Prev", *event.prev_kv);
      Pair("", event.kv);
    }
    out_.flush();
  }
  void LeaseGrant(const LeaseGrantResponse& response) override {
    Header(response.header);
    Lease("ID", response.id);
    Number("TTL", response.ttl_seconds);
  }
  void LeaseRevoke(LeaseId, const LeaseRevokeResponse& response) override { Header(response.header); }
  void LeaseTimeToLive(const LeaseTimeToLiveResponse& response, bool) override {
    Header(response.header);
    Lease("ID", response.id);
    Number("TTL", response.ttl_seconds);
    Number("GrantedTTL", response.granted_ttl_seconds);
    for (const std::string& key : response.keys) Line("Key", GoQuote(key));
  }
  void LeaseList(const LeaseListResponse& response) override {
    Header(response.header);
    for (const LeaseId id : response.leases) Lease("ID", id);
  }
  void LeaseKeepAlive(const LeaseKeepAliveResponse& response) override {
    Header(response.header);
    Lease("ID", response.id);
    Number("TTL", response.ttl_seconds);
    out_.flush();
  }
  void Members(const MembersResponse& response) override {
    Header(response.header);
    for (const Member& member : response.members) {
      Id("ID", member.id);
      Line("Name", GoQuote(member.name));
      for (const std::string& url : member.peer_urls) Line("PeerURL", GoQuote(url));
      for (const std::string& url : member.client_urls) Line("ClientURL", GoQuote(url));
      Line("IsLearner", member.is_learner ? "true" : "false");
      out_ << "\n";
    }
  }
  void MemberChanged(uint64_t /*id*/, const std::string& /*what*/, const MembersResponse& response) override {
    Members(response);
  }
  void LeaderMoved(uint64_t from, uint64_t to) override {
    Id("From", from);
    Id("To", to);
  }
  void Health(const std::vector<EndpointHealth>& rows) override {
    for (const EndpointHealth& row : rows) {
      Line("Endpoint", GoQuote(row.endpoint));
      Line("Health", row.healthy ? "true" : "false");
      Line("Took", TookText(row.took));
      Line("Error", row.error);
      out_ << "\n";
    }
  }
  void Status(const std::vector<EndpointStatus>& rows) override {
    for (const EndpointStatus& row : rows) {
      const StatusResponse& s = row.status;
      Header(s.header);
      Line("Version", GoQuote(s.version));
      Line("StorageVersion", GoQuote(s.storage_version));
      Number("DBSize", s.db_size);
      Number("DBSizeInUse", s.db_size_in_use);
      Number("DBSizeQuota", s.db_size_quota);
      Id("Leader", s.leader);
      Line("IsLearner", s.is_learner ? "true" : "false");
      Line("RaftIndex", absl::StrCat(s.raft_index));
      Line("RaftTerm", absl::StrCat(s.raft_term));
      Line("RaftAppliedIndex", absl::StrCat(s.raft_applied_index));
      std::vector<std::string> errors;
      for (const std::string& error : s.errors) errors.push_back(GoQuote(error));
      Line("Errors", absl::StrCat("[", absl::StrJoin(errors, " "), "]"));
      Line("Endpoint", GoQuote(row.endpoint));
      out_ << "\n";
    }
  }
  void Hashes(const std::vector<EndpointHash>& rows) override {
    for (const EndpointHash& row : rows) {
      Header(row.hash.header);
      Line("Endpoint", GoQuote(row.endpoint));
      Line("Hash", absl::StrCat(row.hash.hash));
      Number("HashRevision", row.hash.hash_revision);
      out_ << "\n";
    }
  }
  void Alarms(const AlarmResponse& response) override {
    if (response.header.cluster_id != 0) Header(response.header);
    for (const Alarm& alarm : response.alarms) {
      Id("MemberID", alarm.member_id);
      Line("AlarmType", AlarmName(alarm.type));
      out_ << "\n";
    }
  }

 private:
  void Line(absl::string_view name, const std::string& value) { out_ << "\"" << name << "\" : " << value << "\n"; }
  void Number(absl::string_view name, int64_t value) { Line(name, absl::StrCat(value)); }
  void Id(absl::string_view name, uint64_t id) {
    Line(name, hex_ ? absl::StrCat("\"", absl::Hex(id), "\"") : absl::StrCat(id));
  }
  void Lease(absl::string_view name, LeaseId id) {
    Line(name, hex_ ? absl::StrCat("\"", LeaseText(id), "\"") : absl::StrCat(id));
  }
  void Header(const ResponseHeader& header) {
    Id("ClusterID", header.cluster_id);
    Id("MemberID", header.member_id);
    if (header.revision != 0) Number("Revision", header.revision);
    Line("RaftTerm", absl::StrCat(header.raft_term));
  }
  void Pair(absl::string_view prefix, const KeyValue& kv) {
    Line(absl::StrCat(prefix, "Key"), GoQuote(kv.key));
    Number(absl::StrCat(prefix, "CreateRevision"), kv.create_revision);
    Number(absl::StrCat(prefix, "ModRevision"), kv.mod_revision);
    Number(absl::StrCat(prefix, "Version"), kv.version);
    Line(absl::StrCat(prefix, "Value"), GoQuote(kv.value));
    Lease(absl::StrCat(prefix, "Lease"), kv.lease);
  }

  const bool hex_;
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> MakeFieldsPrinter(bool hex, std::ostream& out) {
  return std::make_unique<FieldsPrinter>(hex, out);
}

}  // namespace keel::ctl
