#include "keel/priority_queue.h"

#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/status_macros.h"
#include "client/src/item_queue.h"

namespace keel {

using client::ItemQueue;
using client::Ledger;

PriorityQueue::PriorityQueue(Client& client, std::string_view name)
    : queue_(std::make_unique<ItemQueue>(client, name, ItemQueue::Front::kFirstKey, "priority queue")) {}

PriorityQueue::~PriorityQueue() = default;

absl::Status PriorityQueue::Enqueue(std::string_view value, uint16_t priority, absl::Time deadline) {
  const std::string prefix = absl::StrFormat("%s%05d", queue_->prefix(), priority);
  // Written with every item of the priority, so that a number found by reading is still the next when it is used.
  const std::string base = "__" + prefix;
  while (true) {
    KEEL_ASSIGN_OR_RETURN(const RangeResponse last, queue_->patience().TryGet(prefix,
                                                                              {.prefix = true,
                                                                               .limit = 1,
                                                                               .sort_order = SortOrder::kDescend,
                                                                               .sort_target = SortTarget::kKey,
                                                                               .keys_only = true},
                                                                              deadline));
    int64_t sequence = 0;
    if (!last.kvs.empty()) {
      const std::string& key = last.kvs[0].key;
      if (!absl::SimpleAtoi(key.substr(key.rfind('/') + 1), &sequence)) {
        return absl::FailedPreconditionError(
            absl::StrCat("priority queue: '", key, "' does not end with a number: it is not an item; delete it"));
      }
      ++sequence;
    }
    const std::string key = absl::StrFormat("%s/%016d", prefix, sequence);
    KEEL_ASSIGN_OR_RETURN(
        const Ledger::Outcome put,
        queue_->ledger().Commit(
            Txn().If(ModRevisionOf(base) < last.header.revision + 1).Then(Put(base, ""), Put(key, value)), deadline));
    if (put.succeeded) return absl::OkStatus();
    // Another item of this priority came between.
  }
}

absl::StatusOr<QueueItem> PriorityQueue::Dequeue(absl::Time deadline) { return queue_->Dequeue(deadline); }

absl::StatusOr<std::optional<QueueItem>> PriorityQueue::TryDequeue(absl::Time deadline) {
  return queue_->TryDequeue(deadline);
}

void PriorityQueue::Cancel() { queue_->patience().CallOff(); }

}  // namespace keel
