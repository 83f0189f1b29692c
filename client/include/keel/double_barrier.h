#pragma once

// A meeting of processes: all begin together, and all end together.
//
//   keel::DoubleBarrier round(client, session, "rounds/7", 1);  // So many take part.
//   if (auto s = round.Enter(absl::Now() + absl::Seconds(30)); !s.ok()) return s;  // Until all have come.
//   auto put = client.kv().Put("rounds/7/results/ann", "42");
//   return round.Leave(absl::Now() + absl::Seconds(30));  // Until all have finished.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/session.h"

namespace keel {

namespace client {
class Meeting;
}  // namespace client

// Who enters creates name + "/waiters/" + a number of its own, attached to its session; the last to come creates
// name + "/ready", the last to leave deletes it. Other languages' clients that have the recipe use the same keys. One
// that dies inside counts as having left, once its lease has expired; if it dies while the others still come together,
// another may take its place. Who has left may enter the next round while others are still leaving this one, as long as
// all use this library.
//
// Each object takes part once. A helper key "__" + name + "/" + number goes with it, or with the session. Thread-safe,
// though Enter and Leave exclude each other; `client` and `session` must outlive it.
class DoubleBarrier {
 public:
  DoubleBarrier(Client& client, Session& session, std::string_view name, int participants);
  ~DoubleBarrier();
  DoubleBarrier(const DoubleBarrier&) = delete;
  DoubleBarrier& operator=(const DoubleBarrier&) = delete;

  // Blocks until all have entered; OK at once if they have. On errors our place is given up (as far as a server can be
  // reached; else it goes with the session).
  //   kInvalidArgument     fewer than one participant
  //   kResourceExhausted   others were quicker and have come together without us
  //   kDeadlineExceeded, kFailedPrecondition "double barrier: session is expired", kCancelled (Cancel() was called)
  //   others               as Kv::Commit
  absl::Status Enter(absl::Time deadline = absl::InfiniteFuture());
  // Blocks until all have left. kFailedPrecondition if we have not entered, or the session is expired. On errors we may
  // have left already; another Leave() goes on waiting for the others.
  absl::Status Leave(absl::Time deadline = absl::InfiniteFuture());
  // Calls in progress and all later ones return kCancelled.
  void Cancel();

  // The revision at which the meeting was complete: the same for all who take part, greater for each later one. It
  // serves as the fencing token of the round. 0 before.
  int64_t token() const;

 private:
  std::unique_ptr<client::Meeting> meeting_;
};

}  // namespace keel
