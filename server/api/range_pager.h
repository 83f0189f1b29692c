#pragma once

// A range in pieces: what RangeStream sends. Merging the pieces gives exactly the Range response (rpc.md section 2.3).

#include <cstdint>
#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "server/api/api_base.h"

namespace keel::server {

// Owned by one call. Pinned to the revision of its first piece; it holds no view between pieces, so that a slow reader
// delays no compaction: it is told "required revision has been compacted" instead.
class RangePager : public std::enable_shared_from_this<RangePager> {
 public:
  struct Options {
    int64_t first_keys = 10;           // In the first piece, when nothing is known of the values' size.
    int64_t piece_bytes = 1 << 20;     // What the later ones aim at.
    int64_t piece_keys_max = 1 << 16;  // Whatever their size.
  };

  // `base` outlives it.
  RangePager(const ApiBase* base, const Options& options, Call call, const etcdserverpb::RangeRequest& request)
      : base_(base), options_(options), call_(std::move(call)), request_(request) {}

  // Fills the next piece, on a reading thread; `done` gets whether it is the last one, which alone carries header, more
  // and count. At most one at a time; not after the last or an error. `response` lives until then.
  using PieceDone = absl::AnyInvocable<void(absl::StatusOr<bool>)>;
  void Next(etcdserverpb::RangeStreamResponse* response, PieceDone done);

 private:
  absl::StatusOr<bool> Fill(etcdserverpb::RangeResponse* piece);

  const ApiBase* const base_;
  const Options options_;
  const Call call_;
  etcdserverpb::RangeRequest request_;  // `key` moves forward; `revision` is pinned by the first piece.

  bool started_ = false;
  int64_t header_revision_ = 0;
  int64_t count_ = 0;      // Of the whole interval.
  int64_t delivered_ = 0;  // Pairs sent so far.
  int64_t next_keys_ = 0;  // Size of the next piece.
};

}  // namespace keel::server
