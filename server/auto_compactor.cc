#include "server/auto_compactor.h"

#include <algorithm>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::server {
namespace {

constexpr absl::Duration kRevisionModeInterval = absl::Minutes(5);

absl::Duration Interval(AutoCompactionMode mode, const AutoCompactionRetention& retention) {
  if (mode == AutoCompactionMode::kPeriodic) return std::min(retention.period, absl::Hours(1));
  return retention.revisions > 0 ? kRevisionModeInterval : absl::ZeroDuration();
}

}  // namespace

absl::StatusOr<AutoCompactionRetention> ParseRetention(AutoCompactionMode mode, std::string_view text) {
  AutoCompactionRetention retention;
  int64_t number = 0;
  const bool is_number = absl::SimpleAtoi(ToAbsl(text), &number);
  if (mode == AutoCompactionMode::kRevision) {
    if (!is_number || number < 0) {
      return absl::InvalidArgumentError(absl::StrCat("--auto-compaction-retention=", ToAbsl(text),
                                                     " is not a number of revisions, which revision mode needs"));
    }
    retention.revisions = number;
    return retention;
  }
  if (is_number) {
    retention.period = absl::Hours(number);
  } else if (!absl::ParseDuration(ToAbsl(text), &retention.period)) {
    return absl::InvalidArgumentError(absl::StrCat("--auto-compaction-retention=", ToAbsl(text),
                                                   " is neither a duration like 30m nor a number of hours"));
  }
  if (retention.period < absl::ZeroDuration() || retention.period == absl::InfiniteDuration()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--auto-compaction-retention=", ToAbsl(text), " must be finite and not negative"));
  }
  return retention;
}

AutoCompactor::AutoCompactor(AutoCompactionMode mode, const AutoCompactionRetention& retention, absl::Time now)
    : mode_(mode),
      retention_(retention),
      interval_(Interval(mode, retention)),
      sample_every_(mode == AutoCompactionMode::kPeriodic ? interval_ / 10 : interval_),
      next_sample_(mode == AutoCompactionMode::kPeriodic ? now : now + interval_),
      not_before_(now + (mode == AutoCompactionMode::kPeriodic ? retention.period : interval_)) {}

std::optional<storage::Revision> AutoCompactor::Poll(absl::Time now, storage::Revision current, bool is_leader) {
  if (!enabled() || now < next_sample_) return std::nullopt;
  next_sample_ = now + sample_every_;
  if (mode_ == AutoCompactionMode::kPeriodic) {
    samples_.push_back({now, current});
    const absl::Time horizon = now - retention_.period;
    while (samples_.size() > 1 && samples_[1].at <= horizon) samples_.pop_front();
  }
  if (!is_leader || now < not_before_) return std::nullopt;
  const std::optional<storage::Revision> target = Target(now, current);
  if (!target || *target <= last_) return std::nullopt;
  return target;
}

std::optional<storage::Revision> AutoCompactor::Target(absl::Time now, storage::Revision current) const {
  if (mode_ == AutoCompactionMode::kRevision) {
    if (current.value() <= retention_.revisions) return std::nullopt;
    return current - retention_.revisions;
  }
  if (samples_.front().at > now - retention_.period) return std::nullopt;
  return samples_.front().revision;
}

void AutoCompactor::Compacted(storage::Revision revision, absl::Time now) {
  last_ = revision;
  not_before_ = now + interval_;
}

}  // namespace keel::server
