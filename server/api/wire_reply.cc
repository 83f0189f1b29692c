#include "server/api/wire_reply.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace keel::server {
namespace {

constexpr size_t kBlockMin = 512;
constexpr size_t kBlockMax = 256u << 10;
constexpr size_t kTotalsBytesMax = 2 + 11;

// Wire tags: field number times eight, plus 2 for bytes and 0 for a varint.
constexpr char kHeaderTag = 0x0a;
constexpr char kPairTag = 0x12;
constexpr char kMoreTag = 0x18;
constexpr char kCountTag = 0x20;
constexpr char kRangeResponseTag = 0x0a;  // Of RangeStreamResponse.

// A tag and a number; small enough to live on the stack.
struct Prefix {
  Prefix(char tag, uint64_t v) {
    bytes[size++] = tag;
    for (; v >= 0x80; v >>= 7) bytes[size++] = static_cast<char>(v | 0x80);
    bytes[size++] = static_cast<char>(v);
  }
  std::string_view view() const { return {bytes, size}; }

  char bytes[11];
  size_t size = 0;
};

}  // namespace

bool WireReply::Add(std::string_view pair) {
  const Prefix prefix(kPairTag, pair.size());
  const size_t bytes = prefix.size + pair.size();
  if (pairs_ > 0 && bytes > piece_bytes_ - std::min(size_, piece_bytes_)) return false;
  if (!MakeRoom(bytes)) return false;
  Append(prefix.view());
  Append(pair);
  last_pair_ = std::string_view(blocks_.back()).substr(blocks_.back().size() - pair.size());
  ++pairs_;
  return true;
}

bool WireReply::Hold(size_t bytes) {
  held_ = bytes;
  return share_->Grow(allocated_ + held_);
}

void WireReply::PutHeader(const etcdserverpb::ResponseHeader& header) {
  const std::string encoded = header.SerializeAsString();
  std::string field(Prefix(kHeaderTag, encoded.size()).view());
  field += encoded;
  if (!blocks_.empty()) return Prepend(std::move(field));
  MakeRoom(field.size());
  Append(field);
}

void WireReply::PutTotals(bool more, int64_t count) {
  if (!more && count == 0) return;
  if (blocks_.empty() || blocks_.back().capacity() - blocks_.back().size() < kTotalsBytesMax) {
    blocks_.emplace_back().reserve(kTotalsBytesMax);
    allocated_ += blocks_.back().capacity();
  }
  if (more) Append(Prefix(kMoreTag, 1).view());
  if (count != 0) Append(Prefix(kCountTag, static_cast<uint64_t>(count)).view());
}

void WireReply::WrapInPiece() { Prepend(std::string(Prefix(kRangeResponseTag, size_).view())); }

WireReply::Bytes WireReply::Release() {
  Bytes bytes{.blocks = std::move(blocks_), .share = std::move(share_)};
  *this = WireReply();
  return bytes;
}

bool WireReply::MakeRoom(size_t bytes) {
  if (!blocks_.empty() && blocks_.back().capacity() - blocks_.back().size() >= bytes) return true;
  const size_t next = blocks_.empty() ? kBlockMin : std::min(2 * blocks_.back().capacity(), kBlockMax);
  const size_t capacity = std::max(bytes, next);
  const size_t needed = allocated_ + held_ + capacity;
  if (!share_->Grow(needed)) {
    if (pairs_ > 0 || piece_bytes_ == kNoPiece) return false;
    share_->GrowAnyway(needed);
  }
  blocks_.emplace_back().reserve(capacity);
  allocated_ += capacity;
  return true;
}

void WireReply::Append(std::string_view bytes) {
  blocks_.back().append(bytes);
  size_ += bytes.size();
}

void WireReply::Prepend(std::string bytes) {
  size_ += bytes.size();
  allocated_ += bytes.capacity();
  blocks_.insert(blocks_.begin(), std::move(bytes));
}

}  // namespace keel::server
