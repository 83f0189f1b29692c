#pragma once

// A queue among processes: first in, first out.
//
//   keel::Queue mails(client, "queues/mails");
//   if (auto s = mails.Enqueue("to: ann"); !s.ok()) return s;
//
//   auto mail = mails.Dequeue(absl::Now() + absl::Seconds(30));  // Here or in any other process; waits for one.
//   if (!mail.ok()) return mail.status();
//   std::cout << mail->value << "\n";  // to: ann

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/client.h"

namespace keel {

namespace client {
class ItemQueue;
}  // namespace client

struct QueueItem {
  std::string value = {};
  std::string key = {};
  // The revision at which it was taken: greater than those of all that were taken before, of whatever queue.
  int64_t token = 0;
};

// An item is the key name + "/" + a number of its own; the one with the lowest mod_revision is the first. Other
// languages' clients that have the recipe use the same keys.
//
// An item is taken by exactly one consumer, and is then gone: if that consumer dies, so does the work. Where it must be
// done all the same, use TaskQueue. Consumers have no order among themselves: an item wakes all that wait, one gets it.
//
// Neither Enqueue nor Dequeue is executed twice because an answer was lost: they write a helper key "__" + name + "/" +
// number in the same transaction, which shows what became of it, and which goes with the object, or expires 10 minutes
// after its last use. Thread-safe; `client` must outlive it. The destructor does not wait; no call may be in progress
// (see Cancel).
class Queue {
 public:
  Queue(Client& client, std::string_view name);
  ~Queue();
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;

  // Codes as Kv::Commit. kUnknown: the item may be in the queue; it takes that no server could be reached until some
  // time after the deadline. After every other error it is not, nor will be.
  absl::Status Enqueue(std::string_view value, absl::Time deadline = absl::InfiniteFuture());
  // Blocks for the first item. kDeadlineExceeded: there was none. kUnknown: an item may have been taken; its key is in
  // the text. kCancelled: Cancel() was called.
  absl::StatusOr<QueueItem> Dequeue(absl::Time deadline = absl::InfiniteFuture());
  // nullopt: the queue is empty.
  absl::StatusOr<std::optional<QueueItem>> TryDequeue(absl::Time deadline = absl::InfiniteFuture());
  // Calls in progress and all later ones return kCancelled.
  void Cancel();

 private:
  std::unique_ptr<client::ItemQueue> queue_;
};

}  // namespace keel
