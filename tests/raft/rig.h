#pragma once

// One core and everything around it in the hands of a test: what it wants sent, written and applied is collected, and
// the disk completes when the test says so.

#include <gtest/gtest.h>

#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "raft/core.h"

namespace keel::raft {

constexpr int kElectionTicks = 10;

inline std::vector<MemberId> Ids(std::initializer_list<uint64_t> values) {
  std::vector<MemberId> ids;
  for (uint64_t value : values) ids.push_back(MemberId(value));
  return ids;
}

inline Membership Voters(std::initializer_list<uint64_t> values) { return {.voters = Ids(values)}; }

inline CoreOptions RigOptions() {
  CoreOptions options;
  options.id = MemberId(1);
  options.election_ticks = kElectionTicks;
  options.seed = 42;
  return options;
}

// A group of members 1..n, empty.
inline InitialState RigState(uint64_t members) {
  InitialState initial;
  for (uint64_t id = 1; id <= members; ++id) initial.membership.voters.push_back(MemberId(id));
  return initial;
}

// The same with a log of entries of these terms, durable, nothing known to be committed.
inline InitialState RigState(uint64_t members, std::initializer_list<uint64_t> terms) {
  InitialState initial = RigState(members);
  Index index;
  for (uint64_t term : terms) {
    ++index;
    if (initial.term_runs.empty() || initial.term_runs.back().term != Term(term)) {
      initial.term_runs.push_back({index, Term(term)});
    }
    initial.hard_state.term = Term(term);
  }
  initial.last = index;
  return initial;
}

inline std::vector<Entry> Entries(uint64_t first, std::initializer_list<uint64_t> terms) {
  std::vector<Entry> entries;
  for (uint64_t term : terms) {
    entries.push_back({.id = {Term(term), Index(first++)}, .type = EntryType::kCommand, .payload = Payload("c")});
  }
  return entries;
}

class Rig {
 public:
  explicit Rig(uint64_t members) : Rig(RigOptions(), RigState(members)) {}
  Rig(const CoreOptions& options, InitialState initial) : core(options, std::move(initial)) {}

  // Takes everything the core has to say. Nothing becomes durable by it.
  void Drain() {
    while (core.HasReady()) {
      Ready ready = core.TakeReady();
      for (Message& message : ready.messages) sent.push_back(std::move(message));
      if (ready.append || !ready.messages_after_append.empty()) {
        if (ready.append) appends.push_back(*ready.append);
        queue.push_back({std::move(ready.append), std::move(ready.messages_after_append)});
      }
      if (ready.apply) applies.push_back(std::move(*ready.apply));
      if (ready.install) install = ready.install;
      for (FetchWork& fetch : ready.fetches) fetches.push_back(fetch);
      for (SnapshotWork& snapshot : ready.snapshots) snapshots.push_back(snapshot);
      for (ReadResult& read : ready.reads) reads.push_back(read);
    }
  }
  // The disk completes everything that has been handed to it.
  void Sync() {
    Drain();
    while (!queue.empty()) {
      Write write = std::move(queue.front());
      queue.pop_front();
      for (Message& message : write.messages) sent.push_back(std::move(message));
      if (write.append) core.OnAppended(write.append->ticket);
      Drain();
    }
  }
  absl::Status Receive(uint64_t from, uint64_t term, MessageBody body) {
    const absl::Status status =
        core.Step({.from = MemberId(from), .to = core.status().id, .term = Term(term), .body = std::move(body)});
    Drain();
    return status;
  }
  void Tick(int ticks = 1) {
    while (ticks-- > 0) {
      core.Tick();
      Drain();
    }
  }
  absl::Status Propose(const std::string& bytes) {
    const absl::Status status = core.Propose({Payload(bytes)});
    Drain();
    return status;
  }

  absl::Status Change(const MembershipChange& change, const std::string& context = "") {
    const absl::Status status = core.ProposeMembership(change, Payload(context));
    Drain();
    return status;
  }
  // Everything that was handed out to be applied is executed.
  void Apply() {
    if (!applies.empty()) core.OnApplied(applies.back().last);
    Drain();
  }

  // What was sent since the last Clear() to `to`, of one kind.
  template <typename Body>
  std::vector<Body> Sent(uint64_t to) const {
    std::vector<Body> bodies;
    for (const Message& message : sent) {
      const Body* body = std::get_if<Body>(&message.body);
      if (body != nullptr && message.to == MemberId(to)) bodies.push_back(*body);
    }
    return bodies;
  }
  void Clear() {
    sent.clear();
    appends.clear();
    applies.clear();
    reads.clear();
    fetches.clear();
    snapshots.clear();
  }

  // Makes it leader of the next term, with everything on disk; its no-op is the last entry.
  void Lead() {
    core.Campaign();
    Sync();
    const uint64_t term = core.status().term.value();
    if (core.status().role == Role::kPreCandidate) {
      GrantFromAll(term + 1, true);
      Sync();
      GrantFromAll(core.status().term.value(), false);
    }
    Sync();
    ASSERT_EQ(core.status().role, Role::kLeader);
  }
  // The same, and the no-op, at index 1, is committed by all voters and applied; nothing is left in the records.
  // REQUIRES: an empty log.
  void LeadAndCommit() {
    Lead();
    for (MemberId id : core.status().membership.voters) {
      if (id != MemberId(1)) Ack(id.value(), 1);
    }
    Apply();
    Clear();
    ASSERT_EQ(core.status().applied, Index(1));
  }
  // Follower `from` has everything up to `index`.
  void Ack(uint64_t from, uint64_t index, uint64_t round = 0) {
    ASSERT_TRUE(Receive(from, core.status().term.value(),
                        AppendResponse{.rejected = false, .index = Index(index), .hint = {}, .read_round = round})
                    .ok());
  }

  struct Write {
    std::optional<AppendWork> append;
    std::vector<Message> messages;
  };

  Core core;
  std::vector<Message> sent;
  std::deque<Write> queue;
  std::vector<AppendWork> appends;
  std::vector<ApplyWork> applies;
  std::vector<ReadResult> reads;
  std::vector<FetchWork> fetches;
  std::vector<SnapshotWork> snapshots;
  std::optional<SnapshotMeta> install;

 private:
  void GrantFromAll(uint64_t term, bool pre_vote) {
    for (MemberId id : core.status().membership.voters) {
      if (id == MemberId(1) || core.status().role == Role::kLeader) continue;
      if (pre_vote != (core.status().role == Role::kPreCandidate)) continue;
      ASSERT_TRUE(Receive(id.value(), term, VoteResponse{.granted = true, .pre_vote = pre_vote}).ok());
    }
  }
};

}  // namespace keel::raft
