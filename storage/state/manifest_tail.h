#pragma once

// The last write to a MANIFEST of RocksDB, torn by a power cut.
//
// RocksDB syncs what it writes there before it relies on it, so a write that was torn has nothing that rests on it: the
// files it speaks of are not needed, and those it would have made useless are still there. But of a record of which
// only some sectors arrived RocksDB knows no more than that its checksum is wrong, and does not open. Cutting the write
// off makes the database what it was before it, and the Raft log replays the rest.
//
// Damage anywhere else is refused, before RocksDB sees it: a record whose type it does not know it passes over, and
// then removes the files that this record spoke of. What cannot be told from a torn write is damage to the very last
// one after it had been synced; then the start goes on from before it, or is refused for the hole between state and
// log.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::storage {

// Where a MANIFEST's content ceases to be whole records, one after the other, and how many whole ones there are behind.
struct ManifestScan {
  uint64_t whole_bytes = 0;
  int records_behind = 0;
};
ManifestScan ScanManifest(std::string_view content);

class ManifestTail {
 public:
  // A flush writes three records, for two column families and their log, and a compaction one: so many may have arrived
  // whole behind one that has not.
  static constexpr int kRecordsBehindMax = 2;

  // Cuts the torn last write off the current MANIFEST of the database in `dir`, durably. nullopt: it is whole, or there
  // is no database. kDataLoss: there is other damage; file and offset. REQUIRES: nobody has the database open.
  static absl::StatusOr<std::optional<ManifestTail>> Cut(const std::string& dir);
  // Puts it back as it was: it did not help.
  absl::Status Restore() const;

  const std::string& path() const { return path_; }
  uint64_t offset() const { return offset_; }
  size_t bytes() const { return bytes_.size(); }

 private:
  ManifestTail(std::string path, uint64_t offset, std::string bytes)
      : path_(std::move(path)), offset_(offset), bytes_(std::move(bytes)) {}

  std::string path_;
  uint64_t offset_;
  std::string bytes_;
};

}  // namespace keel::storage
