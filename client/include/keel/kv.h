#pragma once

// Reads, writes and transactions.
//
//   keel::Kv& kv = client.kv();
//   auto put = kv.Put("greeting", "hello");
//   auto got = kv.Get("greeting");                     // got->kvs[0].value == "hello"
//   auto all = kv.Get("config/", {.prefix = true});    // Every pair below config/
//   auto gone = kv.Delete("config/", {.prefix = true});
//   kv.PutAsync("greeting", "again", {}, {}, [](absl::StatusOr<keel::PutResponse> r) { Count(r.ok()); });
//   kv.GetStreamAsync(
//       "log/", {.prefix = true},
//       [](std::vector<keel::KeyValue> kvs, keel::Taken taken) { taken(Archive(kvs)); },
//       // Or taken() later, when there is room.
//       {}, [](absl::StatusOr<keel::RangeResponse> end) { Count(end.ok()); });

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "keel/options.h"
#include "keel/txn.h"
#include "keel/types.h"

namespace keel {

namespace client {
class Core;
}  // namespace client

struct RangeResponse {
  ResponseHeader header = {};
  std::vector<KeyValue> kvs = {};
  bool more = false;  // The limit cut the result.
  int64_t count = 0;  // Keys in the interval, whatever limit and filters say.
};

struct PutResponse {
  ResponseHeader header = {};
  std::optional<KeyValue> prev_kv = std::nullopt;
};

struct DeleteResponse {
  ResponseHeader header = {};
  int64_t deleted = 0;
  std::vector<KeyValue> prev_kvs = {};
};

struct CompactResponse {
  ResponseHeader header = {};
};

struct OpResponse;

struct TxnResponse {
  ResponseHeader header = {};
  bool succeeded = false;                  // Which branch ran.
  std::vector<OpResponse> responses = {};  // One per operation of that branch, in order.
};

// What one operation of a txn answered. Headers inside carry only the revision.
struct OpResponse {
  std::variant<RangeResponse, PutResponse, DeleteResponse, TxnResponse> response = {};

  bool is_range() const { return std::holds_alternative<RangeResponse>(response); }
  bool is_put() const { return std::holds_alternative<PutResponse>(response); }
  bool is_delete() const { return std::holds_alternative<DeleteResponse>(response); }
  bool is_txn() const { return std::holds_alternative<TxnResponse>(response); }

  // REQUIRES: it is of that kind; throws std::bad_variant_access otherwise.
  const RangeResponse& range() const { return std::get<RangeResponse>(response); }
  const PutResponse& put() const { return std::get<PutResponse>(response); }
  const DeleteResponse& deleted() const { return std::get<DeleteResponse>(response); }
  const TxnResponse& txn() const { return std::get<TxnResponse>(response); }
};

// Takes the next pairs of a range; may take them apart.
using RangeSink = std::function<absl::Status(std::vector<KeyValue> kvs)>;
// The same without waiting, on one of the client's I/O threads: it must not block. See Taken.
using AsyncRangeSink = std::function<void(std::vector<KeyValue> kvs, Taken taken)>;

// Thread-safe; valid as long as its Client. The text of an error is the server's. Codes that every call may return:
//   kInvalidArgument    the request can never be valid
//   kUnavailable        surely not executed: no endpoint could be connected to (said at once, with the cause for each;
//                       see ClientOptions::reconnect_patience), or the server said so
//   kResourceExhausted  ClientOptions::in_flight_max calls are under way; not sent
//   kUnknown            only for writes: sent, then the connection or the leader was lost. It may have been executed
//                       or may still be
//   kDeadlineExceeded   time ran out after it was sent: for a write, the outcome is unknown
//   kCancelled          CallOptions::cancel was asked to stop, or the Client is being destroyed; for a write, the
//                       outcome is unknown unless the text says otherwise
// Reads are repeated on other endpoints until the timeout. Writes are repeated only while surely not executed, or with
// Repeat::kAlways.
class Kv {
 public:
  explicit Kv(client::Core& core) : core_(core) {}
  Kv(const Kv&) = delete;
  Kv& operator=(const Kv&) = delete;

  // A missing key is an empty result. kOutOfRange: `revision` is compacted, or not reached yet.
  absl::StatusOr<RangeResponse> Get(std::string_view key, const RangeOptions& options = {},
                                    const CallOptions& call = {});
  // kNotFound: no such lease. kResourceExhausted: out of quota, or the request is too large; not executed.
  absl::StatusOr<PutResponse> Put(std::string_view key, std::string_view value, const PutOptions& options = {},
                                  const CallOptions& call = {});
  // A range of any size, a piece at a time and all of one revision: `sink` gets the pairs in key order, on this thread,
  // and holds back the server while it works; its error ends the read and is returned. The result is what Get would
  // have said but for the pairs. A server without streams is asked for pages instead. Only call.timeout bounds it.
  // kOutOfRange also when the revision is compacted meanwhile; then, and after any error but one before the first
  // piece, which is tried again as for Get, the sink has had a part. kUnimplemented: a sort or a filter.
  absl::StatusOr<RangeResponse> GetStream(std::string_view key, const RangeOptions& options, const RangeSink& sink,
                                          const CallOptions& call = {});
  // Deleting nothing succeeds with deleted == 0.
  absl::StatusOr<DeleteResponse> Delete(std::string_view key, const DeleteOptions& options = {},
                                        const CallOptions& call = {});
  // A comparison that does not hold is a normal result: succeeded == false.
  absl::StatusOr<TxnResponse> Commit(const Txn& txn, const CallOptions& call = {});
  // Drops history below `revision`. kOutOfRange: compacted already, or not reached yet.
  absl::StatusOr<CompactResponse> Compact(int64_t revision, const CompactOptions& options = {},
                                          const CallOptions& call = {});

  // The same without waiting. `done` may run before the call returns.
  void GetAsync(std::string_view key, const RangeOptions& options, const CallOptions& call,
                Callback<RangeResponse> done);
  void PutAsync(std::string_view key, std::string_view value, const PutOptions& options, const CallOptions& call,
                Callback<PutResponse> done);
  // No piece is asked for before the one before it has been taken, so one at a time is in memory, and the server waits.
  // Once `done` runs `sink` does not run any more. While a piece is with the sink only call.cancel, and the end of the
  // Client, end the read; a timeout is noticed when it is taken.
  void GetStreamAsync(std::string_view key, const RangeOptions& options, AsyncRangeSink sink, const CallOptions& call,
                      Callback<RangeResponse> done);
  void DeleteAsync(std::string_view key, const DeleteOptions& options, const CallOptions& call,
                   Callback<DeleteResponse> done);
  void CommitAsync(const Txn& txn, const CallOptions& call, Callback<TxnResponse> done);
  void CompactAsync(int64_t revision, const CompactOptions& options, const CallOptions& call,
                    Callback<CompactResponse> done);

 private:
  client::Core& core_;
};

}  // namespace keel
