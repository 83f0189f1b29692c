#include "storage/state/index_pages.h"

#include <sys/mman.h>

#include "base/check.h"

namespace keel::storage {
namespace {

// Small at first, so that a small keyspace stays small; later the size of a huge page.
constexpr size_t kFirstPieceBytes = 64u << 10;
constexpr size_t kPieceBytesMax = 2u << 20;

}  // namespace

IndexPages::~IndexPages() {
  for (const Piece& piece : pieces_) munmap(piece.data, piece.bytes);
}

IndexLeaf* IndexPages::Take() {
  IndexLeaf* leaf;
  if (!free_.empty()) {
    leaf = free_.back();
    free_.pop_back();
  } else {
    if (pieces_.empty() || used_in_last_ == pieces_.back().bytes) {
      const size_t bytes = pieces_.empty() ? kFirstPieceBytes : std::min(pieces_.back().bytes * 2, kPieceBytesMax);
      // A piece of a huge page's size must begin at a multiple of it, so more is asked for and the ends given back.
      const size_t slack = bytes == kPieceBytesMax ? bytes : 0;
      void* const raw = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      KEEL_CHECK(raw != MAP_FAILED) << "out of memory for the key index";
      char* data = static_cast<char*>(raw);
      if (slack > 0) {
        const size_t skip = (bytes - reinterpret_cast<uintptr_t>(data) % bytes) % bytes;
        if (skip > 0) munmap(data, skip);
        if (slack > skip) munmap(data + skip + bytes, slack - skip);
        data += skip;
        madvise(data, bytes, MADV_HUGEPAGE);  // A wish; without it everything is as before.
      }
      pieces_.push_back({.data = data, .bytes = bytes});
      used_in_last_ = 0;
      bytes_ += bytes;
    }
    leaf = reinterpret_cast<IndexLeaf*>(pieces_.back().data + used_in_last_);
    used_in_last_ += IndexLeaf::kBytes;
  }
  leaf->Reset();
  return leaf;
}

}  // namespace keel::storage
