#include "storage/state/index_file.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/status_macros.h"

namespace keel::storage {
namespace {

constexpr std::string_view kMagic = "KEEL-IDX";
constexpr uint32_t kIndexFormat = 1;
constexpr size_t kHeaderBytes = 8 + 4 + 8 + 4;
constexpr char kBlock = 1;
constexpr char kEnd = 2;
constexpr size_t kBlockHeadBytes = 1 + 4;
constexpr size_t kEndBytes = 1 + 8 + 8 + 4;
constexpr size_t kCrcBytes = 4;
// Longer than any block: of a few entries at the most, whose keys are bounded by what a request may hold.
constexpr uint32_t kBlockBytesMax = 1u << 30;

// Takes what comes next of a file, whatever the size of it; nothing is held but a buffer.
class FileReader {
 public:
  explicit FileReader(const DiskFile& file) : file_(file) {}

  // The next `n` bytes, valid until the next call; fewer: the file ends there.
  absl::StatusOr<std::string_view> Take(size_t n) {
    if (buffer_.size() - at_ < n) {
      buffer_.erase(0, at_);
      at_ = 0;
      const size_t have = buffer_.size();
      const size_t wanted = std::max(n, kBufferBytes);
      buffer_.resize(wanted);
      KEEL_ASSIGN_OR_RETURN(const size_t got, file_.Read(read_, wanted - have, buffer_.data() + have));
      buffer_.resize(have + got);
      read_ += got;
    }
    const std::string_view taken = std::string_view(buffer_).substr(at_, n);
    at_ += taken.size();
    offset_ += taken.size();
    return taken;
  }
  uint64_t offset() const { return offset_; }

 private:
  static constexpr size_t kBufferBytes = 1u << 20;

  const DiskFile& file_;
  std::string buffer_;
  size_t at_ = 0;
  uint64_t read_ = 0;    // Of the file, into the buffer.
  uint64_t offset_ = 0;  // Of what comes next.
};

}  // namespace

absl::StatusOr<std::unique_ptr<IndexFileWriter>> IndexFileWriter::Create(Disk* disk, const std::string& path,
                                                                         Revision revision) {
  std::unique_ptr<IndexFileWriter> writer(new IndexFileWriter(disk, path));
  const absl::Status removed = disk->Remove(writer->TemporaryPath());
  if (!removed.ok() && !absl::IsNotFound(removed)) return removed;
  KEEL_ASSIGN_OR_RETURN(writer->file_, disk->Create(writer->TemporaryPath()));
  std::string header(kMagic);
  AppendLittleEndian32(kIndexFormat, &header);
  AppendLittleEndian64(static_cast<uint64_t>(revision.value()), &header);
  KEEL_RETURN_IF_ERROR(writer->Append(std::move(header)));
  return writer;
}

IndexFileWriter::~IndexFileWriter() {
  file_.reset();
  if (!published_) disk_.Remove(TemporaryPath()).IgnoreError();
}

// Adds the checksum of all that was written so far.
absl::Status IndexFileWriter::Append(std::string bytes) {
  chain_ = ExtendCrc32c(chain_, bytes);
  AppendLittleEndian32(chain_, &bytes);
  return Write(bytes);
}

absl::Status IndexFileWriter::Write(std::string_view bytes) {
  KEEL_RETURN_IF_ERROR(file_->Write(size_, bytes));
  size_ += bytes.size();
  if (size_ - synced_ < kSyncBytes) return absl::OkStatus();
  synced_ = size_;
  return file_->Sync();
}

absl::Status IndexFileWriter::Add(const IndexDump& dump) {
  // One write for all of them.
  std::string bytes;
  for (const std::string& block : dump.blocks) {
    const size_t first = bytes.size();
    bytes.push_back(kBlock);
    AppendLittleEndian32(static_cast<uint32_t>(block.size()), &bytes);
    bytes.append(block);
    chain_ = ExtendCrc32c(chain_, std::string_view(bytes).substr(first));
    AppendLittleEndian32(chain_, &bytes);
  }
  entries_ += dump.entries;
  return Write(bytes);
}

absl::Status IndexFileWriter::End(Revision newest) {
  std::string end(1, kEnd);
  AppendLittleEndian64(entries_, &end);
  AppendLittleEndian64(static_cast<uint64_t>(newest.value()), &end);
  KEEL_RETURN_IF_ERROR(Append(std::move(end)));
  return file_->Sync();
}

absl::Status IndexFileWriter::Publish() {
  KEEL_RETURN_IF_ERROR(disk_.Rename(TemporaryPath(), path_));
  published_ = true;
  return disk_.SyncDir(path_.substr(0, path_.rfind('/')));
}

absl::StatusOr<LoadedIndexFile> LoadIndexFile(Disk* disk, const std::string& path, KeyIndex::Loader* loader) {
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<DiskFile> file, disk->Open(path));
  FileReader reader(*file);
  uint32_t chain = 0;
  uint64_t entries = 0;
  const auto damaged = [&](uint64_t offset, std::string_view what) {
    return absl::DataLossError(
        absl::StrCat(path, " is damaged at offset ", offset, ": ", absl::string_view(what.data(), what.size())));
  };

