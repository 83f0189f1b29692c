#pragma once

// Reads the file format of bbolt, the database in which etcd keeps its state: a B+ tree of pages, with buckets inside
// buckets. Only what a backup needs: it walks a whole bucket, in key order.
//
//   page     id:u64 flags:u16 count:u16 overflow:u32, then its elements; it takes 1 + overflow pages
//   meta     (flags 4; pages 0 and 1) magic:u32 version:u32 page-size:u32 flags:u32 root-bucket freelist:u64
//            pages:u64 txid:u64 checksum:u64 (FNV-1a of what is before it); of two good ones the higher txid counts
//   bucket   root page:u64 sequence:u64; root 0: its only page follows inline
//   branch   (flags 1) elements of pos:u32 key-size:u32 page:u64; `pos` counts from the element
//   leaf     (flags 2) elements of flags:u32 pos:u32 key-size:u32 value-size:u32; flags 1: the value is a bucket
//
// All little-endian. A file may be damaged, cut or hostile: nothing is read that was not measured before, no page is
// visited twice, and keys must ascend.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::storage {

// Borrows the bytes. Owned by one thread.
class BboltImage {
 public:
  // kDataLoss: no valid meta page; the message says what is wrong and where.
  static absl::StatusOr<BboltImage> Open(std::string_view bytes);

  // Where an element is in the file, for messages.
  using Visit = std::function<absl::Status(std::string_view key, std::string_view value, uint64_t offset)>;

  // Every pair of the top-level bucket `name`, ascending, until `visit` returns an error. A bucket that does not exist
  // is empty. kDataLoss says which offset and why.
  absl::Status ForEach(std::string_view bucket, const Visit& visit) const;

  // Names of the top-level buckets, ascending.
  absl::StatusOr<std::vector<std::string>> Buckets() const;

  size_t page_bytes() const { return page_bytes_; }
  uint64_t txid() const { return txid_; }

 private:
  struct Page;
  class Walk;

  explicit BboltImage(std::string_view bytes) : bytes_(bytes) {}

  static absl::StatusOr<BboltImage> FromMeta(std::string_view bytes, uint64_t offset);
  absl::StatusOr<Page> PageAt(uint64_t id) const;

  std::string_view bytes_;
  size_t page_bytes_ = 0;
  uint64_t txid_ = 0;
  uint64_t root_ = 0;
  uint64_t pages_ = 0;  // All page ids are below.
};

}  // namespace keel::storage
