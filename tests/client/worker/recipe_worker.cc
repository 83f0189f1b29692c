// One application of the fault story (recipe_faults_test): uses every recipe at once, each in a thread and a session of
// its own, until it gets SIGTERM, and reports what it saw, a line each, times in nanoseconds of the machine's
// clock, which all workers share:
//
//   hold RESOURCE alone|shared BEGIN END    held() was true at both times
//   put QUEUE VALUE ok|unknown              an item was, or may have been, put in
//   got QUEUE VALUE, lost QUEUE             it was taken out; one may have been
//   sum ok|unknown                          one was, or may have been, added to stm/sum
//   task ID ok|unknown                      a task was, or may have been, added
//   met TOKEN BEGIN END                     Enter was called and returned
//   gate held|passed BEGIN END              from Hold's return to Release's call; from Wait's call to its return
//   wrong TEXT                              what must never happen
//
//   recipe_worker ENDPOINTS NUMBER SEED

#include <signal.h>
#include <time.h>

#include <atomic>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "keel/barrier.h"
#include "keel/client.h"
#include "keel/double_barrier.h"
#include "keel/election.h"
#include "keel/mutex.h"
#include "keel/priority_queue.h"
#include "keel/queue.h"
#include "keel/rw_mutex.h"
#include "keel/semaphore.h"
#include "keel/session.h"
#include "keel/stm.h"
#include "keel/task_queue.h"

namespace keel {
namespace {

constexpr absl::Duration kTtl = absl::Seconds(2);
constexpr int kWorkers = 3;

std::atomic<bool> stopping = false;

absl::Time InTime() { return absl::Now() + absl::Seconds(3); }

int64_t Clock() {
  timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000000000 + now.tv_nsec;
}

template <typename... Parts>
void Say(const Parts&... parts) {
  static absl::Mutex mu(absl::kConstInit);
  const std::string line = absl::StrCat(parts..., "\n");
  absl::MutexLock lock(&mu);
  std::cout << line << std::flush;
}

// One recipe's thread.
class Part {
 public:
  Part(Client& client, int number, uint64_t seed) : client_(client), number_(number), random_(seed) {}

  // Rounds, with a new session whenever the last is lost.
  void Run(const std::function<void(Part&, Session&)>& with_session) {
    while (!stopping) {
      auto session = Session::Open(client_, {.ttl = kTtl, .timeout = absl::Seconds(1)});
      if (!session.ok()) continue;
      while (!stopping && (*session)->alive()) {
        with_session(*this, **session);
        Idle();
      }
    }
  }

  // The work of somebody who holds `resource`: reads a number, waits, and writes the next. Guarded, nobody else can
  // have written in between; unguarded, it happens.
  template <typename Lock>
  void Count(const std::string& resource, const Lock& lock) {
    const int64_t begin = lock.held() ? Clock() : 0;
    const auto guarded = client_.kv().Get(absl::StrCat("guarded/", resource), {}, {.timeout = absl::Seconds(1)});
    const auto bare = client_.kv().Get(absl::StrCat("bare/", resource), {}, {.timeout = absl::Seconds(1)});
    // Sometimes long enough for a fault to come between.
    absl::SleepFor(absl::Milliseconds(random_.Chance(0.1) ? random_.Below(600) : random_.Below(10)));
    int64_t now = Clock();
    int64_t end = lock.held() ? now : 0;
    const std::string token = absl::StrCat(" ", lock.fencing_token());
    if (guarded.ok()) {
      (void)client_.kv().Commit(
          lock.Guard(Txn().Then(Put(absl::StrCat("guarded/", resource), absl::StrCat(Number(*guarded) + 1, token)))),
          {.timeout = absl::Seconds(1)});
    }
    if (bare.ok()) {
      (void)client_.kv().Put(absl::StrCat("bare/", resource), absl::StrCat(Number(*bare) + 1, token), {},
                             {.timeout = absl::Seconds(1)});
    }
    now = Clock();
    if (lock.held()) end = now;
    if (begin != 0 && end != 0) Say("hold ", resource, " alone ", begin, " ", end);
  }

