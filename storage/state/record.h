#pragma once

// One record of the history as it is on disk: column family `hist`, one record per change, in the order of changes.
//
//   key    revision (8 bytes, big-endian), sub (4 bytes, big-endian)
//   value  flags (1 byte); if kHasPrevious: previous revision (8, little-endian), previous sub (4), previous's stored
//          bytes (4), depth (varint), for each level it has passed a shortcut: revision, sub (varints); then the exact
//          wire bytes of mvccpb.KeyValue. A tombstone's carry key and mod_revision only.
//
// `previous` is the record of the same key before this one, also across a delete: following it leads to every older
// version, and the shortcuts lead there in few steps (lineage.h). A record never changes, so a copy of it needs no
// invalidation.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/kv.pb.h"
#include "storage/revision.h"
#include "storage/state/lineage.h"

namespace keel::storage {

// The fields of mvccpb.KeyValue, the bytes borrowed.
struct KeyValueFields {
  std::string_view key{};
  Revision create{};
  Revision mod{};
  int64_t version = 0;
  std::string_view value{};
  LeaseId lease{};
};

// Exactly what protobuf's serializer makes of the same message.
std::string EncodeKeyValue(const KeyValueFields& fields);
// Reads what EncodeKeyValue wrote; nullopt for anything else. The views point into `bytes`.
std::optional<KeyValueFields> DecodeKeyValue(std::string_view bytes);
// The key alone of what EncodeKeyValue wrote.
std::string_view KeyOfKeyValue(std::string_view bytes);
enum class WithValue { kYes, kNo };
void FillKeyValue(const KeyValueFields& fields, WithValue with_value, mvccpb::KeyValue* out);

struct Record {
  bool tombstone = false;
  ChangeId previous;            // !exists() when there is none.
  uint32_t previous_bytes = 0;  // StoredBytes() of it; tells how much its removal frees.
  Lineage lineage;              // Depth 0: there is no previous one.
  std::shared_ptr<const std::string> kv;
};

// Whether a record that is read goes to the caches. Those of a long list do not: each of them would push out what
// somebody may ask for again, and the list itself never does.
enum class Caching { kFill, kBypass };

inline constexpr size_t kRecordKeyBytes = 12;

std::string EncodeRecordKey(ChangeId change);
std::optional<ChangeId> DecodeRecordKey(std::string_view key);

// What precedes the KeyValue's bytes in the stored value.
std::string EncodeRecordHeader(const Record& record);

// What a record comes to in memory, in a cache that keeps it with its change.
size_t CachedBytes(const Record& record);

// A stored value without copying; `kv` points into it.
struct RecordView {
  bool tombstone = false;
  ChangeId previous;
  uint32_t previous_bytes = 0;
  Lineage lineage;
  std::string_view kv;
};
std::optional<RecordView> DecodeRecord(std::string_view stored);

// Key and value of a record on disk, before compression.
uint32_t StoredBytes(const Record& record);
uint32_t StoredBytes(std::string_view stored);

}  // namespace keel::storage
