#include "client/src/item_queue.h"

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::client {

ItemQueue::ItemQueue(Client& client, std::string_view name, Front front, std::string_view recipe)
    : patience_(client, nullptr, recipe),
      ledger_(patience_, name),
      prefix_(absl::StrCat(ToAbsl(name), "/")),
      front_(front) {}

absl::StatusOr<QueueItem> ItemQueue::Dequeue(absl::Time deadline) {
  while (true) {
    int64_t revision = 0;
    KEEL_ASSIGN_OR_RETURN(std::optional<QueueItem> item, Take(deadline, &revision));
    if (item.has_value()) return *std::move(item);
    KEEL_RETURN_IF_ERROR(
        patience_
            .AwaitChange(prefix_, {.prefix = true, .start_revision = revision + 1, .without_deletes = true}, deadline)
            .status());
  }
}

absl::StatusOr<std::optional<QueueItem>> ItemQueue::TryDequeue(absl::Time deadline) {
  int64_t revision = 0;
  return Take(deadline, &revision);
}

absl::StatusOr<std::optional<QueueItem>> ItemQueue::Take(absl::Time deadline, int64_t* revision) {
  while (true) {
    KEEL_ASSIGN_OR_RETURN(
        RangeResponse front,
        patience_.TryGet(prefix_,
                         {.prefix = true,
                          .limit = 1,
                          .sort_order = SortOrder::kAscend,
                          .sort_target = front_ == Front::kOldest ? SortTarget::kModRevision : SortTarget::kKey},
                         deadline));
    *revision = front.header.revision;
    if (front.kvs.empty()) return std::nullopt;
    KeyValue& first = front.kvs[0];
    absl::StatusOr<Ledger::Outcome> taken =
        ledger_.Commit(Txn().If(ModRevisionOf(first.key) == first.mod_revision).Then(Delete(first.key)), deadline);
    if (absl::IsUnknown(taken.status())) {
      return absl::UnknownError(absl::StrCat(taken.status().message(), "; it may have taken '", first.key, "'"));
    }
    if (!taken.ok()) return taken.status();
    if (taken->succeeded) {
      return QueueItem{.value = std::move(first.value), .key = std::move(first.key), .token = taken->header.revision};
    }
    // Somebody else was quicker.
  }
}

}  // namespace keel::client
