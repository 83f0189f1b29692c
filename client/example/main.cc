// Puts a key, watches it, and takes a lock: keel_example ENDPOINT...

#include <keel/client.h>
#include <keel/mutex.h>
#include <keel/session.h>

#include <iostream>
#include <string>
#include <vector>

namespace {

int Fail(const absl::Status& status) {
  std::cerr << "keel_example: " << status << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  auto client = keel::Client::Create({.endpoints = std::vector<std::string>(argv + 1, argv + argc)});
  if (!client.ok()) return Fail(client.status());
  keel::Kv& kv = (*client)->kv();

  // A write, and the same seen by a watch that begins with it.
  const auto put = kv.Put("example/greeting", "hello");
  if (!put.ok()) return Fail(put.status());
  const auto watcher = (*client)->Watch("example/", {.prefix = true, .start_revision = put->header.revision});
  const auto seen = watcher->Next(absl::Now() + absl::Seconds(30));
  if (!seen.ok()) return Fail(seen.status());
  for (const keel::Event& event : seen->events) {
    std::cout << event.kv.key << " = " << event.kv.value << "\n";
  }

  // A lock, and a write that only its holder can make.
  const auto session = keel::Session::Open(**client, {.ttl = absl::Seconds(10)});
  if (!session.ok()) return Fail(session.status());
  keel::Mutex mutex(**client, **session, "example/lock");
  if (auto locked = mutex.Lock(absl::Now() + absl::Seconds(30)); !locked.ok()) return Fail(locked);
  const auto guarded = kv.Commit(mutex.Guard(keel::Txn().Then(keel::Put("example/owner", mutex.key()))));
  if (!guarded.ok()) return Fail(guarded.status());
  std::cout << (guarded->succeeded ? "written under the lock\n" : "the lock was lost\n");
  if (auto unlocked = mutex.Unlock(); !unlocked.ok()) return Fail(unlocked);
  return guarded->succeeded ? 0 : 1;
}
