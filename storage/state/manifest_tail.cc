#include "storage/state/manifest_tail.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/crc32c.h"
#include "base/status_macros.h"
#include "storage/disk.h"

namespace keel::storage {
namespace {

// RocksDB's log format: blocks, in them records of crc:u32 length:u16 type:u8 and the payload, little-endian; the crc
// is of type and payload, and masked. Less than a header's room at the end of a block is zeroes.
constexpr size_t kBlockBytes = 32u << 10;
constexpr size_t kHeaderBytes = 7;
constexpr uint8_t kLastType = 4;  // 1: whole, 2 to 4: first, middle and last piece.

uint32_t Masked(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

uint32_t ByteAt(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

constexpr char kCurrentName[] = "/CURRENT";

// The bytes of the whole record at `at`, or of the zeroes at a block's end; 0: neither.
size_t WholeAt(std::string_view content, size_t at) {
  const size_t left_in_block = kBlockBytes - at % kBlockBytes;
  const std::string_view rest = content.substr(at);
  if (left_in_block < kHeaderBytes) return rest.size() < left_in_block ? 0 : left_in_block;
  if (rest.size() < kHeaderBytes) return 0;
  const uint32_t crc = ByteAt(rest, 0) | ByteAt(rest, 1) << 8 | ByteAt(rest, 2) << 16 | ByteAt(rest, 3) << 24;
  const size_t length = ByteAt(rest, 4) | ByteAt(rest, 5) << 8;
  const uint32_t type = ByteAt(rest, 6);
  if (type == 0 || type > kLastType || kHeaderBytes + length > left_in_block) return 0;
  if (rest.size() < kHeaderBytes + length || Masked(Crc32c(rest.substr(6, 1 + length))) != crc) return 0;
  return kHeaderBytes + length;
}

}  // namespace

ManifestScan ScanManifest(std::string_view content) {
  ManifestScan scan;
  while (scan.whole_bytes < content.size()) {
    const size_t n = WholeAt(content, scan.whole_bytes);
    if (n == 0) break;
    scan.whole_bytes += n;
  }
  // A torn record does not say where the next one begins.
  for (size_t at = scan.whole_bytes + 1; at < content.size();) {
    const size_t n = WholeAt(content, at);
    if (n >= kHeaderBytes) ++scan.records_behind;
    at += std::max<size_t>(n, 1);
  }
  return scan;
}

absl::StatusOr<std::optional<ManifestTail>> ManifestTail::Cut(const std::string& dir) {
  Disk& disk = Disk::Real();
  const absl::StatusOr<std::unique_ptr<DiskFile>> current = disk.Open(dir + kCurrentName);
  if (absl::IsNotFound(current.status())) return std::nullopt;
  KEEL_RETURN_IF_ERROR(current.status());
  KEEL_ASSIGN_OR_RETURN(std::string name, ReadWhole(**current));
  while (!name.empty() && name.back() == '\n') name.pop_back();
  std::string path = absl::StrCat(dir, "/", name);
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, disk.Open(path));
  KEEL_ASSIGN_OR_RETURN(const std::string content, ReadWhole(*file));
  const ManifestScan scan = ScanManifest(content);
  const uint64_t whole = scan.whole_bytes;
  if (whole == content.size()) return std::nullopt;
  if (whole == 0 || scan.records_behind > kRecordsBehindMax) {
    return absl::DataLossError(absl::StrCat("state: ", path, " is damaged at offset ", whole,
                                            "; remove the data directory and let this member rejoin, or restore a "
                                            "snapshot"));
  }
  if (::truncate(path.c_str(), static_cast<off_t>(whole)) != 0) {
    return ErrnoStatus(errno, absl::StrCat("truncate ", path));
  }
  KEEL_RETURN_IF_ERROR(file->Sync());
  return ManifestTail(std::move(path), whole, content.substr(whole));
}

absl::Status ManifestTail::Restore() const {
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, Disk::Real().Open(path_));
  KEEL_RETURN_IF_ERROR(file->Write(offset_, bytes_));
  return file->Sync();
}

}  // namespace keel::storage
