#include "server/api/budgeted_read.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

// What a message of a pair takes beside the pair's own bytes.
constexpr size_t kMessageBytes = 160;

absl::Status TooLarge(const ReplyBudget& budget) {
  return absl::ResourceExhaustedError(absl::StrCat(
      "etcdserver: the reply is larger than ", budget.options().request_bytes,
      " bytes (--max-reply-bytes); read the range in pages (limit, and on from the last key at the same revision) or "
      "with RangeStream"));
}

void Try(const ApiBase& base, Call call, const std::shared_ptr<ReplyShare>& share, ReadAttempt attempt, Done done);

// Waits for what the last attempt did not get. That one has let go of its share, so a waiter holds nothing.
void TryLater(const ApiBase& base, Call call, size_t bytes, ReadAttempt attempt, Done done) {
  auto granted = [&base, call, attempt = std::move(attempt),
                  done = std::move(done)](absl::StatusOr<std::shared_ptr<ReplyShare>> share) mutable {
    if (!share.ok()) return done(std::move(share).status());
    base.readers->Run([&base, call = std::move(call), share = *std::move(share), attempt = std::move(attempt),
                       done = std::move(done)]() mutable {
      const std::shared_ptr<ReplyShare> granted_share = std::exchange(share, nullptr);
      Try(base, std::move(call), granted_share, std::move(attempt), std::move(done));
    });
  };
  base.replies->Acquire(bytes, call, std::move(granted));
}

void Try(const ApiBase& base, Call call, const std::shared_ptr<ReplyShare>& share, ReadAttempt attempt, Done done) {
  absl::Status status = attempt(share);
  switch (share->refusal()) {
    case ReplyShare::Refusal::kNone:
      return done(std::move(status));
    case ReplyShare::Refusal::kTooLarge:
      base.replies->CountTooLarge();
      return done(TooLarge(*base.replies));
    case ReplyShare::Refusal::kNotNow:
      break;
  }
  share->Shrink(0);
  TryLater(base, std::move(call), share->wanted(), std::move(attempt), std::move(done));
}

// Passes pairs on while the share allows it.
class ChargingSink final : public storage::RangeSink {
 public:
  ChargingSink(storage::RangeSink* sink, ReplyShare* share, size_t* taken)
      : sink_(sink), share_(share), taken_(taken) {}

  bool Add(std::string_view pair) override {
    *taken_ += pair.size() + kMessageBytes;
    return share_->Grow(*taken_ + held_) && sink_->Add(pair);
  }
  bool Hold(size_t bytes) override {
    held_ = bytes;
    return share_->Grow(*taken_ + held_);
  }
  storage::Caching caching() const override { return sink_->caching(); }

 private:
  storage::RangeSink* const sink_;
  ReplyShare* const share_;
  size_t* const taken_;
  size_t held_ = 0;
};

}  // namespace

void ReadWithinBudget(const ApiBase& base, const Call& call, ReadAttempt attempt, Done done) {
  Try(base, call, base.replies->NewShare(), std::move(attempt), std::move(done));
}

absl::StatusOr<storage::RangeTotals> BudgetedReader::ReadRange(const etcdserverpb::RangeRequest& request,
                                                               storage::RangeSink* sink) const {
  ChargingSink charging(sink, &share_, &taken_);
  absl::StatusOr<storage::RangeTotals> totals = reader_.ReadRange(request, &charging);
  if (totals.ok() && totals->stopped) return absl::ResourceExhaustedError("the reply has outgrown its share");
  return totals;
}

}  // namespace keel::server
