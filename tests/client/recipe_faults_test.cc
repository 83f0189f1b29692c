// Every recipe at once, in three processes, while leaders are killed, processes are stopped for longer than their
// leases last, networks are cut and answers are lost. KEEL_FAULT_SECONDS says for how long, KEEL_FAULT_SEED repeats a
// run's choices.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/random.h"
#include "keel/priority_queue.h"
#include "keel/queue.h"
#include "keel/task_queue.h"
#include "tests/client/faulty_proxy.h"
#include "tests/client/recipe_test_base.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

using testing::FaultyProxy;
using testing::Process;
using testing::Soon;
using testing::TestCluster;

constexpr int kMembers = 3;
constexpr int kWorkers = 3;
constexpr absl::Duration kLongerThanALease = absl::Milliseconds(2600);

int64_t Number(const std::string& text) {
  int64_t number = 0;
  EXPECT_TRUE(absl::SimpleAtoi(text, &number)) << text;
  return number;
}

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::stoull(value);
}

// A worker process behind proxies of its own, and what it reported.
struct Worker {
  std::vector<std::unique_ptr<FaultyProxy>> proxies;
  std::unique_ptr<Process> process;
  std::thread reader;
  std::vector<std::vector<std::string>> lines;  // Split at blanks; complete when the reader has been joined.

  void Set(FaultyProxy::Mode mode) {
    for (const auto& proxy : proxies) proxy->Set(mode);
  }
};

int Leader(TestCluster& cluster, Client& client) {
  for (int i = 0; i < kMembers; ++i) {
    const auto status = client.maintenance().Status(cluster.endpoint(i), {.timeout = absl::Seconds(1)});
    if (status.ok() && status->is_leader()) return i;
  }
  return 0;
}

enum class Fault { kKillLeader, kStopLeader, kStopWorker, kCutOffWorker, kLoseAnswers };

// In an order by chance, each as often as the others.
class Faults {
 public:
  explicit Faults(Random& random) : random_(random) {}

  Fault Next() {
    if (left_.empty()) {
      left_ = {Fault::kKillLeader, Fault::kStopLeader, Fault::kStopWorker, Fault::kCutOffWorker, Fault::kLoseAnswers};
    }
    const auto next = left_.begin() + static_cast<int64_t>(random_.Below(left_.size()));
    const Fault fault = *next;
    left_.erase(next);
    return fault;
  }

 private:
  Random& random_;
  std::vector<Fault> left_;
};

// One fault, begun and healed.
std::string Strike(Fault fault, Random& random, TestCluster& cluster, Client& client, std::vector<Worker>& workers) {
  Worker& worker = workers[random.Below(kWorkers)];
  switch (fault) {
    case Fault::kKillLeader: {
      const int leader = Leader(cluster, client);
      cluster.Kill(leader);
      absl::SleepFor(absl::Milliseconds(random.Below(800)));
      EXPECT_TRUE(cluster.Restart(leader).ok());
      return "leader killed";
    }
    case Fault::kStopLeader: {
      const int leader = Leader(cluster, client);
      cluster.Pause(leader);
      absl::SleepFor(absl::Milliseconds(800));
      cluster.Resume(leader);
      return "leader stopped";
    }
    case Fault::kStopWorker:
      worker.process->Signal(SIGSTOP);
      absl::SleepFor(kLongerThanALease);
      worker.process->Signal(SIGCONT);
      return "worker stopped for longer than a lease";
    case Fault::kCutOffWorker:
      worker.Set(FaultyProxy::Mode::kCut);
      absl::SleepFor(kLongerThanALease);
      worker.Set(FaultyProxy::Mode::kPass);
      return "worker cut off for longer than a lease";
    case Fault::kLoseAnswers:
      for (int i = 0; i < 4; ++i) {
        worker.Set(FaultyProxy::Mode::kLoseReplies);
        absl::SleepFor(absl::Milliseconds(random.Below(100)));
        worker.Set(FaultyProxy::Mode::kPass);
        absl::SleepFor(absl::Milliseconds(50));
      }
      return "answers lost";
  }
  return "none";
}

struct Span {
  int64_t begin = 0;
  int64_t end = 0;
  bool alone = true;
  int worker = 0;
};

