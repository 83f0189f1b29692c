#pragma once

// What the store holds and what every answer carries, as plain values.
//
//   auto got = client.kv().Get("config/leader");
//   if (!got.ok()) return got.status();
//   for (const keel::KeyValue& kv : got->kvs) {
//     std::cout << kv.key << " = " << kv.value << " since revision " << kv.mod_revision << "\n";
//   }
//   std::cout << "read at revision " << got->header.revision << "\n";

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel {

// 0: no lease. May be negative when another client chose it so.
using LeaseId = int64_t;

// Who answered and where the store stood.
struct ResponseHeader {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  int64_t revision = 0;  // Of the keyspace; 0 where the call has none (members), or the server sends no header.
  uint64_t raft_term = 0;
};

struct KeyValue {
  std::string key = {};
  std::string value = {};
  int64_t create_revision = 0;  // Revision at which this life of the key began.
  int64_t mod_revision = 0;     // Revision of its last change.
  int64_t version = 0;          // Changes in this life: 1 when created.
  LeaseId lease = 0;
};

struct Event {
  enum class Type { kPut, kDelete };

  Type type = Type::kPut;
  KeyValue kv = {};  // kDelete: only key and mod_revision (the deleting revision) are set.
  std::optional<KeyValue> prev_kv = std::nullopt;  // The pair before, when asked for and still known.

  bool is_create() const { return type == Type::kPut && kv.create_revision == kv.mod_revision; }
};

// The exclusive end of the interval of all keys that begin with `prefix`; "\0" (everything from `prefix` on) when no
// such end exists.
std::string PrefixEnd(std::string_view prefix);

// Receives the outcome of an asynchronous call, exactly once, on one of the client's I/O threads: it must not block,
// and must not call a synchronous method of the same client.
template <typename Response>
using Callback = std::function<void(absl::StatusOr<Response>)>;

// Given with each piece of an asynchronous stream: says that it has been taken. OK asks for the next piece; an error
// ends the stream, and becomes its outcome. To be called once, in the sink or later, on any thread. A stream that has
// ended meanwhile does not mind, even if its Client is gone.
using Taken = std::function<void(const absl::Status&)>;

}  // namespace keel
