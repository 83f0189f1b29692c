#include "storage/import/bbolt_image.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::storage {
namespace {

constexpr uint64_t kPageHeaderBytes = 16;
constexpr uint64_t kMetaBytes = 64;
constexpr uint64_t kBucketBytes = 16;
constexpr uint64_t kElementBytes = 16;  // Of a branch as of a leaf.
constexpr uint32_t kMagic = 0xED0CDAED;
constexpr uint32_t kVersion = 2;
constexpr uint16_t kBranch = 1;
constexpr uint16_t kLeaf = 2;
constexpr uint16_t kMeta = 4;
constexpr uint32_t kBucketElement = 1;
constexpr size_t kPageBytesMin = 512;
constexpr size_t kPageBytesMax = 64 << 10;
// A tree of 2^64 pages with two children each is no deeper.
constexpr int kDepthMax = 64;

uint16_t Read16(std::string_view bytes, uint64_t at) {
  return static_cast<uint16_t>(static_cast<uint8_t>(bytes[at]) | static_cast<uint8_t>(bytes[at + 1]) << 8);
}
uint32_t Read32(std::string_view bytes, uint64_t at) { return ReadLittleEndian32(bytes.data() + at); }
uint64_t Read64(std::string_view bytes, uint64_t at) { return ReadLittleEndian64(bytes.data() + at); }

uint64_t Fnv1a(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const char c : bytes) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3u;
  return hash;
}

absl::Status Damaged(uint64_t offset, std::string_view what) {
  return absl::DataLossError(absl::StrCat("the etcd database is damaged at offset ", offset, ": ", ToAbsl(what)));
}

}  // namespace

// A page's bytes, overflow included, and where they are.
struct BboltImage::Page {
  uint64_t offset = 0;
  std::string_view bytes;

  uint16_t flags() const { return Read16(bytes, 8); }
  uint64_t count() const { return Read16(bytes, 10); }
};

// One pass over a tree.
class BboltImage::Walk {
 public:
  // Gets every leaf element.
  using VisitElement =
      std::function<absl::Status(uint32_t flags, std::string_view key, std::string_view value, uint64_t offset)>;

  Walk(const BboltImage& image, const VisitElement& visit)
      : image_(image), visit_(visit), visited_(static_cast<size_t>(image.pages_)) {}

  absl::Status Tree(uint64_t root) { return Visit(root, 0); }

  absl::Status Page(const BboltImage::Page& page, int depth) {
    const uint64_t room = (page.bytes.size() - kPageHeaderBytes) / kElementBytes;
    if (page.count() > room) {
      return Damaged(page.offset,
                     absl::StrCat("a page of ", page.bytes.size(), " bytes claims ", page.count(), " elements"));
    }
    if (page.flags() == kLeaf) return Leaf(page);
    if (page.flags() == kBranch) return Branch(page, depth);
    return Damaged(page.offset, absl::StrCat("a page of kind ", page.flags(), " where a branch or a leaf belongs"));
  }

 private:
  absl::Status Visit(uint64_t id, int depth) {
    if (depth > kDepthMax) return Damaged(id * image_.page_bytes_, "the tree is deeper than any tree can be");
    KEEL_ASSIGN_OR_RETURN(const BboltImage::Page page, image_.PageAt(id));
    if (visited_[static_cast<size_t>(id)]) return Damaged(page.offset, "the page belongs to the tree twice");
    visited_[static_cast<size_t>(id)] = true;
    return Page(page, depth);
  }

  // `size` bytes at `pos` from the element's start, when they are inside the page.
  static std::optional<std::string_view> Part(const BboltImage::Page& page, uint64_t element, uint64_t pos,
                                              uint64_t size) {
    const uint64_t at = element + pos;  // Both below 2^33.
    if (at > page.bytes.size() || size > page.bytes.size() - at) return std::nullopt;
    return page.bytes.substr(static_cast<size_t>(at), static_cast<size_t>(size));
  }

  absl::Status Branch(const BboltImage::Page& page, int depth) {
    if (page.count() == 0) return Damaged(page.offset, "a branch page without children");
    for (uint64_t i = 0; i < page.count(); ++i) {
      const uint64_t element = kPageHeaderBytes + i * kElementBytes;
      if (!Part(page, element, Read32(page.bytes, element), Read32(page.bytes, element + 4))) {
        return Damaged(page.offset + element, "a branch's key lies outside its page");
      }
      KEEL_RETURN_IF_ERROR(Visit(Read64(page.bytes, element + 8), depth + 1));
    }
    return absl::OkStatus();
  }

  absl::Status Leaf(const BboltImage::Page& page) {
    for (uint64_t i = 0; i < page.count(); ++i) {
      const uint64_t element = kPageHeaderBytes + i * kElementBytes;
      const uint32_t flags = Read32(page.bytes, element);
      const uint64_t pos = Read32(page.bytes, element + 4);
      const uint64_t key_bytes = Read32(page.bytes, element + 8);
      const std::optional<std::string_view> key = Part(page, element, pos, key_bytes);
      const std::optional<std::string_view> value =
          Part(page, element, pos + key_bytes, Read32(page.bytes, element + 12));
      if (!key || !value) return Damaged(page.offset + element, "a leaf's pair lies outside its page");
      if (last_ && *key <= *last_) return Damaged(page.offset + element, "the keys are out of order");
      last_ = *key;
      KEEL_RETURN_IF_ERROR(visit_(flags, *key, *value, page.offset + element + pos));
    }
    return absl::OkStatus();
  }

  const BboltImage& image_;
  const VisitElement& visit_;
  std::vector<bool> visited_;
  std::optional<std::string_view> last_;
};

