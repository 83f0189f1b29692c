#include "tools/keelctl/printer_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

using Json = nlohmann::ordered_json;

// Leaves zero values out, as the protobuf JSON of etcdctl does.
void Set(Json& object, const char* name, int64_t value) {
  if (value != 0) object[name] = value;
}
void SetUnsigned(Json& object, const char* name, uint64_t value) {
  if (value != 0) object[name] = value;
}
void Set(Json& object, const char* name, bool value) {
  if (value) object[name] = true;
}
void SetText(Json& object, const char* name, const std::string& value) {
  if (!value.empty()) object[name] = value;
}

Json Header(const ResponseHeader& header) {
  Json j = Json::object();
  SetUnsigned(j, "cluster_id", header.cluster_id);
  SetUnsigned(j, "member_id", header.member_id);
  Set(j, "revision", header.revision);
  SetUnsigned(j, "raft_term", header.raft_term);
  return j;
}

Json WithHeader(const ResponseHeader& header) {
  Json j = Json::object();
  j["header"] = Header(header);
  return j;
}

// Pairs and what holds them: keys and values are text where they can be, unless `base64`.
class PairWriter {
 public:
  explicit PairWriter(bool base64) : base64_(base64) {}

  void SetBytes(Json& object, const std::string& name, const std::string& value) const {
    if (value.empty()) return;
    if (base64_ || !IsUtf8(value)) {
      object[base64_ ? name : name + "_base64"] = Base64(value);
    } else {
      object[name] = value;
    }
  }

  Json Pair(const KeyValue& kv) const {
    Json j = Json::object();
    SetBytes(j, "key", kv.key);
    Set(j, "create_revision", kv.create_revision);
    Set(j, "mod_revision", kv.mod_revision);
    Set(j, "version", kv.version);
    SetBytes(j, "value", kv.value);
    Set(j, "lease", kv.lease);
    return j;
  }

  Json Range(const RangeResponse& response) const {
    Json j = WithHeader(response.header);
    for (const KeyValue& kv : response.kvs) j["kvs"].push_back(Pair(kv));
    Set(j, "more", response.more);
    Set(j, "count", response.count);
    return j;
  }

  Json PutJson(const PutResponse& response) const {
    Json j = WithHeader(response.header);
    if (response.prev_kv) j["prev_kv"] = Pair(*response.prev_kv);
    return j;
  }

  Json DeleteJson(const DeleteResponse& response) const {
    Json j = WithHeader(response.header);
    Set(j, "deleted", response.deleted);
    for (const KeyValue& kv : response.prev_kvs) j["prev_kvs"].push_back(Pair(kv));
    return j;
  }

  Json TxnJson(const TxnResponse& response) const {
    Json j = WithHeader(response.header);
    Set(j, "succeeded", response.succeeded);
    for (const OpResponse& op : response.responses) {
      Json inner = Json::object();
      if (op.is_range()) inner["response_range"] = Range(op.range());
      if (op.is_put()) inner["response_put"] = PutJson(op.put());
      if (op.is_delete()) inner["response_delete_range"] = DeleteJson(op.deleted());
      if (op.is_txn()) inner["response_txn"] = TxnJson(op.txn());
      j["responses"].push_back(Json{{"Response", inner}});
    }
    return j;
  }

 private:
  const bool base64_;
};

class JsonPrinter : public Printer {
 public:
  JsonPrinter(const JsonStyle& style, std::ostream& out)
      : hex_(style.hex), base64_(style.base64), pairs_(style.base64), out_(out) {}

  void Put(const PutResponse& response) override { Line(pairs_.PutJson(response)); }
  void Get(const RangeResponse& response, const GetStyle&) override { Line(pairs_.Range(response)); }
  void Delete(const DeleteResponse& response) override { Line(pairs_.DeleteJson(response)); }
  void Txn(const TxnResponse& response) override { Line(pairs_.TxnJson(response)); }

  // Capital names: the shape etcdctl has always had here.
  void Watch(const WatchResponse& response) override {
    if (response.is_progress()) out_ << "progress notify: " << response.header.revision << "\n";
    Json j;
    j["Header"] = Header(response.header);
    j["Events"] = Json::array();
    for (const Event& event : response.events) {
      Json e = Json::object();
      if (event.type == Event::Type::kDelete) e["type"] = 1;
      e["kv"] = pairs_.Pair(event.kv);
      if (event.prev_kv) e["prev_kv"] = pairs_.Pair(*event.prev_kv);
      j["Events"].push_back(e);
    }
    j["CompactRevision"] = response.compact_revision;
    j["Canceled"] = response.canceled;
    j["Created"] = response.created;
    j["CancelReason"] = response.cancel_reason;
    Line(j);
  }

  void LeaseGrant(const LeaseGrantResponse& response) override {
    Json j = Flat(response.header);
    j["ID"] = response.id;
    j["TTL"] = response.ttl_seconds;
    j["Error"] = "";
    Line(j);
  }
  void LeaseRevoke(LeaseId, const LeaseRevokeResponse& response) override { Line(WithHeader(response.header)); }
  void LeaseTimeToLive(const LeaseTimeToLiveResponse& response, bool) override {
    Json j = Flat(response.header);
    j["id"] = response.id;
    j["ttl"] = response.ttl_seconds;
    j["granted-ttl"] = response.granted_ttl_seconds;
    j["keys"] = nullptr;
    for (const std::string& key : response.keys) j[KeysName(response.keys)].push_back(KeyText(response.keys, key));
    Line(j);
  }
  void LeaseList(const LeaseListResponse& response) override {
    Json j = Flat(response.header);
    j["leases"] = Json::array();
    for (const LeaseId id : response.leases) j["leases"].push_back(Json{{"id", id}});
    Line(j);
  }
  void LeaseKeepAlive(const LeaseKeepAliveResponse& response) override {
    Json j = Flat(response.header);
    j["ID"] = response.id;
    j["TTL"] = response.ttl_seconds;
    Line(j);
  }

