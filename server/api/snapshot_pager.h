#pragma once

// A member's state in pieces: what Maintenance/Snapshot sends (rpc.md section 2.11). The bytes are the stream that
// followers get of a checkpoint (storage/README.md), then, in a piece of its own, their SHA-256.

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "base/sha256.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "server/api/api_base.h"
#include "storage/snapshot/snapshot_stream.h"

namespace keel::server {

// Owned by one call. Holds one piece in memory. The checkpoint is hard links in the member's scratch directory, made
// with the first piece and removed with this object; until then the files it names take space even after compaction.
class SnapshotPager : public std::enable_shared_from_this<SnapshotPager> {
 public:
  static constexpr size_t kPieceBytes = 32 << 10;
  static constexpr int kRunningMax = 4;  // On one member.

  // Counts what is running. Thread-safe.
  struct Slots {
    std::atomic<int> running{0};
    std::atomic<uint64_t> made{0};  // Names the checkpoints.
  };

  // `base` outlives it. kResourceExhausted: kRunningMax are running; kFailedPrecondition: the member has no place for
  // a checkpoint.
  static absl::StatusOr<std::shared_ptr<SnapshotPager>> Create(const ApiBase* base, Call call,
                                                               std::shared_ptr<Slots> slots);
  ~SnapshotPager();
  SnapshotPager(const SnapshotPager&) = delete;
  SnapshotPager& operator=(const SnapshotPager&) = delete;

  // Fills the next piece on the snapshot thread; `done` gets whether it is the last one. At most one at a time; not
  // after the last or an error. `response` lives until then.
  using PieceDone = absl::AnyInvocable<void(absl::StatusOr<bool>)>;
  void Next(etcdserverpb::SnapshotResponse* response, PieceDone done);

 private:
  SnapshotPager(const ApiBase* base, Call call, std::shared_ptr<Slots> slots, std::string dir)
      : base_(base), call_(std::move(call)), slots_(std::move(slots)), dir_(std::move(dir)) {}

  absl::Status Begin();
  absl::StatusOr<bool> Fill(etcdserverpb::SnapshotResponse* piece);

  const ApiBase* const base_;
  const Call call_;
  const std::shared_ptr<Slots> slots_;
  const std::string dir_;

  std::unique_ptr<storage::SnapshotReader> reader_;  // Null before the first piece.
  uint64_t sent_ = 0;
  Sha256 digest_;
};

}  // namespace keel::server