  static int64_t Number(const RangeResponse& got) {
    int64_t number = 0;
    if (!got.kvs.empty()) {
      const std::vector<std::string> words = absl::StrSplit(got.kvs[0].value, ' ');
      (void)absl::SimpleAtoi(words[0], &number);
    }
    return number;
  }

  void Idle() { absl::SleepFor(absl::Milliseconds(random_.Below(20))); }
  std::string Unique() { return absl::StrCat(number_, "-", ++made_); }

  Client& client() { return client_; }
  Random& random() { return random_; }
  int number() const { return number_; }

 private:
  Client& client_;
  const int number_;
  Random random_;
  int made_ = 0;
};

void UseMutex(Part& part, Session& session) {
  Mutex mutex(part.client(), session, "mutex");
  if (!mutex.Lock(InTime()).ok()) return;
  part.Count("mutex", mutex);
  (void)mutex.Unlock();
}

// An Election with the names that Count uses.
struct Leadership {
  bool held() const { return election.is_leader(); }
  int64_t fencing_token() const { return election.fencing_token(); }
  Txn Guard(Txn txn) const { return election.Guard(std::move(txn)); }
  Election& election;
};

void UseElection(Part& part, Session& session) {
  Election election(part.client(), session, "election");
  if (!election.Campaign(part.Unique(), InTime()).ok()) return;
  part.Count("election", Leadership{election});
  const auto candidates = election.Candidates({.timeout = absl::Seconds(1)});
  if (candidates.ok() && candidates->size() > 1 && part.random().Chance(0.5)) {
    (void)election.HandOver((*candidates)[1].key, InTime());
  }
  (void)election.Resign();
}

void UseSemaphore(Part& part, Session& session) {
  Semaphore semaphore(part.client(), session, "semaphore", 2);
  if (!semaphore.Acquire(InTime()).ok()) return;
  part.Count(semaphore.key(), semaphore);  // Each place is a lock.
  (void)semaphore.Release();
}

void UseRwMutex(Part& part, Session& session) {
  RwMutex mutex(part.client(), session, "rwmutex");
  if (part.random().Chance(0.4)) {
    if (!mutex.Lock(InTime()).ok()) return;
    part.Count("rwmutex", mutex);
  } else {
    if (!mutex.LockShared(InTime()).ok()) return;
    const int64_t begin = mutex.held() ? Clock() : 0;
    const auto read = [&] {
      return part.client().kv().Commit(mutex.Guard(Txn().Then(Get("guarded/rwmutex"))), {.timeout = absl::Seconds(1)});
    };
    const auto first = read();
    absl::SleepFor(absl::Milliseconds(part.random().Chance(0.1) ? part.random().Below(600) : part.random().Below(10)));
    const auto second = read();
    if (first.ok() && second.ok() && first->succeeded && second->succeeded &&
        Part::Number(first->responses[0].range()) != Part::Number(second->responses[0].range())) {
      Say("wrong a writer came between two guarded reads under one shared lock");
    }
    const int64_t end = Clock();
    if (begin != 0 && mutex.held()) Say("hold rwmutex shared ", begin, " ", end);
  }
  (void)mutex.Unlock();
}

template <typename Items, typename Enqueue>
void UseItems(Part& part, const std::string& name, Items& items, Enqueue enqueue) {
  const std::string value = part.Unique();
  const absl::Status put = enqueue(value);
  if (put.ok() || absl::IsUnknown(put)) Say("put ", name, " ", value, put.ok() ? " ok" : " unknown");
  // All that it says about other errors is that nothing came of them.
  const auto got = items.Dequeue(InTime());
  if (got.ok()) {
    Say("got ", name, " ", got->value);
  } else if (absl::IsUnknown(got.status())) {
    Say("lost ", name);
  }
}

void UseStm(Part& part) {
  const auto done = Atomically(part.client(),
                               [](Stm& tx) {
                                 int64_t sum = 0;
                                 (void)absl::SimpleAtoi(tx.Get("stm/sum").value_or("0"), &sum);
                                 tx.Put("stm/sum", absl::StrCat(sum + 1));
                               },
                               {.deadline = InTime()});
  if (done.ok() || absl::IsUnknown(done.status())) Say("sum ", done.ok() ? "ok" : "unknown");
}

void UseTasks(Part& part, Session& session) {
  TaskQueue tasks(part.client(), session, "tasks");
  for (int i = 0; i < 5 && session.alive(); ++i) {
    const auto added = tasks.Add(part.Unique(), InTime());
    if (added.ok() || absl::IsUnknown(added.status())) {
      Say("task ", added.ok() ? *added : "?", added.ok() ? " ok" : " unknown");
    }
    auto task = tasks.Take(InTime());
    if (!task.ok()) continue;
    part.Idle();
    if (part.random().Chance(0.1)) {
      (void)task->GiveBack(InTime());
    } else {
      // Written with the completion, so that its version counts completions.
      (void)task->Complete({Put(absl::StrCat("done/", task->id()), task->payload())}, InTime());
    }
  }
}

void UseDoubleBarrier(Part& part, Session& session) {
  DoubleBarrier barrier(part.client(), session, "meeting", kWorkers);
  const int64_t begin = Clock();
  if (!barrier.Enter(InTime()).ok()) return;
  Say("met ", barrier.token(), " ", begin, " ", Clock());
  (void)barrier.Leave(InTime());
}

void UseBarrier(Part& part) {
  Barrier barrier(part.client(), "gate");
  if (part.number() != 0) {
    const int64_t begin = Clock();
    if (barrier.Wait(InTime()).ok()) Say("gate passed ", begin, " ", Clock());
    return;
  }
  const absl::Status held = barrier.Hold(InTime());
  const int64_t begin = Clock();
  if (!held.ok() && !absl::IsAlreadyExists(held)) return;
  absl::SleepFor(absl::Milliseconds(part.random().Below(50)));
  // A gate that was found closed is known to be so only from when it was tried.
  Say("gate held ", begin, " ", Clock());
  while (!barrier.Release(InTime()).ok() && !stopping) {
  }
}

}  // namespace
}  // namespace keel

