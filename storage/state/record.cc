#include "storage/state/record.h"

#include "base/bytes.h"
#include "storage/state/varint.h"

namespace keel::storage {
namespace {

constexpr uint8_t kTombstone = 1;
constexpr uint8_t kHasPrevious = 2;
constexpr size_t kPreviousBytes = 8 + 4 + 4;

// Wire tags of mvccpb.KeyValue: field number times eight, plus 2 for bytes and 0 for a varint.
constexpr char kKeyTag = 0x0a;
constexpr char kCreateTag = 0x10;
constexpr char kModTag = 0x18;
constexpr char kVersionTag = 0x20;
constexpr char kValueTag = 0x2a;
constexpr char kLeaseTag = 0x30;

void AppendVarint(uint64_t v, std::string* out) {
  char buffer[kVarintBytesMax];
  out->append(buffer, static_cast<size_t>(PutVarint(v, buffer) - buffer));
}

size_t VarintBytes(uint64_t v) {
  size_t bytes = 1;
  for (; v >= 0x80; v >>= 7) ++bytes;
  return bytes;
}

void AppendBytesField(char tag, std::string_view bytes, std::string* out) {
  if (bytes.empty()) return;
  out->push_back(tag);
  AppendVarint(bytes.size(), out);
  out->append(bytes);
}

void AppendIntField(char tag, int64_t v, std::string* out) {
  if (v == 0) return;
  out->push_back(tag);
  AppendVarint(static_cast<uint64_t>(v), out);
}

// Takes fields from the front of the wire bytes; once something does not fit, ok() stays false.
class WireReader {
 public:
  explicit WireReader(std::string_view bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool done() const { return rest_.empty(); }

  std::string_view BytesField(char tag) {
    if (!TakeTag(tag)) return {};
    uint64_t size = Varint();
    if (!ok_ || size == 0 || size > rest_.size()) return Fail();
    std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  int64_t IntField(char tag) {
    if (!TakeTag(tag)) return 0;
    uint64_t v = Varint();
    if (v == 0) ok_ = false;
    return static_cast<int64_t>(v);
  }

 private:
  bool TakeTag(char tag) {
    if (!ok_ || rest_.empty() || rest_[0] != tag) return false;
    rest_.remove_prefix(1);
    return true;
  }

  uint64_t Varint() {
    uint64_t v = 0;
    if (!TakeVarint(&rest_, &v)) ok_ = false;
    return v;
  }

  std::string_view Fail() {
    ok_ = false;
    return {};
  }

  std::string_view rest_;
  bool ok_ = true;
};

}  // namespace

std::string EncodeKeyValue(const KeyValueFields& fields) {
  std::string out;
  out.reserve(fields.key.size() + fields.value.size() + 64);
  AppendBytesField(kKeyTag, fields.key, &out);
  AppendIntField(kCreateTag, fields.create.value(), &out);
  AppendIntField(kModTag, fields.mod.value(), &out);
  AppendIntField(kVersionTag, fields.version, &out);
  AppendBytesField(kValueTag, fields.value, &out);
  AppendIntField(kLeaseTag, fields.lease.value(), &out);
  return out;
}

std::optional<KeyValueFields> DecodeKeyValue(std::string_view bytes) {
  WireReader reader(bytes);
  KeyValueFields fields;
  fields.key = reader.BytesField(kKeyTag);
  fields.create = Revision(reader.IntField(kCreateTag));
  fields.mod = Revision(reader.IntField(kModTag));
  fields.version = reader.IntField(kVersionTag);
  fields.value = reader.BytesField(kValueTag);
  fields.lease = LeaseId(reader.IntField(kLeaseTag));
  if (!reader.ok() || !reader.done()) return std::nullopt;
  return fields;
}

std::string_view KeyOfKeyValue(std::string_view bytes) { return WireReader(bytes).BytesField(kKeyTag); }

void FillKeyValue(const KeyValueFields& fields, WithValue with_value, mvccpb::KeyValue* out) {
  out->set_key(fields.key.data(), fields.key.size());
  out->set_create_revision(fields.create.value());
  out->set_mod_revision(fields.mod.value());
  out->set_version(fields.version);
  if (with_value == WithValue::kYes) out->set_value(fields.value.data(), fields.value.size());
  out->set_lease(fields.lease.value());
}

std::string EncodeRecordKey(ChangeId change) {
  std::string key;
  AppendBigEndian64(static_cast<uint64_t>(change.revision.value()), &key);
  AppendBigEndian32(static_cast<uint32_t>(change.sub), &key);
  return key;
}

std::optional<ChangeId> DecodeRecordKey(std::string_view key) {
  if (key.size() != kRecordKeyBytes) return std::nullopt;
  ChangeId change{.revision = Revision(static_cast<int64_t>(ReadBigEndian64(key.data()))),
                  .sub = static_cast<int32_t>(ReadBigEndian32(key.data() + 8))};
  if (!change.exists() || change.sub < 0) return std::nullopt;
  return change;
}

std::string EncodeRecordHeader(const Record& record) {
  uint8_t flags = 0;
  if (record.tombstone) flags |= kTombstone;
  if (record.previous.exists()) flags |= kHasPrevious;
  std::string header;
  if (record.previous.exists())
    header.reserve(1 + kPreviousBytes + (1 + 2 * record.lineage.levels()) * kVarintBytesMax);
  header.push_back(static_cast<char>(flags));
  if (record.previous.exists()) {
    AppendLittleEndian64(static_cast<uint64_t>(record.previous.revision.value()), &header);
    AppendLittleEndian32(static_cast<uint32_t>(record.previous.sub), &header);
    AppendLittleEndian32(record.previous_bytes, &header);
    AppendVarint(record.lineage.depth, &header);
    for (size_t level = 0; level < record.lineage.levels(); ++level) {
      AppendVarint(static_cast<uint64_t>(record.lineage.shortcuts[level].revision.value()), &header);
      AppendVarint(static_cast<uint32_t>(record.lineage.shortcuts[level].sub), &header);
    }
  }
  return header;
}

std::optional<RecordView> DecodeRecord(std::string_view stored) {
  if (stored.empty()) return std::nullopt;
  uint8_t flags = static_cast<uint8_t>(stored[0]);
  if ((flags & ~(kTombstone | kHasPrevious)) != 0) return std::nullopt;
  stored.remove_prefix(1);
  RecordView record;
  record.tombstone = (flags & kTombstone) != 0;
  if ((flags & kHasPrevious) != 0) {
    if (stored.size() < kPreviousBytes) return std::nullopt;
    record.previous.revision = Revision(static_cast<int64_t>(ReadLittleEndian64(stored.data())));
    record.previous.sub = static_cast<int32_t>(ReadLittleEndian32(stored.data() + 8));
    record.previous_bytes = ReadLittleEndian32(stored.data() + 12);
    if (!record.previous.exists() || record.previous.sub < 0) return std::nullopt;
    stored.remove_prefix(kPreviousBytes);
    if (!TakeVarint(&stored, &record.lineage.depth) || record.lineage.depth == 0) return std::nullopt;
    for (size_t level = 0; level < record.lineage.levels(); ++level) {
      uint64_t revision, sub;
      if (!TakeVarint(&stored, &revision) || !TakeVarint(&stored, &sub)) return std::nullopt;
      if (revision == 0 || revision > INT64_MAX || sub > INT32_MAX) return std::nullopt;
      record.lineage.shortcuts[level] = {.revision = Revision(static_cast<int64_t>(revision)),
                                         .sub = static_cast<int32_t>(sub)};
    }
  }
  record.kv = stored;
  return record;
}

uint32_t StoredBytes(const Record& record) {
  size_t bytes = kRecordKeyBytes + 1 + record.kv->size();
  if (record.previous.exists()) {
    bytes += kPreviousBytes + VarintBytes(record.lineage.depth);
    for (size_t level = 0; level < record.lineage.levels(); ++level) {
      const ChangeId& shortcut = record.lineage.shortcuts[level];
      bytes += VarintBytes(static_cast<uint64_t>(shortcut.revision.value())) +
               VarintBytes(static_cast<uint32_t>(shortcut.sub));
    }
  }
  return static_cast<uint32_t>(bytes);
}

uint32_t StoredBytes(std::string_view stored) { return static_cast<uint32_t>(kRecordKeyBytes + stored.size()); }

size_t CachedBytes(const Record& record) {
  constexpr size_t kAround = 160;  // Slot, table entry and allocations, about.
  return record.kv->size() + kAround;
}

}  // namespace keel::storage
