#include "storage/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "storage/disk.h"

namespace keel::storage {

absl::StatusOr<std::unique_ptr<MappedFile>> MappedFile::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, absl::StrCat("open ", path));
  struct stat st;
  absl::Status status;
  std::unique_ptr<MappedFile> file(new MappedFile());
  if (fstat(fd, &st) != 0) {
    status = ErrnoStatus(errno, absl::StrCat("stat ", path));
  } else if (!S_ISREG(st.st_mode)) {
    status = absl::InvalidArgumentError(absl::StrCat(path, " is not a plain file"));
  } else if (st.st_size > 0) {
    void* data = mmap(nullptr, static_cast<size_t>(st.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
      status = ErrnoStatus(errno, absl::StrCat("map ", path));
    } else {
      file->data_ = static_cast<const char*>(data);
      file->size_ = static_cast<size_t>(st.st_size);
    }
  }
  close(fd);
  KEEL_RETURN_IF_ERROR(status);
  return file;
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), size_);
}

}  // namespace keel::storage
