#pragma once

// A queue among processes that gives out the most urgent item first.
//
//   keel::PriorityQueue repairs(client, "queues/repairs");
//   if (auto s = repairs.Enqueue("paint the door", 20); !s.ok()) return s;
//   if (auto s = repairs.Enqueue("mend the roof", 1); !s.ok()) return s;
//
//   auto repair = repairs.Dequeue(absl::Now() + absl::Seconds(30));  // Here or in any other process.
//   if (!repair.ok()) return repair.status();
//   std::cout << repair->value << "\n";  // mend the roof

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/queue.h"

namespace keel {

// An item is the key name + "/" + priority, five digits + "/" + a sequence number, sixteen digits; the first in byte
// order comes first, so that 0 is the most urgent and equals come in the order of arrival. The key "__" + name + "/" +
// priority is written with each item and stays. Other languages' clients that have the recipe use the same keys. All
// else is as for Queue.
class PriorityQueue {
 public:
  PriorityQueue(Client& client, std::string_view name);
  ~PriorityQueue();
  PriorityQueue(const PriorityQueue&) = delete;
  PriorityQueue& operator=(const PriorityQueue&) = delete;

  // As Queue::Enqueue. kFailedPrecondition: a key of this priority does not end with a number, so it is not an item.
  absl::Status Enqueue(std::string_view value, uint16_t priority, absl::Time deadline = absl::InfiniteFuture());
  absl::StatusOr<QueueItem> Dequeue(absl::Time deadline = absl::InfiniteFuture());
  absl::StatusOr<std::optional<QueueItem>> TryDequeue(absl::Time deadline = absl::InfiniteFuture());
  void Cancel();

 private:
  std::unique_ptr<client::ItemQueue> queue_;
};

}  // namespace keel
