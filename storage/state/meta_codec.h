#pragma once

// Keys and values of column family `meta`: everything of the state machine that is not history. Integers in keys are
// big-endian, in values little-endian.
//
//   "format"                         4 bytes: kFormat
//   "point"                          applied index, applied term, current revision, compact revision, running hash,
//                                    bytes of all records ever written: 8 bytes each
//   "compaction"                     next record to look at: revision 8, sub 4; finished revision 8; bytes of all
//                                    records it has removed 8
//   "index"                          revision that an index file must have at least: 8 bytes
//   "gone/" key                      tombstone that was removed with the key's index entry: revision 8, sub 4
//   "advanced"                       a revision that became the current one without a change: 8 bytes
//   "cluster"                        cluster id: 8 bytes
//   "member/" id (8)                 etcdserverpb.Member, wire bytes; isLearner is not set
//   "directory/" id (8)              the member's data directory: its id 8, starts 8; absent when not known
//   "awaits/" id (8)                 empty; a learner that is to become a voter by itself
//   "removed/" id (8)                empty; a member's id that never returns
//   "membership"                     log index 8; then voters, outgoing voters, learners, next learners: each a
//                                    count 4 and that many ids of 8
//   "alarm/" member id (8) type (4)  empty
//   "lease/" id (8)                  granted TTL, remaining TTL, grant index: 8 bytes each

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "storage/revision.h"
#include "storage/state/state_store.h"

namespace keel::storage {

inline constexpr uint32_t kFormat = 1;

inline constexpr std::string_view kFormatKey = "format";
inline constexpr std::string_view kPointKey = "point";
inline constexpr std::string_view kCompactionKey = "compaction";
inline constexpr std::string_view kAdvancedKey = "advanced";
inline constexpr std::string_view kIndexKey = "index";
inline constexpr std::string_view kGonePrefix = "gone/";
inline constexpr std::string_view kClusterKey = "cluster";
inline constexpr std::string_view kMemberPrefix = "member/";
inline constexpr std::string_view kDirectoryPrefix = "directory/";
inline constexpr std::string_view kAwaitsPrefix = "awaits/";
inline constexpr std::string_view kRemovedPrefix = "removed/";
inline constexpr std::string_view kMembershipKey = "membership";
inline constexpr std::string_view kAlarmPrefix = "alarm/";
inline constexpr std::string_view kLeasePrefix = "lease/";

// Where the state stands: written with every batch, in one value, so that its parts can never disagree.
struct StatePoint {
  AppliedPosition applied;
  Revision current{1};
  Revision compact{-1};
  uint64_t hash = 0;  // RunningHash of all that was applied (hash_trail.h).
  int64_t written_bytes = 0;  // StoredBytes() of all records ever written.

  friend bool operator==(const StatePoint&, const StatePoint&) = default;
};

// How far the physical compaction has come.
struct CompactionProgress {
  ChangeId next;            // First record not yet looked at.
  Revision finished{-1};    // The compact revision up to which everything dead is gone.
  int64_t freed_bytes = 0;  // StoredBytes() of all records removed.
  // The last pass ended inside this revision, and was about to finish at it: what the revision itself replaced is there
  // yet, also of the records before `next`. 0: it did not.
  Revision stopped_at;

  friend bool operator==(const CompactionProgress&, const CompactionProgress&) = default;
};

struct Alarm {
  uint64_t member_id = 0;
  int type = 0;

  friend auto operator<=>(const Alarm&, const Alarm&) = default;
};

std::string EncodeNumber(uint64_t number);
std::string EncodeFormat(uint32_t format);
std::string GoneKey(std::string_view key);
std::string EncodeChange(ChangeId change);
std::string EncodePoint(const StatePoint& point);
std::string EncodeCompaction(const CompactionProgress& progress);
std::string MemberKey(uint64_t id);
std::string EncodeMember(const MemberRecord& member);
std::string DirectoryKey(uint64_t member_id);
std::string EncodeDirectory(const DirectoryRecord& directory);
std::string AwaitsKey(uint64_t member_id);
std::string RemovedKey(uint64_t member_id);
std::string EncodeMembership(const StoredMembership& membership);
std::string AlarmKey(const Alarm& alarm);
std::string LeaseKey(LeaseId id);
std::string EncodeLease(const LeaseRecord& lease);

// nullopt: not what the encoders write.
std::optional<uint64_t> DecodeNumber(std::string_view value);
std::optional<uint32_t> DecodeFormat(std::string_view value);
std::optional<ChangeId> DecodeChange(std::string_view value);
std::optional<StatePoint> DecodePoint(std::string_view value);
std::optional<CompactionProgress> DecodeCompaction(std::string_view value);
std::optional<MemberRecord> DecodeMember(std::string_view value);
// The id at the end of a key that is `prefix` and an id.
std::optional<uint64_t> DecodeIdKey(std::string_view prefix, std::string_view key);
std::optional<DirectoryRecord> DecodeDirectory(std::string_view value);
std::optional<StoredMembership> DecodeMembership(std::string_view value);
std::optional<Alarm> DecodeAlarmKey(std::string_view key);
std::optional<LeaseRecord> DecodeLease(std::string_view key, std::string_view value);

}  // namespace keel::storage
