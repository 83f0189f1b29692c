// Costs of the consensus core, without threads, disk and network: its log, a follower's step, a whole group's round,
// and the gate of linearizable reads.

#include <benchmark/benchmark.h>

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "raft/core.h"
#include "raft/log.h"

namespace keel::raft {
namespace {

constexpr size_t kPayloadBytes = 300;
constexpr uint64_t kMembers = 3;

InitialState EmptyGroup() {
  InitialState initial;
  for (uint64_t id = 1; id <= kMembers; ++id) initial.membership.voters.push_back(MemberId(id));
  return initial;
}

std::unique_ptr<Core> NewCore(uint64_t id) {
  CoreOptions options;
  options.id = MemberId(id);
  options.seed = id;
  return std::make_unique<Core>(options, EmptyGroup());
}

std::vector<Payload> Payloads(int64_t count) {
  // Payloads share their bytes, so that what is measured is the core and not the copying.
  return std::vector<Payload>(static_cast<size_t>(count), Payload(std::string(kPayloadBytes, 'p')));
}

// Three cores that hear each other at once, over disks that take no time. Member 1 leads.
class Group {
 public:
  Group() {
    for (uint64_t id = 1; id <= kMembers; ++id) cores_.push_back(NewCore(id));
    leader().Campaign();
    Run();
    KEEL_CHECK(leader().status().role == Role::kLeader);
  }

  Core& leader() { return *cores_[0]; }

  // Until nobody has anything to say.
  void Run() {
    for (bool is_busy = true; is_busy;) {
      is_busy = false;
      for (const auto& core : cores_) {
        while (core->HasReady()) {
          Execute(*core, core->TakeReady());
          is_busy = true;
        }
      }
      for (; !messages_.empty(); messages_.pop_front()) {
        const size_t to = messages_.front().to.value() - 1;
        KEEL_CHECK_OK(cores_[to]->Step(std::move(messages_.front())));
        is_busy = true;
      }
    }
  }

 private:
  void Execute(Core& core, Ready ready) {
    for (Message& message : ready.messages) messages_.push_back(std::move(message));
    if (ready.append) core.OnAppended(ready.append->ticket);
    for (Message& message : ready.messages_after_append) messages_.push_back(std::move(message));
    if (ready.apply) core.OnApplied(ready.apply->last);
    KEEL_CHECK(ready.fetches.empty() && ready.snapshots.empty());
  }

  std::vector<std::unique_ptr<Core>> cores_;
  std::deque<Message> messages_;
};

// The log in memory: entries come in, are written, committed, applied.
void LogAppend(benchmark::State& state) {
  Log log(EmptyGroup(), 16u << 20);
  const std::vector<Payload> payloads = Payloads(state.range(0));
  for (auto _ : state) {
    for (const Payload& payload : payloads) {
      log.Append(
          {.id = {.term = Term(1), .index = log.last().index + 1}, .type = EntryType::kCommand, .payload = payload});
    }
    benchmark::DoNotOptimize(log.TakeUnwritten());
    log.OnStable(log.Ticket(Term(1)));
    log.CommitTo(log.last().index);
    const std::optional<ApplyWork> apply = log.TakeApplicable();
    KEEL_CHECK(apply.has_value());
    log.OnApplied(apply->last);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(LogAppend)->Arg(1)->Arg(64);

// A follower takes a message of so many entries, writes them, answers, and applies what the message before brought.
void FollowerStep(benchmark::State& state) {
  const std::unique_ptr<Core> follower = NewCore(2);
  const std::vector<Payload> payloads = Payloads(state.range(0));
  EntryId prev;
  for (auto _ : state) {
    AppendRequest append{.prev = prev, .entries = {}, .commit = prev.index};
    for (const Payload& payload : payloads) {
      append.entries.push_back({.id = {.term = Term(1), .index = prev.index + (append.entries.size() + 1)},
                                .type = EntryType::kCommand,
                                .payload = payload});
    }
    prev = append.entries.back().id;
    KEEL_CHECK_OK(follower->Step({.from = MemberId(1), .to = MemberId(2), .term = Term(1), .body = std::move(append)}));
    while (follower->HasReady()) {
      const Ready ready = follower->TakeReady();
      if (ready.append) follower->OnAppended(ready.append->ticket);
      if (ready.apply) follower->OnApplied(ready.apply->last);
    }
  }
  KEEL_CHECK(follower->status().last == prev);
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(FollowerStep)->Arg(1)->Arg(64);

// From the proposal of so many entries until all three members have applied them.
void GroupRound(benchmark::State& state) {
  Group group;
  const std::vector<Payload> payloads = Payloads(state.range(0));
  const Index before = group.leader().status().applied;
  for (auto _ : state) {
    KEEL_CHECK_OK(group.leader().Propose(payloads));
    group.Run();
  }
  const uint64_t entries = static_cast<uint64_t>(state.iterations()) * payloads.size();
  KEEL_CHECK(group.leader().status().applied == before + entries);
  state.SetItemsProcessed(static_cast<int64_t>(entries));
}
BENCHMARK(GroupRound)->Arg(1)->Arg(64);

// The read gate: so many reads arrive at the leader together, share a round, and go on when a follower has answered it.
void ReadGate(benchmark::State& state) {
  Group group;
  Core& leader = group.leader();
  const Term term = leader.status().term;
  uint64_t id = 0;
  for (auto _ : state) {
    for (int64_t i = 0; i < state.range(0); ++i) leader.ReadIndex(ReadId(++id));
    uint64_t round = 0;
    while (leader.HasReady()) {
      for (const Message& message : leader.TakeReady().messages) {
        if (const auto* heartbeat = std::get_if<Heartbeat>(&message.body)) round = heartbeat->read_round;
      }
    }
    KEEL_CHECK_OK(leader.Step(
        {.from = MemberId(2), .to = MemberId(1), .term = term, .body = HeartbeatResponse{.read_round = round}}));
    size_t answered = 0;
    while (leader.HasReady()) answered += leader.TakeReady().reads.size();
    KEEL_CHECK(answered == static_cast<size_t>(state.range(0)));
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(ReadGate)->Arg(1)->Arg(64);

}  // namespace
}  // namespace keel::raft