  KEEL_ASSIGN_OR_RETURN(std::string_view header, reader.Take(kHeaderBytes));
  if (header.size() < kHeaderBytes || !header.starts_with(kMagic)) return damaged(0, "no header");
  chain = Crc32c(header.substr(0, kHeaderBytes - kCrcBytes));
  if (ReadLittleEndian32(header.data() + kHeaderBytes - kCrcBytes) != chain) return damaged(0, "checksum");
  if (const uint32_t format = ReadLittleEndian32(header.data() + 8); format != kIndexFormat) {
    return absl::FailedPreconditionError(absl::StrCat(path, " has format ", format, ", not ", kIndexFormat));
  }
  LoadedIndexFile loaded{.revision = Revision(static_cast<int64_t>(ReadLittleEndian64(header.data() + 12))),
                         .newest = Revision()};

  std::string block;
  while (true) {
    const uint64_t offset = reader.offset();
    KEEL_ASSIGN_OR_RETURN(const std::string_view head, reader.Take(kBlockHeadBytes));
    if (head.size() < kBlockHeadBytes) return damaged(offset, "it ends there");
    block.assign(head);
    if (head[0] == kBlock) {
      const uint32_t bytes = ReadLittleEndian32(head.data() + 1);
      if (bytes > kBlockBytesMax) return damaged(offset, "no such block");
      KEEL_ASSIGN_OR_RETURN(const std::string_view body, reader.Take(bytes + kCrcBytes));
      if (body.size() < bytes + kCrcBytes) return damaged(offset, "it ends there");
      chain = ExtendCrc32c(ExtendCrc32c(chain, block), body.substr(0, bytes));
      if (ReadLittleEndian32(body.data() + bytes) != chain) return damaged(offset, "checksum");
      if (!loader->Add(body.substr(0, bytes))) return damaged(offset, "no entries");
      continue;
    }
    if (head[0] != kEnd) return damaged(offset, "neither a block nor the end");
    KEEL_ASSIGN_OR_RETURN(const std::string_view rest, reader.Take(kEndBytes - kBlockHeadBytes));
    block.append(rest);
    if (block.size() < kEndBytes) return damaged(offset, "it ends there");
    chain = ExtendCrc32c(chain, std::string_view(block).substr(0, kEndBytes - kCrcBytes));
    if (ReadLittleEndian32(block.data() + kEndBytes - kCrcBytes) != chain) return damaged(offset, "checksum");
    entries = ReadLittleEndian64(block.data() + 1);
    loaded.newest = Revision(static_cast<int64_t>(ReadLittleEndian64(block.data() + 9)));
    break;
  }
  KEEL_ASSIGN_OR_RETURN(const std::string_view more, reader.Take(1));
  if (!more.empty()) return damaged(reader.offset() - 1, "something follows the end");
  loader->Finish();
  if (loader->entries() != entries) return damaged(0, "entries are missing");
  return loaded;
}

}  // namespace keel::storage
