#pragma once

// A range in pieces: what RangeStream sends. Merging the pieces gives exactly the Range response (rpc.md section 2.3).

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "server/api/api_base.h"
#include "server/api/wire_reply.h"

namespace keel::server {

// Owned by one call. Pinned to the revision of its first piece; it holds no view between pieces, so that a slow reader
// delays no compaction: it is told "required revision has been compacted" instead. Nor does it hold memory: each piece
// has its own share of the budget, waited for in line with everybody else's before it is read.
class RangePager : public std::enable_shared_from_this<RangePager> {
 public:
  struct Options {
    int64_t first_keys = 10;        // At most, in the first piece, so that it comes soon.
    size_t piece_bytes = 1u << 20;  // A piece is no larger, unless a single pair is.
  };

  // `base` outlives it.
  RangePager(const ApiBase* base, const Options& options, Call call, const etcdserverpb::RangeRequest& request)
      : base_(base), options_(options), call_(std::move(call)), request_(request) {}

  struct Piece {
    WireReply reply;    // A RangeStreamResponse.
    bool last = false;  // It alone carries header, more and count.
  };
  // Reads the next piece, on a reading thread. At most one at a time; not after the last or an error. Errors are those
  // of Range and of ReplyBudget::Acquire, for whose share each piece waits at most the server's request timeout.
  using PieceDone = absl::AnyInvocable<void(absl::StatusOr<Piece>)>;
  void Next(PieceDone done);

 private:
  void AwaitShare(PieceDone done);
  absl::StatusOr<Piece> Read(const std::shared_ptr<ReplyShare>& share);
  // Of the whole interval, at the pinned revision.
  absl::StatusOr<int64_t> Count(const storage::ReadView& view) const;

  const ApiBase* const base_;
  const Options options_;
  const Call call_;
  etcdserverpb::RangeRequest request_;  // `key` moves forward; `revision` is pinned by the first piece.

  bool started_ = false;
  int64_t header_revision_ = 0;
  int64_t count_ = 0;      // Of the whole interval.
  int64_t delivered_ = 0;  // Pairs sent so far.
};

}  // namespace keel::server
