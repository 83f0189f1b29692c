#pragma once

// Memory for the leaves of an index: pages cut from large pieces, reused when given back. Large pieces ask the system
// for huge pages, which halves the cost of a search in an index of many millions of keys.
//
// Thread-compatible. Pieces go back to the system with the object.

#include <cstddef>
#include <vector>

#include "storage/state/index_leaf.h"

namespace keel::storage {

class IndexPages {
 public:
  IndexPages() = default;
  IndexPages(const IndexPages&) = delete;
  IndexPages& operator=(const IndexPages&) = delete;
  ~IndexPages();

  // Reset() already.
  IndexLeaf* Take();
  // REQUIRES: Clear() was called.
  void Give(IndexLeaf* leaf) { free_.push_back(leaf); }

  size_t bytes() const { return bytes_; }

 private:
  struct Piece {
    char* data;
    size_t bytes;
  };

  std::vector<Piece> pieces_;
  std::vector<IndexLeaf*> free_;
  size_t used_in_last_ = 0;  // Bytes.
  size_t bytes_ = 0;
};

}  // namespace keel::storage
