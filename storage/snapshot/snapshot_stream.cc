// The stream's grammar is in storage/README.md; members of different versions exchange it, so a change is a new format
// number.

#include "storage/snapshot/snapshot_stream.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <deque>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "storage/disk.h"

namespace keel::storage {
namespace {

constexpr uint32_t kFormat = 2;
constexpr size_t kStreamHeaderBytes = 12;

// What begins a section.
constexpr char kFileSection = 1;
constexpr char kEndSection = 2;
constexpr size_t kFileHeaderFixedBytes = 1 + 2 + 8;  // Kind, name size, file size; then the name and a checksum.
constexpr size_t kChecksumBytes = 4;
constexpr size_t kEndBytes = 1 + 8 + 4;  // Kind, number of files, checksum of the checksums.

// Zeroes that take a stream of `bytes` to a multiple of kSnapshotBlockBytes.
size_t PaddingAfter(uint64_t bytes) {
  return static_cast<size_t>((kSnapshotBlockBytes - bytes % kSnapshotBlockBytes) % kSnapshotBlockBytes);
}

constexpr size_t kNameBytesMax = 255;
constexpr uint64_t kFilesMax = 1u << 20;

// A stream may come from anybody who reaches the port: a name that could leave the directory, or hide in it, is none.
bool IsNameSafe(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax || name.front() == '.') return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
           c == '-';
  });
}

std::string EncodeFileHeader(std::string_view name, uint64_t size) {
  std::string out(1, kFileSection);
  const uint16_t name_bytes = static_cast<uint16_t>(name.size());
  out.push_back(static_cast<char>(name_bytes & 0xff));
  out.push_back(static_cast<char>(name_bytes >> 8));
  AppendLittleEndian64(size, &out);
  out.append(name);
  AppendLittleEndian32(Crc32c(out), &out);
  return out;
}

std::string EncodeEnd(uint64_t files, uint32_t chain) {
  std::string out(1, kEndSection);
  AppendLittleEndian64(files, &out);
  AppendLittleEndian32(ExtendCrc32c(chain, out), &out);
  return out;
}

// The checksum over the files' names and checksums: a stream with a file left out or exchanged does not verify.
uint32_t Chain(uint32_t chain, std::string_view name, uint32_t file_crc) {
  std::string bytes(name);
  AppendLittleEndian32(file_crc, &bytes);
  return ExtendCrc32c(chain, bytes);
}

class SnapshotReaderImpl final : public SnapshotReader {
 public:
  struct File {
    std::string name;
    uint64_t size = 0;
  };

  SnapshotReaderImpl(std::string dir, std::deque<File> files) : dir_(std::move(dir)), files_(std::move(files)) {
    total_bytes_ = kStreamHeaderBytes + kEndBytes;
    for (const File& file : files_) {
      total_bytes_ += kFileHeaderFixedBytes + file.name.size() + 2 * kChecksumBytes + file.size;
    }
    padding_ = PaddingAfter(total_bytes_);
    total_bytes_ += padding_;
    pending_ = kSnapshotMagic;
    AppendLittleEndian32(kFormat, &pending_);
  }

  absl::StatusOr<std::string> Next(size_t bytes_max) override {
    KEEL_RETURN_IF_ERROR(failed_);
    absl::StatusOr<std::string> next = Read(bytes_max);
    if (!next.ok()) failed_ = next.status();
    return next;
  }

  uint64_t total_bytes() const override { return total_bytes_; }

 private:
  absl::StatusOr<std::string> Read(size_t bytes_max) {
    std::string out;
    while (out.size() < bytes_max) {
      if (!pending_.empty()) {
        const size_t n = std::min(bytes_max - out.size(), pending_.size());
        out.append(pending_, 0, n);
        pending_.erase(0, n);
        continue;
      }
      if (file_ != nullptr) {
        KEEL_RETURN_IF_ERROR(ReadFile(bytes_max, &out));
        continue;
      }
      if (!files_.empty()) {
        KEEL_ASSIGN_OR_RETURN(file_, Disk::Real().Open(absl::StrCat(dir_, "/", files_.front().name)));
        offset_ = 0;
        crc_ = 0;
        pending_ = EncodeFileHeader(files_.front().name, files_.front().size);
        continue;
      }
      if (ended_) break;
      ended_ = true;
      pending_ = EncodeEnd(files_read_, chain_);
      pending_.append(padding_, '\0');
    }
    return out;
  }

