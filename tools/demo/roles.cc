#include "tools/demo/roles.h"

#include <iostream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "keel/client.h"
#include "keel/election.h"
#include "keel/mutex.h"
#include "keel/session.h"

namespace keel::demo {
namespace {

std::unique_ptr<Client> Connect(const std::vector<std::string>& endpoints) {
  auto client = Client::Create({.endpoints = endpoints});
  if (!client.ok()) {
    std::cerr << "cannot create a client: " << client.status() << "\n";
    return nullptr;
  }
  return *std::move(client);
}

// A worker's way through its increments. Whatever fails on the way (the leader dies, the session is lost), an increment
// is tried again until its mark is there; counter and mark are written in one guarded transaction, so that it can
// neither be lost nor counted twice.
class Worker {
 public:
  Worker(Client& client, const std::string& name) : client_(client), name_(name) {}

  bool Increment(int number) {
    const std::string mark = absl::StrCat(kIncrementsPrefix, name_, "/", number);
    const absl::Time give_up = absl::Now() + absl::Seconds(90);
    while (absl::Now() < give_up) {
      if (!EnsureSession()) continue;
      if (absl::Status status = mutex_->Lock(absl::Now() + absl::Seconds(30)); !status.ok()) continue;
      const bool done = TryOnce(mark);
      (void)mutex_->Unlock();  // If it fails, the key goes with the session.
      if (done) return true;
    }
    return false;
  }

 private:
  bool EnsureSession() {
    if (session_ != nullptr && session_->alive()) return true;
    mutex_.reset();
    session_.reset();
    auto session = Session::Open(client_, {.ttl = absl::Seconds(5)});
    if (!session.ok()) return false;
    session_ = *std::move(session);
    mutex_ = std::make_unique<Mutex>(client_, *session_, kLockName);
    return true;
  }

  // True when the increment is in, by this attempt or an earlier one whose answer was lost.
  bool TryOnce(const std::string& mark) {
    auto before = client_.kv().Commit(Txn().Then(Get(kCounterKey), Get(mark)));
    if (!before.ok()) return false;
    if (!before->responses[1].range().kvs.empty()) return true;
    int64_t value = 0;
    const auto& counter = before->responses[0].range().kvs;
    if (!counter.empty() && !absl::SimpleAtoi(counter.front().value, &value)) return false;
    auto written = client_.kv().Commit(mutex_->Guard(
        Txn()
            .If(VersionOf(mark) == 0)
            .Then(Put(kCounterKey, absl::StrCat(value + 1)), Put(mark, absl::StrCat(mutex_->fencing_token())))));
    return written.ok() && written->succeeded;
  }

  Client& client_;
  const std::string name_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<Mutex> mutex_;
};

}  // namespace

int RunWatcher(const std::vector<std::string>& endpoints) {
  auto client = Connect(endpoints);
  if (client == nullptr) return 1;
  auto watcher = client->Watch("", {.from_key = true, .start_revision = 2});
  int64_t last = 1;
  int64_t revisions = 0;
  int64_t events = 0;
  while (true) {
    auto response = watcher->Next(absl::Now() + absl::Minutes(5));
    if (!response.ok()) {
      std::cerr << "the watch ended: " << response.status() << "\n";
      return 1;
    }
    bool end = false;
    int64_t previous_in_response = 0;
    for (const Event& event : response->events) {
      const int64_t revision = event.kv.mod_revision;
      ++events;
      end |= event.kv.key == kEndKey;
      if (revision == previous_in_response) continue;  // A transaction: several events of one revision, together.
      if (revision != last + 1) {
        std::cerr << "expected revision " << last + 1 << ", saw " << revision << "\n";
        return 1;
      }
      previous_in_response = last = revision;
      ++revisions;
    }
    if (end) break;
  }
  std::cout << "revisions=" << revisions << " last=" << last << " events=" << events << std::endl;
  return 0;
}

int RunWorker(const std::vector<std::string>& endpoints, const std::string& name, int increments) {
  auto client = Connect(endpoints);
  if (client == nullptr) return 1;
  Worker worker(*client, name);
  for (int i = 0; i < increments; ++i) {
    if (!worker.Increment(i)) {
      std::cerr << name << " could not do increment " << i << "\n";
      return 1;
    }
  }
  return 0;
}

int RunCandidate(const std::vector<std::string>& endpoints, const std::string& name) {
  auto client = Connect(endpoints);
  if (client == nullptr) return 1;
  while (true) {
    auto session = Session::Open(*client, {.ttl = absl::Seconds(2)});
    if (!session.ok()) continue;
    Election election(*client, **session, kElectionName);
    if (!election.Campaign(name).ok()) continue;
    std::cout << name << " leads with token " << election.fencing_token() << std::endl;
    (*session)->WaitUntilLost();
  }
}

}  // namespace keel::demo
