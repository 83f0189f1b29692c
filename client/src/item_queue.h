#pragma once

// What Queue and PriorityQueue have in common: items below a prefix, taken one by one from the front.

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/src/ledger.h"
#include "client/src/patience.h"
#include "keel/queue.h"

namespace keel::client {

// Thread-safe; `client` must outlive it.
class ItemQueue {
 public:
  enum class Front { kOldest, kFirstKey };

  ItemQueue(Client& client, std::string_view name, Front front, std::string_view recipe);

  // Below this the items are: name + "/".
  const std::string& prefix() const { return prefix_; }
  Patience& patience() { return patience_; }
  Ledger& ledger() { return ledger_; }

  absl::StatusOr<QueueItem> Dequeue(absl::Time deadline);
  absl::StatusOr<std::optional<QueueItem>> TryDequeue(absl::Time deadline);

 private:
  // nullopt: there was none at `*revision`.
  absl::StatusOr<std::optional<QueueItem>> Take(absl::Time deadline, int64_t* revision);

  Patience patience_;
  Ledger ledger_;
  const std::string prefix_;
  const Front front_;
};

}  // namespace keel::client
