#pragma once

// What the tests of locks, queues and the like have in common.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/session.h"

namespace keel::testing {

std::unique_ptr<Client> Connect(const std::vector<std::string>& endpoints);
std::unique_ptr<Session> Open(Client& client, absl::Duration ttl = absl::Seconds(10));

// Long enough for whatever should happen; short, for what should not.
absl::Time Soon();
absl::Time AtOnce();

// Until there are `count` keys below `prefix`.
void AwaitKeys(Client& client, const std::string& prefix, int64_t count);
int64_t CountKeys(Client& client, const std::string& prefix);
// The value of a key; "(none)" if it does not exist.
std::string ValueAt(Client& client, const std::string& key);

// How many events the member at `endpoint` has sent to watchers, as its metrics say.
int64_t EventsSent(const std::string& endpoint);

// A lock of some kind under a session.
struct TestLock {
  std::function<absl::Status(absl::Time)> lock;
  std::function<absl::Status()> unlock;
  std::function<bool()> held;
};
using MakeLock = std::function<TestLock(Session&)>;

// A claim about every kind of lock for one: who waits for it leaves when its session dies or it is called off. Keys of
// those who wait are below `queue`, and `holders_keys` of the holder.
void ExpectWaitersLeave(Client& client, const MakeLock& make, const std::string& queue, int64_t holders_keys);

}  // namespace keel::testing