  // Appends more of the open file, or closes it.
  absl::Status ReadFile(size_t bytes_max, std::string* out) {
    const File& file = files_.front();
    if (offset_ < file.size) {
      const size_t n = static_cast<size_t>(std::min<uint64_t>(bytes_max - out->size(), file.size - offset_));
      const size_t old = out->size();
      out->resize(old + n);
      KEEL_ASSIGN_OR_RETURN(const size_t got, file_->Read(offset_, n, out->data() + old));
      if (got != n) return absl::DataLossError(absl::StrCat(dir_, "/", file.name, " became shorter while it was read"));
      crc_ = ExtendCrc32c(crc_, std::string_view(*out).substr(old));
      offset_ += n;
      return absl::OkStatus();
    }
    AppendLittleEndian32(crc_, &pending_);
    chain_ = Chain(chain_, file.name, crc_);
    ++files_read_;
    file_.reset();
    files_.pop_front();
    return absl::OkStatus();
  }

  const std::string dir_;
  std::deque<File> files_;  // The front one is being read when file_ is set.
  uint64_t total_bytes_ = 0;
  size_t padding_ = 0;
  std::string pending_;  // Framing that comes before anything else.
  std::unique_ptr<DiskFile> file_;
  uint64_t offset_ = 0;
  uint32_t crc_ = 0;
  uint32_t chain_ = 0;
  uint64_t files_read_ = 0;
  bool ended_ = false;
  absl::Status failed_;
};

class SnapshotWriterImpl final : public SnapshotWriter {
 public:
  explicit SnapshotWriterImpl(std::string dir) : dir_(std::move(dir)) {}
  ~SnapshotWriterImpl() override {
    if (finished_) return;
    file_.reset();
    std::error_code error;
    std::filesystem::remove_all(dir_, error);
    if (error) KEEL_LOG_WARN("cannot remove an unfinished snapshot", {{"dir", dir_}, {"error", error.message()}});
  }
  SnapshotWriterImpl(const SnapshotWriterImpl&) = delete;
  SnapshotWriterImpl& operator=(const SnapshotWriterImpl&) = delete;

  absl::Status Append(std::string_view bytes) override {
    KEEL_RETURN_IF_ERROR(failed_);
    failed_ = Take(bytes);
    return failed_;
  }

  absl::Status Finish() override {
    KEEL_RETURN_IF_ERROR(failed_);
    if (state_ != State::kEnded || left_ > 0)
      return failed_ = absl::DataLossError("the snapshot stream ended too early");
    if (const absl::Status synced = Disk::Real().SyncDir(dir_); !synced.ok()) return failed_ = synced;
    const std::string parent = std::filesystem::path(dir_).parent_path().string();
    if (const absl::Status synced = Disk::Real().SyncDir(parent.empty() ? "." : parent); !synced.ok()) {
      return failed_ = synced;
    }
    finished_ = true;
    return absl::OkStatus();
  }

 private:
  enum class State { kStreamHeader, kSection, kFileBody, kFileChecksum, kEnded };

  static absl::Status Damaged(std::string_view what) {
    return absl::DataLossError(absl::StrCat("the snapshot stream is damaged: ", ToAbsl(what)));
  }

  absl::Status Take(std::string_view bytes) {
    taken_ += bytes.size();
    while (!bytes.empty()) {
      if (state_ == State::kFileBody) {
        // The body goes to the file as it comes; everything else is small and gathered first.
        const std::string_view part = bytes.substr(0, static_cast<size_t>(std::min<uint64_t>(bytes.size(), left_)));
        KEEL_RETURN_IF_ERROR(file_->Write(offset_, part));
        crc_ = ExtendCrc32c(crc_, part);
        offset_ += part.size();
        left_ -= part.size();
        bytes.remove_prefix(part.size());
        if (left_ == 0) state_ = State::kFileChecksum;
        continue;
      }
      if (state_ == State::kEnded) {
        if (bytes.size() > left_) return Damaged("bytes follow its end");
        if (bytes.find_first_not_of('\0') != std::string_view::npos) return Damaged("its padding is not zeroes");
        left_ -= bytes.size();
        return absl::OkStatus();
      }
      gathered_.push_back(bytes.front());
      bytes.remove_prefix(1);
      KEEL_RETURN_IF_ERROR(TakeGathered());
      if (state_ == State::kEnded) left_ = PaddingAfter(taken_ - bytes.size());
    }
    return absl::OkStatus();
  }

