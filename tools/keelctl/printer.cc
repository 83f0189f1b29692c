#include "tools/keelctl/printer.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/keelctl/printer_fields.h"
#include "tools/keelctl/printer_json.h"
#include "tools/keelctl/printer_protobuf.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

std::string YesNo(bool value) { return value ? "true" : "false"; }

std::string HexId(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

std::vector<std::string> MemberCells(const Member& member) {
  return {HexId(member.id),
          member.is_started() ? "started" : "unstarted",
          member.name,
          absl::StrJoin(member.peer_urls, ","),
          absl::StrJoin(member.client_urls, ","),
          YesNo(member.is_learner)};
}

std::string PercentageNotInUse(const StatusResponse& status) {
  if (status.db_size <= 0) return "0%";
  const double unused = 1.0 - static_cast<double>(status.db_size_in_use) / static_cast<double>(status.db_size);
  return absl::StrFormat("%d%%", static_cast<int>(unused < 0 ? 0 : unused * 100));
}

std::vector<std::string> StatusCells(const EndpointStatus& row) {
  const StatusResponse& s = row.status;
  return {row.endpoint,
          HexId(s.header.member_id),
          s.version,
          s.storage_version,
          HumanSize(s.db_size),
          HumanSize(s.db_size_in_use),
          PercentageNotInUse(s),
          HumanSize(s.db_size_quota),
          YesNo(s.is_leader()),
          YesNo(s.is_learner),
          absl::StrCat(s.raft_term),
          absl::StrCat(s.raft_index),
          absl::StrCat(s.raft_applied_index),
          absl::StrJoin(s.errors, ", ")};
}

class SimplePrinter : public Printer {
 public:
  SimplePrinter(bool hex, std::ostream& out, std::ostream& err) : hex_(hex), out_(out), err_(err) {}

  void Put(const PutResponse& response) override {
    out_ << "OK\n";
    if (response.prev_kv) Pair(*response.prev_kv, {});
  }

  void Get(const RangeResponse& response, const GetStyle& style) override {
    if (style.count_only) {
      out_ << response.count << "\n";
      return;
    }
    for (const KeyValue& kv : response.kvs) Pair(kv, style);
  }

  void Delete(const DeleteResponse& response) override {
    out_ << response.deleted << "\n";
    for (const KeyValue& kv : response.prev_kvs) Pair(kv, {});
  }

  void Txn(const TxnResponse& response) override {
    out_ << (response.succeeded ? "SUCCESS\n" : "FAILURE\n");
    for (const OpResponse& op : response.responses) {
      out_ << "\n";
      if (op.is_range()) Get(op.range(), {});
      if (op.is_put()) Put(op.put());
      if (op.is_delete()) Delete(op.deleted());
      if (op.is_txn()) Txn(op.txn());
    }
  }

  void Watch(const WatchResponse& response) override {
    if (response.is_progress()) out_ << "progress notify: " << response.header.revision << "\n";
    for (const Event& event : response.events) {
      out_ << (event.type == Event::Type::kPut ? "PUT\n" : "DELETE\n");
      if (event.prev_kv) Pair(*event.prev_kv, {});
      Pair(event.kv, {});
    }
    out_.flush();
  }

  void LeaseGrant(const LeaseGrantResponse& response) override {
    out_ << "lease " << LeaseText(response.id) << " granted with TTL(" << response.ttl_seconds << "s)\n";
  }
  void LeaseRevoke(LeaseId id, const LeaseRevokeResponse&) override {
    out_ << "lease " << LeaseText(id) << " revoked\n";
  }
  void LeaseTimeToLive(const LeaseTimeToLiveResponse& response, bool with_keys) override {
    if (response.granted_ttl_seconds == 0 && response.ttl_seconds == -1) {
      out_ << "lease " << LeaseText(response.id) << " already expired\n";
      return;
    }
    out_ << "lease " << LeaseText(response.id) << " granted with TTL(" << response.granted_ttl_seconds
         << "s), remaining(" << response.ttl_seconds << "s)";
    if (with_keys) {
      std::vector<std::string> keys;
      for (const std::string& key : response.keys) keys.push_back(hex_ ? HexEscape(key) : key);
      out_ << ", attached keys([" << absl::StrJoin(keys, " ") << "])";
    }
    out_ << "\n";
  }
  void LeaseList(const LeaseListResponse& response) override {
    out_ << "found " << response.leases.size() << " leases\n";
    for (const LeaseId id : response.leases) out_ << LeaseText(id) << "\n";
  }
  void LeaseKeepAlive(const LeaseKeepAliveResponse& response) override {
    out_ << "lease " << LeaseText(response.id) << " keepalived with TTL(" << response.ttl_seconds << ")\n";
    out_.flush();
  }

  void Members(const MembersResponse& response) override {
    for (const Member& member : response.members) out_ << absl::StrJoin(MemberCells(member), ", ") << "\n";
  }
  void MemberChanged(uint64_t id, const std::string& what, const MembersResponse& response) override {
    out_ << absl::StrFormat("Member %16x %s cluster %16x\n", id, what, response.header.cluster_id);
  }
  void LeaderMoved(uint64_t from, uint64_t to) override {
    out_ << "Leadership transferred from " << HexId(from) << " to " << HexId(to) << "\n";
  }
  void Health(const std::vector<EndpointHealth>& rows) override {
    for (const EndpointHealth& row : rows) {
      if (row.healthy) {
        out_ << row.endpoint << " is healthy: successfully committed proposal: took = " << TookText(row.took) << "\n";
      } else {
        err_ << row.endpoint << " is unhealthy: failed to commit proposal: " << row.error << "\n";
      }
    }
  }
  void Status(const std::vector<EndpointStatus>& rows) override {
    for (const EndpointStatus& row : rows) out_ << absl::StrJoin(StatusCells(row), ", ") << "\n";
  }
  void Hashes(const std::vector<EndpointHash>& rows) override {
    for (const EndpointHash& row : rows) {
      out_ << row.endpoint << ", " << row.hash.hash << ", " << row.hash.hash_revision << "\n";
    }
  }
  void Alarms(const AlarmResponse& response) override {
    for (const Alarm& alarm : response.alarms) {
      out_ << "memberID:" << alarm.member_id << " alarm:" << AlarmName(alarm.type) << " \n";
    }
  }

 protected:
  std::ostream& out() { return out_; }

 private:
  void Pair(const KeyValue& kv, const GetStyle& style) {
    if (!style.values_only) out_ << (hex_ ? HexEscape(kv.key) : kv.key) << "\n";
    out_ << (hex_ ? HexEscape(kv.value) : kv.value) << "\n";
  }

  const bool hex_;
  std::ostream& out_;
  std::ostream& err_;
};

// Members and endpoints as grids; the other formats never come here.
class TablePrinter : public SimplePrinter {
 public:
  using SimplePrinter::SimplePrinter;

  void Members(const MembersResponse& response) override {
    Table table({"ID", "STATUS", "NAME", "PEER ADDRS", "CLIENT ADDRS", "IS LEARNER"});
    for (const Member& member : response.members) table.AddRow(MemberCells(member));
    out() << table.ToString();
  }
  void Health(const std::vector<EndpointHealth>& rows) override {
    Table table({"ENDPOINT", "HEALTH", "TOOK", "ERROR"});
    for (const EndpointHealth& row : rows) {
      table.AddRow({row.endpoint, YesNo(row.healthy), TookText(row.took), row.error});
    }
    out() << table.ToString();
  }
  void Status(const std::vector<EndpointStatus>& rows) override {
    Table table({"ENDPOINT", "ID", "VERSION", "STORAGE VERSION", "DB SIZE", "IN USE", "PERCENTAGE NOT IN USE", "QUOTA",
                 "IS LEADER", "IS LEARNER", "RAFT TERM", "RAFT INDEX", "RAFT APPLIED INDEX", "ERRORS"});
    for (const EndpointStatus& row : rows) table.AddRow(StatusCells(row));
    out() << table.ToString();
  }
  void Hashes(const std::vector<EndpointHash>& rows) override {
    Table table({"ENDPOINT", "HASH", "HASH REVISION"});
    for (const EndpointHash& row : rows) {
      table.AddRow({row.endpoint, absl::StrCat(row.hash.hash), absl::StrCat(row.hash.hash_revision)});
    }
    out() << table.ToString();
  }
};

}  // namespace

const char* AlarmName(AlarmType type) {
  switch (type) {
    case AlarmType::kNone:
      return "NONE";
    case AlarmType::kNoSpace:
      return "NOSPACE";
    case AlarmType::kCorrupt:
      return "CORRUPT";
  }
  return "UNKNOWN";
}

std::string LeaseText(LeaseId id) { return absl::StrFormat("%016x", static_cast<uint64_t>(id)); }

std::string TookText(absl::Duration took) { return absl::FormatDuration(absl::Trunc(took, absl::Microseconds(1))); }

std::unique_ptr<Printer> PrinterFor(Context& context) {
  const GlobalFlags& flags = context.flags;
  switch (flags.format) {
    case Format::kSimple:
      return std::make_unique<SimplePrinter>(flags.hex, context.out, context.err);
    case Format::kJson:
      return MakeJsonPrinter({.hex = flags.hex, .base64 = flags.base64}, context.out);
    case Format::kFields:
      return MakeFieldsPrinter(flags.hex, context.out);
    case Format::kProtobuf:
      return MakeProtobufPrinter(context.out);
    case Format::kTable:
      return std::make_unique<TablePrinter>(flags.hex, context.out, context.err);
  }
  return nullptr;
}

}  // namespace keel::ctl
