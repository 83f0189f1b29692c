#pragma once

// The wire bytes of a RangeResponse, written pair by pair as the keyspace gives them: no message is built on the way,
// and no second copy made of it.

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "proto/etcdserver_kv.pb.h"
#include "server/api/reply_budget.h"
#include "storage/state/read_view.h"

namespace keel::server {

// Grows within a share of the budget, or up to the size of a piece. Move-only; owned by one thread at a time.
class WireReply final : public storage::RangeSink {
 public:
  static constexpr size_t kNoPiece = SIZE_MAX;

  WireReply() = default;
  // `piece_bytes`: it takes no pair that would make it larger than that, but always a first one.
  // `caching`: of what is read for it.
  explicit WireReply(std::shared_ptr<ReplyShare> share, size_t piece_bytes = kNoPiece,
                     storage::Caching caching = storage::Caching::kFill)
      : share_(std::move(share)), piece_bytes_(piece_bytes), caching_(caching) {}
  WireReply(WireReply&&) = default;
  WireReply& operator=(WireReply&&) = default;

  bool Add(std::string_view pair) override;
  bool Hold(size_t bytes) override;
  storage::Caching caching() const override { return caching_; }

  // In front of what is there.
  void PutHeader(const etcdserverpb::ResponseHeader& header);
  // Behind it.
  void PutTotals(bool more, int64_t count);
  // Makes of the RangeResponse so far the RangeStreamResponse that holds it.
  void WrapInPiece();

  size_t pairs() const { return pairs_; }
  // As Add() got it; valid until Release(). Empty: no pair yet.
  std::string_view last_pair() const { return last_pair_; }
  // What it takes in memory.
  size_t allocated_bytes() const { return allocated_; }
  // One after the other they are the message. It is empty afterwards, and its share the caller's.
  struct Bytes {
    std::vector<std::string> blocks;
    std::shared_ptr<ReplyShare> share;
  };
  Bytes Release();

 private:
  // Room for `bytes` more in the last block. False: the share does not allow it.
  bool MakeRoom(size_t bytes);
  void Append(std::string_view bytes);
  void Prepend(std::string bytes);

  std::shared_ptr<ReplyShare> share_;
  size_t piece_bytes_ = kNoPiece;
  storage::Caching caching_ = storage::Caching::kFill;
  std::vector<std::string> blocks_;  // None grows beyond the capacity it began with.
  size_t size_ = 0;
  size_t allocated_ = 0;
  size_t held_ = 0;  // By the read, beside the blocks.
  size_t pairs_ = 0;
  std::string_view last_pair_;
};

}  // namespace keel::server