  // Acts when a piece of framing is whole.
  absl::Status TakeGathered() {
    switch (state_) {
      case State::kStreamHeader:
        if (gathered_.size() < kStreamHeaderBytes) return absl::OkStatus();
        if (std::string_view(gathered_).substr(0, kSnapshotMagic.size()) != kSnapshotMagic)
          return Damaged("it is not a snapshot");
        if (ReadLittleEndian32(gathered_.data() + kSnapshotMagic.size()) != kFormat) {
          return Damaged("it has a format that this version does not know");
        }
        Next(State::kSection);
        return absl::OkStatus();
      case State::kSection:
        if (gathered_.front() == kFileSection) return TakeFileHeader();
        if (gathered_.front() == kEndSection) return TakeEnd();
        return Damaged("unknown section");
      case State::kFileChecksum:
        if (gathered_.size() < kChecksumBytes) return absl::OkStatus();
        return EndFile(ReadLittleEndian32(gathered_.data()));
      case State::kFileBody:
      case State::kEnded:
        break;
    }
    KEEL_CHECK(false) << "no framing is expected";
    return absl::OkStatus();
  }

  absl::Status TakeFileHeader() {
    if (gathered_.size() < kFileHeaderFixedBytes) return absl::OkStatus();
    const size_t name_bytes =
        static_cast<uint8_t>(gathered_[1]) | static_cast<size_t>(static_cast<uint8_t>(gathered_[2])) << 8;
    if (name_bytes == 0 || name_bytes > kNameBytesMax) return Damaged("a file's name has an impossible length");
    if (gathered_.size() < kFileHeaderFixedBytes + name_bytes + kChecksumBytes) return absl::OkStatus();
    const std::string name = gathered_.substr(kFileHeaderFixedBytes, name_bytes);
    const uint64_t size = ReadLittleEndian64(gathered_.data() + 3);
    if (gathered_ != EncodeFileHeader(name, size)) return Damaged("a file's header has a wrong checksum");
    if (!IsNameSafe(name)) return Damaged("a file has a name that is not allowed");
    if (files_ > 0 && name <= name_) return Damaged("its files are not in the order of their names");
    if (++files_ > kFilesMax) return Damaged("it has too many files");
    KEEL_ASSIGN_OR_RETURN(file_, Disk::Real().Create(absl::StrCat(dir_, "/", name)));
    name_ = name;
    offset_ = 0;
    crc_ = 0;
    left_ = size;
    Next(size > 0 ? State::kFileBody : State::kFileChecksum);
    return absl::OkStatus();
  }

  absl::Status EndFile(uint32_t crc) {
    if (crc != crc_) return Damaged(absl::StrCat("file ", name_, " has a wrong checksum"));
    KEEL_RETURN_IF_ERROR(file_->Sync());
    file_.reset();
    chain_ = Chain(chain_, name_, crc_);
    Next(State::kSection);
    return absl::OkStatus();
  }

  absl::Status TakeEnd() {
    if (gathered_.size() < kEndBytes) return absl::OkStatus();
    if (gathered_ != EncodeEnd(files_, chain_)) return Damaged("its end does not fit what came before");
    Next(State::kEnded);
    return absl::OkStatus();
  }

  void Next(State state) {
    state_ = state;
    gathered_.clear();
  }

  const std::string dir_;
  State state_ = State::kStreamHeader;
  std::string gathered_;  // Of the piece of framing that is arriving.
  uint64_t files_ = 0;    // Whose header has arrived.
  std::unique_ptr<DiskFile> file_;
  std::string name_;  // Of the file that came last.
  uint64_t offset_ = 0;
  uint64_t left_ = 0;   // Of the file's body, or of the padding.
  uint64_t taken_ = 0;  // Of the whole stream.
  uint32_t crc_ = 0;
  uint32_t chain_ = 0;
  bool finished_ = false;
  absl::Status failed_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<SnapshotReader>> SnapshotReader::Open(const std::string& dir) {
  KEEL_ASSIGN_OR_RETURN(const std::vector<std::string> names, Disk::Real().List(dir));
  std::deque<SnapshotReaderImpl::File> files;
  for (const std::string& name : names) {
    const std::string path = absl::StrCat(dir, "/", name);
    struct stat st;
    if (::stat(path.c_str(), &st) != 0) return ErrnoStatus(errno, absl::StrCat("stat ", path));
    if (!S_ISREG(st.st_mode)) return absl::InvalidArgumentError(absl::StrCat(path, " is not a plain file"));
    if (!IsNameSafe(name)) return absl::InvalidArgumentError(absl::StrCat(path, " has a name that cannot be sent"));
    files.push_back({.name = name, .size = static_cast<uint64_t>(st.st_size)});
  }
  return std::make_unique<SnapshotReaderImpl>(dir, std::move(files));
}

absl::StatusOr<std::unique_ptr<SnapshotWriter>> SnapshotWriter::Create(const std::string& dir) {
  if (::mkdir(dir.c_str(), 0700) != 0) return ErrnoStatus(errno, absl::StrCat("create directory ", dir));
  return std::make_unique<SnapshotWriterImpl>(dir);
}

}  // namespace keel::storage
