#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "storage/revision.h"
#include "storage/state/record.h"

namespace keel::storage {

// What the latest version of a key says, without its value.
struct KeyFacts {
  ChangeId mod;
  Revision create;
  int64_t version = 0;
  LeaseId lease;
};

// Where the pairs of a range go, one after the other in the order of the answer, so that nobody has to hold them all.
class RangeSink {
 public:
  virtual ~RangeSink() = default;
  // The wire bytes of the next pair's mvccpb.KeyValue; valid during the call. False: it was not taken, and no more is
  // wanted.
  virtual bool Add(std::string_view pair) = 0;
  // What is kept in memory until it can be sorted now takes about `bytes`. False: that is too much.
  virtual bool Hold(size_t /*bytes*/) { return true; }
  // For the records of the first pairs; those of a long answer's others go past the caches.
  virtual Caching caching() const { return Caching::kFill; }
};

struct RangeTotals {
  bool stopped = false;  // By the sink; the rest is not filled then.
  bool more = false;     // The limit cut the answer.
  int64_t count = 0;     // Keys in the interval, whatever limit and filters say.
};

// Something a txn can be evaluated on: the keyspace at a point, or a point plus a batch's own changes.
class KeyspaceReader {
 public:
  virtual ~KeyspaceReader() = default;

  // Executes a RangeRequest, but for linearizability: revision, interval, filters, sort, limit, keys_only, count_only.
  // In key order it holds a few pairs at a time; to sort it holds the best `limit`, or all there are. kOutOfRange with
  // the exact v3 text when request.revision is compacted or in the future; the sink has heard nothing then. `revision`
  // <= 0 means this reader's own point.
  virtual absl::StatusOr<RangeTotals> ReadRange(const etcdserverpb::RangeRequest& request, RangeSink* sink) const = 0;
  // The same as a message: kvs, more and count; the header is the caller's. An error fills nothing.
  absl::Status Range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const;

  // The key at this reader's point; nullopt when it does not exist there.
  virtual absl::StatusOr<std::optional<KeyFacts>> Find(std::string_view key) const = 0;
  // Its value. kNotFound when it does not exist.
  virtual absl::StatusOr<std::string> Value(std::string_view key) const = 0;
  // Calls `visit` for each live key of the interval (range_end as in RangeRequest), ascending, until it returns false.
  virtual absl::Status ForEach(std::string_view key, std::string_view range_end,
                               const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const = 0;

  // The revision this reader shows.
  virtual Revision revision() const = 0;
};

// The committed keyspace at the revision that was current when it was taken. Move-only; holding one delays physical
// compaction, so let go soon. Thread-compatible.
class ReadView final : public KeyspaceReader {
 public:
  class Impl;
  explicit ReadView(std::unique_ptr<Impl> impl);
  ReadView(ReadView&&) noexcept;
  ReadView& operator=(ReadView&&) noexcept;
  ~ReadView() override;

  absl::StatusOr<RangeTotals> ReadRange(const etcdserverpb::RangeRequest& request, RangeSink* sink) const override;
  absl::StatusOr<std::optional<KeyFacts>> Find(std::string_view key) const override;
  absl::StatusOr<std::string> Value(std::string_view key) const override;
  absl::Status ForEach(std::string_view key, std::string_view range_end,
                       const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const override;
  Revision revision() const override;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace keel::storage