  void Members(const MembersResponse& response) override {
    Json j = Json::object();
    j["header"] = Header(response.header);
    if (hex_) HexId(j["header"], {"cluster_id", "member_id"});
    if (response.member.has_value()) j["member"] = One(*response.member);
    j["members"] = Json::array();
    for (const Member& member : response.members) j["members"].push_back(One(member));
    Line(j);
  }
  void MemberChanged(uint64_t /*id*/, const std::string& /*what*/, const MembersResponse& response) override {
    Members(response);
  }
  void LeaderMoved(uint64_t /*from*/, uint64_t /*to*/) override { Line(Json::object()); }

  void Health(const std::vector<EndpointHealth>& rows) override {
    Json j = Json::array();
    for (const EndpointHealth& row : rows) {
      Json r;
      r["endpoint"] = row.endpoint;
      r["health"] = row.healthy;
      r["took"] = TookText(row.took);
      SetText(r, "error", row.error);
      j.push_back(r);
    }
    Line(j);
  }

  void Status(const std::vector<EndpointStatus>& rows) override {
    Json j = Json::array();
    for (const EndpointStatus& row : rows) {
      const StatusResponse& s = row.status;
      Json inner = WithHeader(s.header);
      SetText(inner, "version", s.version);
      Set(inner, "dbSize", s.db_size);
      SetUnsigned(inner, "leader", s.leader);
      SetUnsigned(inner, "raftIndex", s.raft_index);
      SetUnsigned(inner, "raftTerm", s.raft_term);
      SetUnsigned(inner, "raftAppliedIndex", s.raft_applied_index);
      if (!s.errors.empty()) inner["errors"] = s.errors;
      Set(inner, "dbSizeInUse", s.db_size_in_use);
      Set(inner, "isLearner", s.is_learner);
      SetText(inner, "storageVersion", s.storage_version);
      Set(inner, "dbSizeQuota", s.db_size_quota);
      if (s.downgrade_info) {
        Json d = Json::object();
        Set(d, "enabled", s.downgrade_info->enabled);
        SetText(d, "targetVersion", s.downgrade_info->target_version);
        inner["downgradeInfo"] = d;
      }
      Json r;
      r["Endpoint"] = row.endpoint;
      r["Status"] = inner;
      j.push_back(r);
    }
    Line(j);
  }

  void Hashes(const std::vector<EndpointHash>& rows) override {
    Json j = Json::array();
    for (const EndpointHash& row : rows) {
      Json inner = WithHeader(row.hash.header);
      SetUnsigned(inner, "hash", row.hash.hash);
      Set(inner, "compact_revision", row.hash.compact_revision);
      Set(inner, "hash_revision", row.hash.hash_revision);
      Json r;
      r["Endpoint"] = row.endpoint;
      r["HashKV"] = inner;
      j.push_back(r);
    }
    Line(j);
  }

  void Alarms(const AlarmResponse& response) override {
    Json j = response.header.cluster_id == 0 ? Json::object() : WithHeader(response.header);
    for (const Alarm& alarm : response.alarms) {
      Json a = Json::object();
      SetUnsigned(a, "memberID", alarm.member_id);
      Set(a, "alarm", static_cast<int64_t>(alarm.type));
      j["alarms"].push_back(a);
    }
    Line(j);
  }

 private:
  Json One(const Member& member) const {
    Json m = Json::object();
    SetUnsigned(m, "ID", member.id);
    if (hex_) HexId(m, {"ID"});
    SetText(m, "name", member.name);
    if (!member.peer_urls.empty()) m["peerURLs"] = member.peer_urls;
    if (!member.client_urls.empty()) m["clientURLs"] = member.client_urls;
    Set(m, "isLearner", member.is_learner);
    return m;
  }

  // Lease answers carry the header's fields at the top.
  static Json Flat(const ResponseHeader& header) { return Header(header); }

  static void HexId(Json& object, std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (object.contains(name)) object[name] = std::string(absl::StrCat(absl::Hex(object[name].get<uint64_t>())));
    }
  }

  // A list is all text or all base64, so that its reader need not look at every element.
  bool AsText(const std::vector<std::string>& keys) const {
    return !base64_ && std::all_of(keys.begin(), keys.end(), [](const std::string& key) { return IsUtf8(key); });
  }
  const char* KeysName(const std::vector<std::string>& keys) const {
    return base64_ || AsText(keys) ? "keys" : "keys_base64";
  }
  std::string KeyText(const std::vector<std::string>& keys, const std::string& key) const {
    return AsText(keys) ? key : Base64(key);
  }

  // The replacement is for texts of servers; keys and values that are not UTF-8 are base64 here.
  void Line(const Json& json) {
    out_ << json.dump(-1, ' ', false, Json::error_handler_t::replace) << "\n";
    out_.flush();
  }

  const bool hex_;
  const bool base64_;
  const PairWriter pairs_;
  std::ostream& out_;
};

}  // namespace

std::unique_ptr<Printer> MakeJsonPrinter(const JsonStyle& style, std::ostream& out) {
  return std::make_unique<JsonPrinter>(style, out);
}

}  // namespace keel::ctl