absl::StatusOr<BboltImage> BboltImage::FromMeta(std::string_view bytes, uint64_t offset) {
  if (bytes.size() < kPageHeaderBytes + kMetaBytes || offset > bytes.size() - kPageHeaderBytes - kMetaBytes) {
    return Damaged(offset, "the file ends before its meta page does");
  }
  const std::string_view meta = bytes.substr(static_cast<size_t>(offset + kPageHeaderBytes), kMetaBytes);
  if (Read32(meta, 0) != kMagic) return Damaged(offset, "this is no meta page: not a bbolt database");
  if (Read32(meta, 4) != kVersion) {
    return Damaged(offset, absl::StrCat("bbolt file version ", Read32(meta, 4), ", known is ", kVersion));
  }
  if (Read64(meta, kMetaBytes - 8) != Fnv1a(meta.substr(0, kMetaBytes - 8))) {
    return Damaged(offset, "the meta page has a wrong checksum");
  }
  if (Read16(bytes, offset + 8) != kMeta) return Damaged(offset, "the meta page does not say that it is one");
  BboltImage image(bytes);
  image.page_bytes_ = Read32(meta, 8);
  image.root_ = Read64(meta, 16);
  image.pages_ = Read64(meta, 40);
  image.txid_ = Read64(meta, 48);
  if (image.page_bytes_ < kPageBytesMin || image.page_bytes_ > kPageBytesMax ||
      (image.page_bytes_ & (image.page_bytes_ - 1)) != 0) {
    return Damaged(offset, absl::StrCat("a page size of ", image.page_bytes_, " bytes"));
  }
  if (image.pages_ > bytes.size() / image.page_bytes_) {
    return Damaged(offset, absl::StrCat("the database has ", image.pages_, " pages of ", image.page_bytes_,
                                        " bytes, but the file is ", bytes.size(), " bytes long"));
  }
  return image;
}

absl::StatusOr<BboltImage> BboltImage::Open(std::string_view bytes) {
  absl::StatusOr<BboltImage> best = FromMeta(bytes, 0);
  // The second one begins with the second page, whose size only the first could have told.
  for (size_t page_bytes = kPageBytesMin; page_bytes <= kPageBytesMax; page_bytes *= 2) {
    if (best.ok() && page_bytes != best->page_bytes_) continue;
    absl::StatusOr<BboltImage> second = FromMeta(bytes, page_bytes);
    if (!second.ok() || second->page_bytes_ != page_bytes) continue;
    if (!best.ok() || second->txid_ > best->txid_) best = std::move(second);
    break;
  }
  return best;
}

absl::StatusOr<BboltImage::Page> BboltImage::PageAt(uint64_t id) const {
  if (id < 2 || id >= pages_) return Damaged(0, absl::StrCat("page ", id, " is named, of ", pages_, " pages"));
  Page page{.offset = id * page_bytes_, .bytes = bytes_.substr(static_cast<size_t>(id * page_bytes_), page_bytes_)};
  if (Read64(page.bytes, 0) != id) {
    return Damaged(page.offset, absl::StrCat("page ", id, " says that it is page ", Read64(page.bytes, 0)));
  }
  const uint64_t overflow = Read32(page.bytes, 12);
  if (overflow >= pages_ - id) {
    return Damaged(page.offset, absl::StrCat("page ", id, " claims ", overflow, " more pages, of ", pages_));
  }
  page.bytes = bytes_.substr(static_cast<size_t>(page.offset), static_cast<size_t>((overflow + 1) * page_bytes_));
  return page;
}

absl::Status BboltImage::ForEach(std::string_view bucket, const Visit& visit) const {
  std::optional<std::string_view> value;
  uint64_t at = 0;
  const Walk::VisitElement find = [&](uint32_t flags, std::string_view key, std::string_view stored, uint64_t offset) {
    if (key != bucket) return absl::OkStatus();
    if ((flags & kBucketElement) == 0 || stored.size() < kBucketBytes) {
      return Damaged(offset, absl::StrCat("'", ToAbsl(bucket), "' is not a bucket"));
    }
    value = stored;
    at = offset + key.size();
    return absl::OkStatus();
  };
  KEEL_RETURN_IF_ERROR(Walk(*this, find).Tree(root_));
  if (!value) return absl::OkStatus();

  const Walk::VisitElement pass_on = [&](uint32_t flags, std::string_view key, std::string_view stored,
                                         uint64_t offset) {
    if ((flags & kBucketElement) != 0) {
      return Damaged(offset, absl::StrCat("a bucket inside of bucket '", ToAbsl(bucket), "'"));
    }
    return visit(key, stored, offset);
  };
  Walk walk(*this, pass_on);
  const uint64_t root = Read64(*value, 0);
  if (root != 0) return walk.Tree(root);
  const Page inline_page{.offset = at + kBucketBytes, .bytes = value->substr(kBucketBytes)};
  if (inline_page.bytes.size() < kPageHeaderBytes) return Damaged(at, "an inline bucket without a page");
  if (inline_page.flags() != kLeaf) return Damaged(at, "an inline bucket whose page is not a leaf");
  return walk.Page(inline_page, 0);
}

absl::StatusOr<std::vector<std::string>> BboltImage::Buckets() const {
  std::vector<std::string> names;
  const Walk::VisitElement add = [&](uint32_t flags, std::string_view key, std::string_view, uint64_t offset) {
    if ((flags & kBucketElement) == 0) return Damaged(offset, "a pair outside of all buckets");
    names.emplace_back(key);
    return absl::OkStatus();
  };
  KEEL_RETURN_IF_ERROR(Walk(*this, add).Tree(root_));
  return names;
}

}  // namespace keel::storage