// That nobody believed to hold what somebody else held alone.
void CheckHolds(const std::map<std::string, std::vector<Span>>& holds) {
  for (auto [resource, spans] : holds) {
    std::sort(spans.begin(), spans.end(), [](const Span& a, const Span& b) { return a.begin < b.begin; });
    for (size_t i = 0; i < spans.size(); ++i) {
      for (size_t j = i + 1; j < spans.size() && spans[j].begin < spans[i].end; ++j) {
        EXPECT_FALSE(spans[i].alone || spans[j].alone)
            << resource << ": worker " << spans[i].worker << " and worker " << spans[j].worker
            << " held it together for " << (std::min(spans[i].end, spans[j].end) - spans[j].begin) / 1000 << " us";
      }
    }
    std::cout << resource << ": held " << spans.size() << " times\n";
  }
}

// How many writes below `prefix` were not the next number after the last, or of an older token.
int64_t WritesOutOfTurn(Client& client, const std::string& prefix, int64_t* writes) {
  EXPECT_TRUE(client.kv().Put(absl::StrCat(prefix, "end"), "").ok());
  const auto watcher = client.Watch(prefix, {.prefix = true, .start_revision = 1});
  std::map<std::string, std::pair<int64_t, int64_t>> last;
  int64_t out_of_turn = 0;
  while (true) {
    const auto next = watcher->Next(Soon());
    EXPECT_TRUE(next.ok()) << next.status();
    if (!next.ok()) return -1;
    for (const Event& event : next->events) {
      if (event.kv.key == absl::StrCat(prefix, "end")) return out_of_turn;
      const std::vector<std::string> words = absl::StrSplit(event.kv.value, ' ');
      const std::pair<int64_t, int64_t> now = {Number(words.at(0)), Number(words.at(1))};
      auto& before = last[event.kv.key];
      ++*writes;
      if (now.first != before.first + 1 || now.second < before.second) ++out_of_turn;
      before = now;
    }
  }
}

// What became of the items of one queue.
struct Items {
  std::set<std::string> put, maybe_put;
  std::map<std::string, int> got;
  int maybe_got = 0;

  void Check(const std::string& name) const {
    int missing = 0;
    for (const auto& [value, times] : got) {
      EXPECT_EQ(times, 1) << name << ": " << value;
      EXPECT_TRUE(put.count(value) + maybe_put.count(value) > 0) << name << ": nobody has put in " << value;
    }
    for (const std::string& value : put) missing += got.count(value) == 0;
    EXPECT_LE(missing, maybe_got) << name << " has lost items";
    std::cout << name << ": " << put.size() << " items put in, " << maybe_put.size() << " perhaps; " << got.size()
              << " taken out, " << maybe_got << " perhaps\n";
  }
};

