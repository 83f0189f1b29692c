#include "keel/queue.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/src/grant.h"
#include "client/src/item_queue.h"

namespace keel {

using client::ItemQueue;
using client::Ledger;

Queue::Queue(Client& client, std::string_view name)
    : queue_(std::make_unique<ItemQueue>(client, name, ItemQueue::Front::kOldest, "queue")) {}

Queue::~Queue() = default;

absl::Status Queue::Enqueue(std::string_view value, absl::Time deadline) {
  while (true) {
    const std::string key = absl::StrCat(queue_->prefix(), client::UniqueName());
    KEEL_ASSIGN_OR_RETURN(const Ledger::Outcome put,
                          queue_->ledger().Commit(Txn().If(VersionOf(key) == 0).Then(Put(key, value)), deadline));
    if (put.succeeded) return absl::OkStatus();
    // Somebody has the same number.
  }
}

absl::StatusOr<QueueItem> Queue::Dequeue(absl::Time deadline) { return queue_->Dequeue(deadline); }

absl::StatusOr<std::optional<QueueItem>> Queue::TryDequeue(absl::Time deadline) { return queue_->TryDequeue(deadline); }

void Queue::Cancel() { queue_->patience().CallOff(); }

}  // namespace keel