int main(int argc, char** argv) {
  using namespace keel;
  if (argc != 4) {
    std::cerr << "usage: recipe_worker ENDPOINTS NUMBER SEED\n";
    return 2;
  }
  const int number = std::stoi(argv[2]);
  const uint64_t seed = std::stoull(argv[3]);
  // For all threads, so that only main takes it.
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);
  auto client = Client::Create({.endpoints = absl::StrSplit(argv[1], ','), .timeout = absl::Seconds(2)});
  if (!client.ok()) {
    std::cerr << client.status() << "\n";
    return 2;
  }
  Queue queue(**client, "queue");
  PriorityQueue priorities(**client, "priorities");
  const std::vector<std::function<void(Part&, Session&)>> parts = {
      UseMutex,
      UseElection,
      UseSemaphore,
      UseRwMutex,
      UseTasks,
      UseDoubleBarrier,
      [&](Part& part, Session&) {
        UseItems(part, "queue", queue, [&](const std::string& value) { return queue.Enqueue(value, InTime()); });
      },
      [&](Part& part, Session&) {
        UseItems(part, "priorities", priorities, [&](const std::string& value) {
          return priorities.Enqueue(value, static_cast<uint16_t>(part.random().Below(3)), InTime());
        });
      },
      [](Part& part, Session&) { UseStm(part); },
      [](Part& part, Session&) { UseBarrier(part); },
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < parts.size(); ++i) {
    threads.emplace_back([&, i] { Part(**client, number, seed + i).Run(parts[i]); });
  }
  int signal = 0;
  sigwait(&terminate, &signal);
  stopping = true;
  for (std::thread& thread : threads) thread.join();
  return 0;
}