TEST(RecipeFaultsTest, NothingHappensTwiceAndNobodyIsInsideTogether) {
  KEEL_START_CLUSTER(cluster, kMembers);
  const uint64_t seed = FromEnvironment("KEEL_FAULT_SEED", Random::EntropySeed());
  const absl::Duration duration = absl::Seconds(FromEnvironment("KEEL_FAULT_SECONDS", 10));
  std::cout << "seed " << seed << "\n";
  Random random(seed);
  const auto client = testing::Connect(cluster->endpoints());
  std::vector<Worker> workers(kWorkers);
  for (int w = 0; w < kWorkers; ++w) {
    Worker& worker = workers[w];
    std::vector<std::string> addresses;
    for (int m = 0; m < kMembers; ++m) {
      worker.proxies.push_back(std::make_unique<FaultyProxy>(cluster->endpoint(m)));
      addresses.push_back(worker.proxies.back()->address());
    }
    worker.process = std::make_unique<Process>(std::vector<std::string>{
        KEEL_RECIPE_WORKER_PATH, absl::StrJoin(addresses, ","), absl::StrCat(w), absl::StrCat(random.Next())});
    worker.reader = std::thread([&worker] {
      for (std::string line = worker.process->ReadLine(); !line.empty(); line = worker.process->ReadLine()) {
        worker.lines.push_back(absl::StrSplit(line, ' '));
      }
    });
  }
  std::map<std::string, int> struck;
  Faults faults(random);
  for (const absl::Time end = absl::Now() + duration; absl::Now() < end;) {
    absl::SleepFor(absl::Milliseconds(random.Below(300)));
    ++struck[Strike(faults.Next(), random, *cluster, *client, workers)];
  }
  for (Worker& worker : workers) worker.process->Signal(SIGTERM);
  for (Worker& worker : workers) worker.reader.join();
  for (const auto& [fault, times] : struck) std::cout << fault << ": " << times << "\n";

  std::map<std::string, std::vector<Span>> holds;
  std::map<std::string, Items> queues;
  std::map<int64_t, std::vector<Span>> meetings;
  std::vector<Span> gate_held, gate_passed;
  std::set<std::string> tasks;
  int sums = 0, maybe_sums = 0;
  for (int w = 0; w < kWorkers; ++w) {
    for (const std::vector<std::string>& line : workers[w].lines) {
      const std::string& what = line[0];
      if (what == "hold") {
        holds[line.at(1)].push_back(
            {.begin = Number(line.at(3)), .end = Number(line.at(4)), .alone = line[2] == "alone", .worker = w});
      } else if (what == "put") {
        (line.at(3) == "ok" ? queues[line[1]].put : queues[line[1]].maybe_put).insert(line[2]);
      } else if (what == "got") {
        ++queues[line.at(1)].got[line.at(2)];
      } else if (what == "lost") {
        ++queues[line.at(1)].maybe_got;
      } else if (what == "sum") {
        ++(line.at(1) == "ok" ? sums : maybe_sums);
      } else if (what == "task") {
        if (line.at(2) == "ok") tasks.insert(line[1]);
      } else if (what == "met") {
        meetings[Number(line.at(1))].push_back({.begin = Number(line.at(2)), .end = Number(line.at(3)), .worker = w});
      } else if (what == "gate") {
        (line.at(1) == "held" ? gate_held : gate_passed)
            .push_back({.begin = Number(line.at(2)), .end = Number(line.at(3)), .worker = w});
      } else {
        ADD_FAILURE() << "worker " << w << ": " << absl::StrJoin(line, " ");
      }
    }
  }

  // Locks.
  CheckHolds(holds);
  int64_t guarded = 0, bare = 0;
  EXPECT_EQ(WritesOutOfTurn(*client, "guarded/", &guarded), 0);
  const int64_t out_of_turn = WritesOutOfTurn(*client, "bare/", &bare);
  std::cout << "guarded writes: " << guarded << ", none out of turn; unguarded writes: " << bare << ", " << out_of_turn
            << " out of turn\n";
  EXPECT_GT(guarded, 0);

  // Queues. Nobody else takes part any more: what is left is in there.
  Queue queue(*client, "queue");
  PriorityQueue priorities(*client, "priorities");
  const auto drain = [](auto& items, Items& of) {
    for (auto item = items.TryDequeue(Soon()); item.ok() && item->has_value(); item = items.TryDequeue(Soon())) {
      ++of.got[(*item)->value];
    }
  };
  drain(queue, queues["queue"]);
  drain(priorities, queues["priorities"]);
  for (const auto& [name, items] : queues) items.Check(name);

  // Transactions.
  const int64_t sum = Number(testing::ValueAt(*client, "stm/sum"));
  EXPECT_GE(sum, sums);
  EXPECT_LE(sum, sums + maybe_sums);
  std::cout << "stm: " << sums << " additions, " << maybe_sums << " perhaps; the sum is " << sum << "\n";

  // Tasks: those of the workers, which have ended, become free with their leases.
  const auto session = testing::Open(*client);
  TaskQueue board(*client, *session, "tasks");
  while (true) {
    const auto counts = board.Counts(Soon());
    ASSERT_TRUE(counts.ok()) << counts.status();
    if (counts->todo + counts->doing == 0) break;
    auto task = board.Take(Soon());
    ASSERT_TRUE(task.ok()) << task.status();
    EXPECT_TRUE(task->Complete({Put(absl::StrCat("done/", task->id()), task->payload())}, Soon()).ok());
  }
  std::set<std::string> done;
  const auto completed = client->kv().Get("done/", {.prefix = true});
  ASSERT_TRUE(completed.ok()) << completed.status();
  for (const KeyValue& kv : completed->kvs) {
    EXPECT_EQ(kv.version, 1) << kv.key << " was completed more than once";
    done.insert(kv.key.substr(5));
  }
  for (const std::string& id : tasks) EXPECT_EQ(done.count(id), 1u) << "task " << id << " was lost";
  std::cout << "tasks: " << tasks.size() << " added, " << done.size() << " completed\n";

  // Meetings: nobody was through before all had come.
  int complete = 0;
  for (const auto& [token, spans] : meetings) {
    for (const Span& a : spans) {
      for (const Span& b : spans) EXPECT_LE(a.begin, b.end) << "meeting " << token;
    }
    complete += spans.size() == kWorkers;
  }
  std::cout << "meetings: " << meetings.size() << ", " << complete << " reported by all\n";

  // The gate: nobody came and went while it was closed.
  for (const Span& passed : gate_passed) {
    for (const Span& held : gate_held) {
      EXPECT_FALSE(held.begin < passed.begin && passed.end < held.end) << "worker " << passed.worker;
    }
  }
  std::cout << "gate: closed " << gate_held.size() << " times, passed " << gate_passed.size() << " times\n";
}

}  // namespace
}  // namespace keel
