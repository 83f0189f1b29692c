#include "tests/differential/known_differences.h"

#include "absl/strings/match.h"
#include "absl/strings/str_replace.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::differential {
namespace {

const etcdserverpb::WatchCreateRequest* WatchCreate(const Divergence& d) {
  const auto* request = dynamic_cast<const etcdserverpb::WatchRequest*>(d.request);
  return request != nullptr && request->has_create_request() ? &request->create_request() : nullptr;
}

bool PutsOnlyInNested(const etcdserverpb::TxnRequest& txn) {
  bool nested = false;
  for (const auto* branch : {&txn.success(), &txn.failure()}) {
    for (const etcdserverpb::RequestOp& op : *branch) {
      if (op.has_request_put()) return false;
      nested |= op.has_request_txn();
    }
  }
  return nested;
}

std::vector<KnownDifference> Table() {
  return {
      {.name = "alarm-header",
       .reason = "since 3.5 the answer to Alarm has a header",
       .explains =
           [](const Divergence& d) {
             return d.step.method->word == "alarm" && d.field.path == "header" && d.field.etcd == "(none)";
           },
       .shown_by = "alarms"},
      {.name = "alarm-none",
       .reason = "raising the alarm NONE does nothing since 3.5; 3.4 keeps an alarm of that name, and of member 0 it "
                 "ends itself",
       .explains = [](const Divergence&) { return false; },
       .not_shown = "etcd 3.4 ends itself"},
      {.name = "sort-enums",
       .reason = "since 3.6 a sort order or target of an unknown number is refused; 3.4 ends itself",
       .explains = [](const Divergence&) { return false; },
       .not_shown = "etcd 3.4 ends itself"},
      {.name = "keep-what-the-txn-deleted",
       .reason = "a put that is to keep the value or lease of a key which an earlier operation of the same transaction "
                 "deletes is refused with the whole transaction; etcd ends itself",
       .explains = [](const Divergence&) { return false; },
       .not_shown = "etcd ends itself"},
      {.name = "status-version",
       .reason = "Keel follows 3.6 and says so; Status has storageVersion, dbSizeQuota and downgradeInfo since then",
       .explains =
           [](const Divergence& d) {
             if (d.step.method->word != "status") return false;
             return d.field.path == "version" || d.field.path == "storageVersion" || d.field.path == "dbSizeQuota" ||
                    d.field.path == "downgradeInfo";
           },
       .shown_by = "alarms"},
      {.name = "hash-revision",
       .reason = "since 3.6 HashKV says which revision it hashed",
       .explains =
           [](const Divergence& d) { return d.step.method->word == "hashkv" && d.field.path == "hash_revision"; },
       .shown_by = "maintenance"},
      {.name = "progress-before-caught-up",
       .reason = "since 3.4.25 a request for progress is answered only when every watcher of the stream, and there is "
                 "one, has been sent everything and has reached its start revision",
       .explains =
           [](const Divergence& d) {
             const auto* watch = dynamic_cast<const etcdserverpb::WatchRequest*>(d.request);
             return watch != nullptr && watch->has_progress_request() && d.stream_has_waiting &&
                    d.field.path == "message" && d.field.keel == "(none)";
           },
       .shown_by = "watch_progress"},
      {.name = "watch-backlog",
       .reason =
           "live, both send a watcher one response for each revision. When its stream is not read, its revisions "
           "come many in a response, each whole, as when it catches up from history, and the header says the last "
           "one. etcd begins with that when 1024 responses of the stream wait, Keel when 64 KiB do",
       .explains = [](const Divergence&) { return false; },
       .not_shown = "the test reads its streams at once"},
      {.name = "not-a-message",
       .reason = "bytes that are no protobuf message are refused by the gRPC library, before Keel sees them: with "
                 "Unimplemented and no text, where etcd's library says Internal and what it stumbled over. Those of a "
                 "Range Keel parses itself: Internal, too, but which byte is wrong its library does not say. A client "
                 "cannot send such bytes by way of any protobuf library",
       .explains =
           [](const Divergence& d) {
             if (d.step.method->shape != Shape::kRaw) return false;
             const grpc::Status& keel = d.keel.status;
             return (keel.error_code() == grpc::StatusCode::UNIMPLEMENTED && keel.error_message().empty()) ||
                    (keel.error_code() == grpc::StatusCode::INTERNAL &&
                     keel.error_message() == "the request is not a RangeRequest");
           },
       .after = After::kEnd,  // Some bytes etcd's library reads all the same.
       .shown_by = "malformed"},
      {.name = "wrong-wire-type",
       .reason = "a field of a known number and an unexpected wire type is an unknown field to the protobuf library "
                 "here, as the protobuf specification has it, and an error to etcd's",
       .explains =
           [](const Divergence& d) {
             return d.step.method->shape == Shape::kRaw && d.etcd.status.error_code() == grpc::StatusCode::INTERNAL &&
                    absl::StrContains(d.etcd.status.error_message(), "wrong wireType");
           },
       .after = After::kEnd,
       .shown_by = "wrong_wire_type"},
      {.name = "newer-rpcs",
       .reason = "Downgrade is there since 3.5 and RangeStream since 3.7",
       .explains =
           [](const Divergence& d) {
             return (d.step.method->word == "downgrade" || d.step.method->word == "rangestream") &&
                    d.etcd.status.error_code() == grpc::StatusCode::UNIMPLEMENTED;
           },
       .shown_by = "newer_rpcs"},
      {.name = "tombstone-at-compaction",
       .reason =
           "since 3.4.34 a compaction at the revision of a delete keeps it, so that a watch from that very revision "
           "still sees it",
       .explains = [](const Divergence& d) { return absl::EndsWith(d.field.path, kTombstoneAtCompaction); },
       .shown_by = "tombstone_at_compaction"},
      {.name = "receive-limit-text",
       .reason =
           "the gRPC libraries word the refusal of a message beyond the receive limit differently; code and numbers "
           "are the same",
       .explains =
           [](const Divergence& d) {
             return d.field.path == "status.message" &&
                    d.field.etcd == absl::StrReplaceAll(d.field.keel, {{"Received", "grpc: received"}}) &&
                    d.etcd.status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED;
           },
       .shown_by = "sizes"},
      {.name = "nested-cost",
       .reason = "since 3.7.1 the puts of nested transactions count when space is short",
       .explains =
           [](const Divergence& d) {
             const auto* txn = dynamic_cast<const etcdserverpb::TxnRequest*>(d.request);
             return txn != nullptr && PutsOnlyInNested(*txn) &&
                    d.keel.status.error_message() == "etcdserver: mvcc: database space exceeded";
           },
       .after = After::kEnd,
       .shown_by = "nested_cost"},
      {.name = "hash-at-compact-revision",
       .reason = "since 3.6 HashKV at the very revision of the last compaction is answered",
       .explains =
           [](const Divergence& d) {
             return d.step.method->word == "hashkv" && d.keel.status.ok() &&
                    d.etcd.status.error_message() == "etcdserver: mvcc: required revision has been compacted" &&
                    static_cast<const etcdserverpb::HashKVResponse&>(*d.keel.messages[0]).compact_revision() ==
                        static_cast<const etcdserverpb::HashKVRequest*>(d.request)->revision();
           },
       .shown_by = "maintenance"},
      {.name = "negative-start-revision",
       .reason = "since 3.4.38 a watch from a negative revision is refused at once; before, it was created and then "
                 "cancelled as compacted",
       .explains =
           [](const Divergence& d) {
             const auto* create = WatchCreate(d);
             return create != nullptr && create->start_revision() < 0;
           },
       .after = After::kEnd,
       .shown_by = "watch_negative_revision"},
  };
}

}  // namespace

const std::vector<KnownDifference>& KnownDifferences() {
  static const std::vector<KnownDifference>* const table = new std::vector<KnownDifference>(Table());
  return *table;
}

const KnownDifference* FindExplanation(const Divergence& divergence) {
  for (const KnownDifference& known : KnownDifferences()) {
    if (known.explains(divergence)) return &known;
  }
  return nullptr;
}

}  // namespace keel::differential
