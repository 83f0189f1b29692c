#include "client/src/paged_range.h"

#include <algorithm>
#include <functional>
#include <optional>
#include <stop_token>
#include <utility>

#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "keel/range_pager.h"

namespace keel::client {
namespace {

// One such read. Kept alive by what is under way: a read of a page, or the Taken of the page that is with the sink.
class PagedRange final : public Activity, public std::enable_shared_from_this<PagedRange> {
 public:
  PagedRange(std::shared_ptr<Core> core, std::string_view key, const RangeOptions& options, AsyncRangeSink sink,
             const CallOptions& call, absl::Time deadline, Callback<RangeResponse> done)
      : core_(std::move(core)),
        kv_(*core_),
        pages_(kv_, key, options),
        sink_(std::move(sink)),
        call_(call),
        deadline_(deadline),
        done_(std::move(done)) {}

  void Start() {
    if (!core_->Register(this)) return done_(Core::ClosedError());
    if (call_.cancel.stop_possible()) {
      on_cancel_.emplace(call_.cancel, [this] { EndUnlessReading(absl::CancelledError("cancelled by the caller")); });
    }
    Ask();
  }

 private:
  enum class Phase { kReading, kInSink, kWithCaller, kEnded };

  void Ask() {
    CallOptions one = call_;
    if (deadline_ < absl::InfiniteFuture()) one.timeout = std::max(deadline_ - absl::Now(), absl::ZeroDuration());
    pages_.NextAsync(one, [self = shared_from_this()](bool got) { self->Got(got); });
  }

  void Got(bool got) {
    if (!got) return Finish(pages_.status());
    int64_t number = 0;
    {
      absl::MutexLock lock(&mu_);
      phase_ = Phase::kInSink;
      number = ++count_;
    }
    sink_(std::move(pages_.page()), [self = shared_from_this(), number](const absl::Status& status) {
      {
        absl::MutexLock lock(&self->mu_);
        if (number != self->count_) return;
        if (self->phase_ == Phase::kInSink && !self->next_) self->next_ = status;
        if (self->phase_ != Phase::kWithCaller) return;
        self->phase_ = Phase::kReading;
      }
      self->GoOn(status);
    });
    absl::Status next;
    {
      absl::MutexLock lock(&mu_);
      // Asked to end before the page was with the sink, which a read would have noticed.
      if (core_->stopping()) next_ = Core::ClosedError();
      if (call_.cancel.stop_requested()) next_ = absl::CancelledError("cancelled by the caller");
      phase_ = next_ ? Phase::kReading : Phase::kWithCaller;
      if (!next_) return;
      next = *std::exchange(next_, std::nullopt);
    }
    GoOn(next);
  }

  void GoOn(const absl::Status& status) {
    if (status.ok()) return Ask();
    Finish(status);
  }

  void CancelFromCore() override { EndUnlessReading(Core::ClosedError()); }

  // A read ends by itself when it is cancelled. Finishes elsewhere: the caller may hold locks.
  void EndUnlessReading(const absl::Status& status) {
    {
      absl::MutexLock lock(&mu_);
      if (phase_ == Phase::kInSink) next_ = status;
      if (phase_ != Phase::kWithCaller) return;
      phase_ = Phase::kReading;
    }
    core_->timers().Schedule(absl::ZeroDuration(),
                             [self = shared_from_this(), status](TimerThread::Outcome) { self->Finish(status); });
  }

  void Finish(const absl::Status& status) {
    on_cancel_.reset();
    {
      absl::MutexLock lock(&mu_);
      phase_ = Phase::kEnded;
    }
    if (status.ok()) {
      done_(RangeResponse{.header = pages_.header(), .more = pages_.more(), .count = pages_.count()});
    } else {
      done_(status);
    }
    core_->Unregister(this);
  }

  const std::shared_ptr<Core> core_;
  Kv kv_;
  RangePager pages_;  // Of whoever made phase_ kReading.
  const AsyncRangeSink sink_;
  const CallOptions call_;
  const absl::Time deadline_;
  const Callback<RangeResponse> done_;

  absl::Mutex mu_;  // After the Core's registry.
  Phase phase_ ABSL_GUARDED_BY(mu_) = Phase::kReading;
  int64_t count_ ABSL_GUARDED_BY(mu_) = 0;                 // Of pages.
  std::optional<absl::Status> next_ ABSL_GUARDED_BY(mu_);  // What to do when the sink returns.
  std::optional<std::stop_callback<std::function<void()>>> on_cancel_;
};

}  // namespace

void ReadByPages(std::shared_ptr<Core> core, std::string_view key, const RangeOptions& options, AsyncRangeSink sink,
                 const CallOptions& call, absl::Time deadline, Callback<RangeResponse> done) {
  std::make_shared<PagedRange>(std::move(core), key, options, std::move(sink), call, deadline, std::move(done))
      ->Start();
}

}  // namespace keel::client
