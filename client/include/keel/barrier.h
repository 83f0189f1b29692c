#pragma once

// A gate among processes: closed by one, waited at by many, opened once for all.
//
//   keel::Barrier migration(client, "barriers/migration");
//   if (auto s = migration.Hold(); !s.ok()) return s;
//   if (auto s = migration.Release(); !s.ok()) return s;  // When all is done; whoever waits goes on.
//
//   return migration.Wait(absl::Now() + absl::Seconds(30));  // In any process.

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "keel/client.h"

namespace keel {

namespace client {
class Gate;
}  // namespace client

// The gate is closed while the key `name` exists. It belongs to no session: it stays closed until somebody releases it,
// whatever becomes of who closed it. Other languages' clients that have the recipe use the same key. A release wakes
// all that wait, which is its purpose. Hold writes a helper key as Queue does. Thread-safe; `client` must outlive it.
class Barrier {
 public:
  Barrier(Client& client, std::string_view name);
  ~Barrier();
  Barrier(const Barrier&) = delete;
  Barrier& operator=(const Barrier&) = delete;

  // kAlreadyExists: it is closed already. kUnknown: it may be closed, or open and closed a moment later; it takes that
  // no server could be reached until some time after the deadline. Others as Kv::Commit; it has not been closed.
  absl::Status Hold(absl::Time deadline = absl::InfiniteFuture());
  // OK also if it is open. On errors it may have been opened, but one that is closed again later stays closed.
  absl::Status Release(absl::Time deadline = absl::InfiniteFuture());
  // Blocks while it is closed. kDeadlineExceeded: it still is. kCancelled: Cancel() was called, or the Client is gone.
  absl::Status Wait(absl::Time deadline = absl::InfiniteFuture());
  // Calls in progress and all later ones return kCancelled.
  void Cancel();

 private:
  std::unique_ptr<client::Gate> gate_;
};

}  // namespace keel
