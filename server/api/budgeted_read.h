#pragma once

// Reads whose replies take their memory from the budget.

#include <memory>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/api/api_base.h"
#include "server/api/reply_budget.h"
#include "storage/state/read_view.h"

namespace keel::server {

// Makes a whole reply within `share`. When that refuses to grow, it lets go of what it has made and returns whatever it
// likes: it is called again with a larger share, or not at all.
using ReadAttempt = absl::AnyInvocable<absl::Status(const std::shared_ptr<ReplyShare>& share)>;

// Calls `attempt` on this thread, and once more on a reader each time a larger share had to be waited for. `done` gets
// what the last attempt returned, or an error of ReplyBudget::Acquire, or kResourceExhausted with a text that says what
// to do when the reply is too large for any share. `base` outlives the call.
void ReadWithinBudget(const ApiBase& base, const Call& call, ReadAttempt attempt, Done done);

// A reader whose answers, taken together, stay within `share`: beyond it a range ends with an error.
class BudgetedReader final : public storage::KeyspaceReader {
 public:
  // Both outlive it.
  BudgetedReader(const storage::KeyspaceReader* reader, ReplyShare* share) : reader_(*reader), share_(*share) {}

  absl::StatusOr<storage::RangeTotals> ReadRange(const etcdserverpb::RangeRequest& request,
                                                 storage::RangeSink* sink) const override;
  absl::StatusOr<std::optional<storage::KeyFacts>> Find(std::string_view key) const override {
    return reader_.Find(key);
  }
  absl::StatusOr<std::string> Value(std::string_view key) const override { return reader_.Value(key); }
  absl::Status ForEach(
      std::string_view key, std::string_view range_end,
      const std::function<bool(std::string_view key, const storage::KeyFacts& facts)>& visit) const override {
    return reader_.ForEach(key, range_end, visit);
  }
  storage::Revision revision() const override { return reader_.revision(); }

 private:
  const storage::KeyspaceReader& reader_;
  ReplyShare& share_;
  mutable size_t taken_ = 0;  // By the answers so far.
};

}  // namespace keel::server
