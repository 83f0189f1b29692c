#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "storage/disk.h"
#include "storage/log/raft_log.h"

namespace keel::storage {

// Files ready to become segments: full of zeroes or of old records, so that writing over them changes no metadata and a
// sync costs one write to the device. Old segments come in, new ones are filled, on a thread of its own, because both
// take milliseconds that no append should wait for; or by the caller (SpareWork::kByCaller).
//
// Thread-safe. A spare is a help, never a need: failures here are logged and the log goes on without.
class SparePool {
 public:
  // `found` are the paths of spares left by an earlier run. With `spares_max` 0 there is no thread: segments given back
  // are removed at once and nothing is kept.
  SparePool(Disk* disk, std::string dir, uint64_t segment_bytes, int spares_max, SpareWork work,
            std::vector<std::string> found);
  ~SparePool();

  // The path of a spare, which now belongs to the caller. Does not block on the disk.
  std::optional<std::string> Take();
  // A spare will be needed soon.
  void Prepare();
  // Segments no longer needed, oldest first; they go in this order.
  void Recycle(const std::vector<std::string>& paths);
  // Ends the thread when the segments given back are dealt with; a spare half filled is given up. Idempotent.
  void Stop();

  static bool IsSpare(const std::string& name);
  static bool IsUnfinished(const std::string& name);

  // Writes zeroes over [from, to) of a file, syncing every step, so that others' syncs do not wait behind one large
  // one.
  static absl::Status FillWithZeroes(DiskFile* file, uint64_t from, uint64_t to);

 private:
  void Run();
  bool has_recycled() const { return !recycled_.empty() && !is_stuck_; }  // Holding mu_.
  bool has_work() const { return wanted_ || has_recycled(); }             // Holding mu_.
  // One segment recycled or filled; the lock is released meanwhile. REQUIRES: has_work().
  void WorkOnce(std::unique_lock<std::mutex>* lock);
  // What the caller does instead of the thread, when there is none.
  void WorkOff();
  absl::Status RecycleOne(const std::string& path, bool keep, const std::string& spare);
  absl::Status Fill(const std::string& spare);
  std::string NextName();

  Disk* const disk_;
  const std::string dir_;
  const uint64_t segment_bytes_;
  const size_t spares_max_;
  const SpareWork work_;

  std::mutex mu_;
  std::condition_variable changed_;
  std::vector<std::string> spares_;   // Guarded by mu_.
  std::deque<std::string> recycled_;  // Guarded by mu_. Waiting for the thread.
  bool wanted_ = false;               // Guarded by mu_.
  bool is_stuck_ = false;             // Guarded by mu_. The oldest of recycled_ failed; the next call tries it again.
  bool stopping_ = false;             // Guarded by mu_.
  uint64_t next_name_ = 0;            // Guarded by mu_.
  std::thread thread_;
};

}  // namespace keel::storage
