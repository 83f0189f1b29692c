#pragma once

// How much memory the replies to reads may take while they are made and sent, each and all together. A reply takes its
// share of the budget as it grows; one that finds nothing left drops what it has made and waits in line for a larger
// share, so nobody ever waits while holding, and every wait ends.

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "server/api/call.h"

namespace keel::server {

class ReplyBudget;

// What one reply may take. Owned by its reply, one thread at a time; given back by its end, which may come from gRPC's
// threads when the last bytes have left.
class ReplyShare {
 public:
  ~ReplyShare();
  ReplyShare(const ReplyShare&) = delete;
  ReplyShare& operator=(const ReplyShare&) = delete;

  // Makes it at least `bytes`. False: not to be had now, or never; refusal() says which.
  bool Grow(size_t bytes);
  // The same whatever is left; for what has to be sent alone if not together.
  void GrowAnyway(size_t bytes);
  // Gives back what is beyond `bytes`.
  void Shrink(size_t bytes);

  enum class Refusal { kNone, kNotNow, kTooLarge };
  Refusal refusal() const { return refusal_; }  // Of the last Grow().
  // After a refusal: what to wait for before the next try.
  size_t wanted() const { return wanted_; }

 private:
  friend class ReplyBudget;
  ReplyShare(std::shared_ptr<ReplyBudget> budget, size_t bytes) : budget_(std::move(budget)), bytes_(bytes) {}

  const std::shared_ptr<ReplyBudget> budget_;
  size_t bytes_;  // Counted.
  Refusal refusal_ = Refusal::kNone;
  size_t wanted_ = 0;
};

// Thread-safe.
class ReplyBudget : public std::enable_shared_from_this<ReplyBudget> {
 public:
  struct Options {
    size_t total_bytes = 256u << 20;    // --reply-memory-bytes
    size_t request_bytes = 128u << 20;  // --max-reply-bytes; no more than total_bytes.
  };
  // A reply of up to this size is not counted: it costs less than the call it answers, and asking after the health of a
  // member must not stand behind lists.
  static constexpr size_t kUncountedBytes = 64u << 10;

  struct Stats {
    size_t in_use_bytes = 0;
    size_t in_use_bytes_max = 0;  // Since the start.
    size_t waiting = 0;
    uint64_t waits = 0;
    uint64_t overloads = 0;  // Waits that ended without a share.
    uint64_t too_large = 0;  // Replies that no share would have been enough for.
  };

  explicit ReplyBudget(const Options& options) : options_(options) {}

  const Options& options() const { return options_; }

  // Empty: counts nothing until it grows.
  std::shared_ptr<ReplyShare> NewShare();

  // `granted` gets a share of `bytes`, at most request_bytes, in the order of the calls, on this thread or on that of
  // whoever gives back; it must not block. Instead of a share:
  //   kResourceExhausted  "etcdserver: too many requests": call.deadline came first (seen by Expire())
  //   kCancelled          the caller has gone
  //   kUnavailable        "etcdserver: server stopped"
  using Granted = absl::AnyInvocable<void(absl::StatusOr<std::shared_ptr<ReplyShare>>)>;
  void Acquire(size_t bytes, const Call& call, Granted granted);

  // Ends the waits of callers who have gone and of those whose deadline has passed. Several times a second.
  void Expire(absl::Time now);
  // A reply was given up because no share would have been enough.
  void CountTooLarge();
  // Ends all waits, and those to come.
  void Stop();

  Stats stats() const;

 private:
  friend class ReplyShare;
  struct Wait {
    size_t bytes;
    Call call;
    Granted granted;
  };
  using Waits = std::list<Wait>;

  bool TryTake(size_t bytes);
  void TakeAnyway(size_t bytes);
  void Return(size_t bytes);

  bool Fits(size_t bytes) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) {
    return in_use_ <= options_.total_bytes && bytes <= options_.total_bytes - in_use_;
  }
  void Take(size_t bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves those whose turn has come, and for whom there is room, to `ready`, their bytes taken.
  void TakeTurns(Waits* ready) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void Grant(Waits ready);

  const Options options_;
  mutable absl::Mutex mu_;  // Nothing foreign is called under it.
  size_t in_use_ ABSL_GUARDED_BY(mu_) = 0;
  Stats counted_ ABSL_GUARDED_BY(mu_);
  Waits waits_ ABSL_GUARDED_BY(mu_);
  bool stopped_ ABSL_GUARDED_BY(mu_) = false;
};

}  // namespace keel::server
