#include "storage/state/meta_codec.h"

#include "base/bytes.h"

namespace keel::storage {
namespace {

void AppendInt(int64_t v, std::string* out) { AppendLittleEndian64(static_cast<uint64_t>(v), out); }
int64_t IntAt(std::string_view value, size_t offset) {
  return static_cast<int64_t>(ReadLittleEndian64(value.data() + offset));
}
std::string IdKey(std::string_view prefix, uint64_t id) {
  std::string key(prefix);
  AppendBigEndian64(id, &key);
  return key;
}

}  // namespace

std::string EncodeNumber(uint64_t number) {
  std::string out;
  AppendLittleEndian64(number, &out);
  return out;
}

std::optional<uint64_t> DecodeNumber(std::string_view value) {
  if (value.size() != 8) return std::nullopt;
  return ReadLittleEndian64(value.data());
}

std::string EncodeFormat(uint32_t format) {
  std::string out;
  AppendLittleEndian32(format, &out);
  return out;
}

std::optional<uint32_t> DecodeFormat(std::string_view value) {
  if (value.size() != 4) return std::nullopt;
  return ReadLittleEndian32(value.data());
}

std::string EncodePoint(const StatePoint& point) {
  std::string out;
  out.reserve(48);
  AppendLittleEndian64(point.applied.index, &out);
  AppendLittleEndian64(point.applied.term, &out);
  AppendInt(point.current.value(), &out);
  AppendInt(point.compact.value(), &out);
  AppendLittleEndian64(point.hash, &out);
  AppendInt(point.written_bytes, &out);
  return out;
}

std::optional<StatePoint> DecodePoint(std::string_view value) {
  if (value.size() != 48) return std::nullopt;
  StatePoint point{.applied = {.index = ReadLittleEndian64(value.data()), .term = ReadLittleEndian64(value.data() + 8)},
                   .current = Revision(IntAt(value, 16)),
                   .compact = Revision(IntAt(value, 24)),
                   .hash = ReadLittleEndian64(value.data() + 32),
                   .written_bytes = IntAt(value, 40)};
  if (point.current.value() < 1 || point.compact.value() < -1 || point.compact > point.current) return std::nullopt;
  return point;
}

std::string EncodeCompaction(const CompactionProgress& progress) {
  std::string out;
  AppendInt(progress.next.revision.value(), &out);
  AppendLittleEndian32(static_cast<uint32_t>(progress.next.sub), &out);
  AppendInt(progress.finished.value(), &out);
  AppendInt(progress.freed_bytes, &out);
  if (progress.stopped_at.value() > 0) AppendInt(progress.stopped_at.value(), &out);
  return out;
}

std::optional<CompactionProgress> DecodeCompaction(std::string_view value) {
  const bool stopped = value.size() == 36;
  if (value.size() != 28 && (!stopped || IntAt(value, 28) <= 0)) return std::nullopt;
  return CompactionProgress{.next = {.revision = Revision(IntAt(value, 0)),
                                     .sub = static_cast<int32_t>(ReadLittleEndian32(value.data() + 8))},
                            .finished = Revision(IntAt(value, 12)),
                            .freed_bytes = IntAt(value, 20),
                            .stopped_at = Revision(stopped ? IntAt(value, 28) : 0)};
}

std::string GoneKey(std::string_view key) { return std::string(kGonePrefix).append(key); }

std::string EncodeChange(ChangeId change) {
  std::string out;
  AppendInt(change.revision.value(), &out);
  AppendLittleEndian32(static_cast<uint32_t>(change.sub), &out);
  return out;
}

std::optional<ChangeId> DecodeChange(std::string_view value) {
  if (value.size() != 12) return std::nullopt;
  ChangeId change{.revision = Revision(IntAt(value, 0)),
                  .sub = static_cast<int32_t>(ReadLittleEndian32(value.data() + 8))};
  if (!change.exists() || change.sub < 0) return std::nullopt;
  return change;
}

std::string MemberKey(uint64_t id) { return IdKey(kMemberPrefix, id); }

std::string EncodeMember(const MemberRecord& member) {
  etcdserverpb::Member message;
  message.set_id(member.id);
  message.set_name(member.name);
  for (const std::string& url : member.peer_urls) message.add_peerurls(url);
  for (const std::string& url : member.client_urls) message.add_clienturls(url);
  return message.SerializeAsString();
}

std::optional<MemberRecord> DecodeMember(std::string_view value) {
  etcdserverpb::Member message;
  if (!message.ParseFromArray(value.data(), static_cast<int>(value.size()))) return std::nullopt;
  return MemberRecord{.id = message.id(),
                      .name = message.name(),
                      .peer_urls = {message.peerurls().begin(), message.peerurls().end()},
                      .client_urls = {message.clienturls().begin(), message.clienturls().end()}};
}

std::string DirectoryKey(uint64_t member_id) { return IdKey(kDirectoryPrefix, member_id); }
std::string AwaitsKey(uint64_t member_id) { return IdKey(kAwaitsPrefix, member_id); }
std::string RemovedKey(uint64_t member_id) { return IdKey(kRemovedPrefix, member_id); }

std::optional<uint64_t> DecodeIdKey(std::string_view prefix, std::string_view key) {
  if (!key.starts_with(prefix) || key.size() != prefix.size() + 8) return std::nullopt;
  return ReadBigEndian64(key.data() + prefix.size());
}

std::string EncodeDirectory(const DirectoryRecord& directory) {
  std::string out;
  AppendLittleEndian64(directory.id, &out);
  AppendLittleEndian64(directory.starts, &out);
  return out;
}

std::optional<DirectoryRecord> DecodeDirectory(std::string_view value) {
  if (value.size() != 16) return std::nullopt;
  return DirectoryRecord{.id = ReadLittleEndian64(value.data()), .starts = ReadLittleEndian64(value.data() + 8)};
}

std::string EncodeMembership(const StoredMembership& membership) {
  std::string out;
  AppendLittleEndian64(membership.index, &out);
  for (const auto* ids :
       {&membership.voters, &membership.outgoing_voters, &membership.learners, &membership.next_learners}) {
    AppendLittleEndian32(static_cast<uint32_t>(ids->size()), &out);
    for (const uint64_t id : *ids) AppendLittleEndian64(id, &out);
  }
  return out;
}

std::optional<StoredMembership> DecodeMembership(std::string_view value) {
  if (value.size() < 8) return std::nullopt;
  StoredMembership membership;
  membership.index = ReadLittleEndian64(value.data());
  value.remove_prefix(8);
  for (auto* ids : {&membership.voters, &membership.outgoing_voters, &membership.learners, &membership.next_learners}) {
    if (value.size() < 4) return std::nullopt;
    const size_t count = ReadLittleEndian32(value.data());
    value.remove_prefix(4);
    if (value.size() / 8 < count) return std::nullopt;
    for (size_t i = 0; i < count; ++i) ids->push_back(ReadLittleEndian64(value.data() + 8 * i));
    value.remove_prefix(8 * count);
  }
  if (!value.empty()) return std::nullopt;
  return membership;
}

std::string AlarmKey(const Alarm& alarm) {
  std::string key(kAlarmPrefix);
  AppendBigEndian64(alarm.member_id, &key);
  AppendBigEndian32(static_cast<uint32_t>(alarm.type), &key);
  return key;
}

std::optional<Alarm> DecodeAlarmKey(std::string_view key) {
  if (!key.starts_with(kAlarmPrefix) || key.size() != kAlarmPrefix.size() + 12) return std::nullopt;
  key.remove_prefix(kAlarmPrefix.size());
  return Alarm{.member_id = ReadBigEndian64(key.data()), .type = static_cast<int>(ReadBigEndian32(key.data() + 8))};
}

std::string LeaseKey(LeaseId id) {
  std::string key(kLeasePrefix);
  AppendBigEndian64(static_cast<uint64_t>(id.value()), &key);
  return key;
}

std::string EncodeLease(const LeaseRecord& lease) {
  std::string out;
  AppendInt(lease.granted_ttl, &out);
  AppendInt(lease.remaining_ttl, &out);
  AppendLittleEndian64(lease.grant_index, &out);
  return out;
}

std::optional<LeaseRecord> DecodeLease(std::string_view key, std::string_view value) {
  if (!key.starts_with(kLeasePrefix) || key.size() != kLeasePrefix.size() + 8 || value.size() != 24) {
    return std::nullopt;
  }
  return LeaseRecord{.id = LeaseId(static_cast<int64_t>(ReadBigEndian64(key.data() + kLeasePrefix.size()))),
                     .granted_ttl = IntAt(value, 0),
                     .remaining_ttl = IntAt(value, 8),
                     .grant_index = ReadLittleEndian64(value.data() + 16)};
}

}  // namespace keel::storage
