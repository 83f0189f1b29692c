#include "storage/state/keyspace_query.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "storage/state/record_check.h"

namespace keel::storage {
namespace {

// Entries copied under the index lock at a time.
constexpr size_t kChunkEntries = 512;

}  // namespace

absl::StatusOr<std::optional<Version>> KeyspaceQuery::VersionAt(const IndexEntry& latest, Revision at,
                                                                Caching caching) const {
  if (latest.mod.revision <= at) {
    if (!latest.is_live()) return std::nullopt;
    return Version{.facts = latest.facts(), .record = std::nullopt};
  }
  if (!latest.has_previous) return std::nullopt;
  ChangeId change = latest.mod;  // Always a change after `at`.
  while (true) {
    absl::StatusOr<Record> record = source_.Load(change, caching);
    if (!record.ok()) return MustExist(record.status());
    const ChangeId previous = record->previous;
    if (!previous.exists()) return std::nullopt;
    // The farthest that is still after `at`.
    ChangeId next = previous;
    for (size_t level = record->lineage.levels(); level-- > 0;) {
      if (record->lineage.shortcuts[level].revision <= at) continue;
      next = record->lineage.shortcuts[level];
      break;
    }
    if (next >= change) return DamagedRecord(change, "points forward");
    if (next.revision > at) {
      change = next;
      continue;
    }
    KEEL_ASSIGN_OR_RETURN(KeyValueFields newer, PairOf(change, *record->kv));
    // What precedes a creation is a tombstone, and may be compacted away already.
    if (!record->tombstone && newer.version == 1) return std::nullopt;
    absl::StatusOr<Record> found = source_.Load(previous, caching);
    if (!found.ok()) return MustExist(found.status());
    if (found->tombstone) return DamagedRecord(previous, "is a tombstone where a pair must be");
    KEEL_ASSIGN_OR_RETURN(KeyValueFields fields, PairOf(previous, *found->kv));
    return Version{
        .facts = {.mod = previous, .create = fields.create, .version = fields.version, .lease = fields.lease},
        .record = *std::move(found)};
  }
}

absl::Status KeyspaceQuery::Scan(const KeyInterval& interval, Revision at, size_t entries_hint, Caching caching,
                                 Visit visit) const {
  if (interval.single) {
    std::optional<IndexEntry> latest = source_.Latest(interval.first);
    if (!latest.has_value()) return absl::OkStatus();
    KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(*latest, at, caching));
    if (version.has_value()) visit(interval.first, *std::move(version));
    return absl::OkStatus();
  }
  EntryChunk chunk;
  std::optional<std::string> after;
  size_t older = 0;  // Versions that had to be looked for.
  while (true) {
    chunk.Clear();
    bool done = source_.ReadEntries(interval, after, std::clamp<size_t>(entries_hint, 1, kChunkEntries), &chunk);
    for (size_t i = 0; i < chunk.size(); ++i) {
      if (chunk.entry(i).mod.revision > at && ++older > kCachedRecords) caching = Caching::kBypass;
      KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(chunk.entry(i), at, caching));
      if (version.has_value() && !visit(chunk.key(i), *std::move(version))) return absl::OkStatus();
    }
    if (done) return absl::OkStatus();
    after = std::string(chunk.key(chunk.size() - 1));
  }
}

absl::StatusOr<int64_t> KeyspaceQuery::Count(const KeyInterval& interval, Revision at) const {
  int64_t total = 0;
  size_t looked_for = 0;
  KeyInterval rest = interval;
  IndexCount count;
  std::string first;
  for (bool done = false; !done;) {
    count.live = 0;
    count.unsure.clear();
    done = source_.Count(rest, at, &count);
    total += count.live;
    for (const IndexEntry& entry : count.unsure) {
      const Caching caching = ++looked_for > kCachedRecords ? Caching::kBypass : Caching::kFill;
      KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(entry, at, caching));
      if (version.has_value()) ++total;
    }
    first = std::move(count.resume);
    rest.first = first;
  }
  return total;
}

absl::StatusOr<std::optional<KeyFacts>> KeyspaceQuery::Find(std::string_view key) const {
  std::optional<IndexEntry> latest = source_.Latest(key);
  if (!latest.has_value()) return std::nullopt;
  KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(*latest, at_, Caching::kFill));
  if (!version.has_value()) return std::nullopt;
  return version->facts;
}

absl::StatusOr<std::string> KeyspaceQuery::Value(std::string_view key) const {
  std::optional<IndexEntry> latest = source_.Latest(key);
  std::optional<Version> version;
  if (latest.has_value()) {
    KEEL_ASSIGN_OR_RETURN(version, VersionAt(*latest, at_, Caching::kFill));
  }
  if (!version.has_value()) return absl::NotFoundError("state: no such key");
  if (!version->record.has_value()) {
    absl::StatusOr<Record> record = source_.Load(version->facts.mod, Caching::kFill);
    if (!record.ok()) return MustExist(record.status());
    version->record = *std::move(record);
  }
  KEEL_ASSIGN_OR_RETURN(KeyValueFields fields, PairOf(version->facts.mod, *version->record->kv));
  return std::string(fields.value);
}

absl::Status KeyspaceQuery::ForEach(
    std::string_view key, std::string_view range_end,
    const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const {
  return Scan(IntervalOf(key, range_end), at_, kChunkEntries, Caching::kFill,
              [&](std::string_view found, const Version& version) { return visit(found, version.facts); });
}

}  // namespace keel::storage
