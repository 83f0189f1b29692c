#pragma once

// Reads of the keyspace at one revision: the same code for a view of the committed state and for a batch in progress.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "storage/revision.h"
#include "storage/state/key_index.h"
#include "storage/state/key_interval.h"
#include "storage/state/read_view.h"
#include "storage/state/record.h"

namespace keel::storage {

// Latest versions by key, and records by change.
class VersionSource {
 public:
  virtual ~VersionSource() = default;

  virtual std::optional<IndexEntry> Latest(std::string_view key) const = 0;
  // As KeyIndex::Read.
  virtual bool ReadEntries(const KeyInterval& interval, std::optional<std::string_view> after, size_t entries_max,
                           EntryChunk* chunk) const = 0;
  // As KeyIndex::Count, a bounded part at a time.
  virtual bool Count(const KeyInterval& interval, Revision at, IndexCount* count) const = 0;
  // kNotFound when compacted away.
  virtual absl::StatusOr<Record> Load(ChangeId change, Caching caching) const = 0;
  virtual absl::Status LoadMany(const std::vector<ChangeId>& changes, Caching caching,
                                std::vector<Record>* records) const = 0;
};

// A key's version at a revision; the record only when it had to be read anyway.
struct Version {
  KeyFacts facts;
  std::optional<Record> record;
};

// Borrows its source. `at` is the point shown, `floor` the first revision that can still be read.
class KeyspaceQuery {
 public:
  KeyspaceQuery(const VersionSource& source, Revision at, Revision floor) : source_(source), at_(at), floor_(floor) {}

  absl::StatusOr<RangeTotals> ReadRange(const etcdserverpb::RangeRequest& request, RangeSink* sink) const;
  absl::StatusOr<std::optional<KeyFacts>> Find(std::string_view key) const;
  absl::StatusOr<std::string> Value(std::string_view key) const;
  absl::Status ForEach(std::string_view key, std::string_view range_end,
                       const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const;

 private:
  // More than these of one read are not worth a place in the caches.
  static constexpr size_t kCachedRecords = 512;

  // False: the scan ends here.
  using Visit = absl::FunctionRef<bool(std::string_view key, Version version)>;

  class RangeRun;

  // The keys that live at `at`, ascending. `entries_hint`: about how many will be looked at. `caching` is for the first
  // kCachedRecords of the records it needs.
  absl::Status Scan(const KeyInterval& interval, Revision at, size_t entries_hint, Caching caching, Visit visit) const;
  absl::StatusOr<int64_t> Count(const KeyInterval& interval, Revision at) const;
  absl::StatusOr<RangeTotals> Get(const etcdserverpb::RangeRequest& request, Revision at, RangeSink* sink) const;
  // The version of the key at `at`, whose latest one is `latest`.
  absl::StatusOr<std::optional<Version>> VersionAt(const IndexEntry& latest, Revision at, Caching caching) const;

  const VersionSource& source_;
  const Revision at_;
  const Revision floor_;
};

}  // namespace keel::storage
