#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "storage/revision.h"

namespace keel::storage {

// What the latest version of a key says, without its value.
struct KeyFacts {
  ChangeId mod;
  Revision create;
  int64_t version = 0;
  LeaseId lease;
};

// Something a txn can be evaluated on: the keyspace at a point, or a point plus a batch's own changes.
class KeyspaceReader {
 public:
  virtual ~KeyspaceReader() = default;

  // Executes a RangeRequest, but for linearizability: revision, interval, filters, sort, limit, keys_only, count_only.
  // Fills kvs, more and count; the header is the caller's. kOutOfRange with the exact v3 text when request.revision is
  // compacted or in the future; nothing is filled then. `revision` <= 0 means this reader's own point.
  virtual absl::Status Range(const etcdserverpb::RangeRequest& request,
                             etcdserverpb::RangeResponse* response) const = 0;

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

  absl::Status Range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const override;
  absl::StatusOr<std::optional<KeyFacts>> Find(std::string_view key) const override;
  absl::StatusOr<std::string> Value(std::string_view key) const override;
  absl::Status ForEach(std::string_view key, std::string_view range_end,
                       const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const override;
  Revision revision() const override;

 private:
  std::unique_ptr<Impl> impl_;
};

}  // namespace keel::storage
