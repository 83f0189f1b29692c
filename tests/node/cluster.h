#pragma once

// Whole members in one process: real nodes over real logs in temporary directories, a network in memory, and a state
// machine that remembers every command it was given.

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "raft/node.h"
#include "storage/log/raft_log.h"
#include "tests/log/temp_dir.h"

namespace keel::raft {

// Wakes those who wait whenever anything happens that could matter to them.
class Happenings {
 public:
  void Note();
  // False when `condition` has not become true within a minute.
  bool WaitUntil(const std::function<bool()>& condition);

 private:
  std::mutex mu_;
  std::condition_variable changed_;
  uint64_t count_ = 0;
};

// What a state machine holds; its history is its state.
struct ToyState {
  EntryId applied;
  std::vector<std::string> commands;
  Membership membership;
};

// Thread-safe. Aborts when an entry comes out of order or twice.
class ToyMachine final : public StateMachine {
 public:
  ToyMachine(ToyState state, Happenings* happenings);

  absl::Status Apply(std::span<const Entry> entries) override;
  absl::Status Install(const SnapshotMeta& meta) override;
  Index DurableApplied() const override;
  void OnLeadership(Role role, Term term, MemberId leader) override;

  ToyState state() const;
  bool Has(const std::string& command) const;
  // What a crash now would come back to.
  ToyState durable() const;
  // Makes the present state the durable one.
  void Flush();
  void KeepSnapshot(ToyState snapshot);
  void FailNextApply();
  int installs() const;
  size_t largest_group() const;
  bool leads() const;

 private:
  Happenings& happenings_;
  mutable std::mutex mu_;
  ToyState state_;
  ToyState durable_;
  ToyState snapshot_;
  bool fail_ = false;
  int installs_ = 0;
  size_t largest_group_ = 0;
  bool leads_ = false;
};

// A log that can be told to fail, and tells what happens.
class TestStore final : public StableStore {
 public:
  TestStore(std::unique_ptr<storage::RaftLog> log, Happenings* happenings)
      : log_(std::move(log)), happenings_(*happenings) {}

  absl::Status Append(const StableBatch& batch) override;
  absl::StatusOr<std::vector<Entry>> Read(Index first, Index last, size_t bytes_max) const override;
  uint64_t BytesAfter(Index index) const override { return log_->BytesAfter(index); }
  absl::Status TruncatePrefix(Index through) override;
  absl::Status ResetTo(EntryId last) override;

  // Appends wait from now on until Release or Fail.
  void Hold();
  void Release();
  // Appends fail from now on, one that waits included.
  void Fail();
  storage::RaftLog& log() { return *log_; }
  int reads() const;

 private:
  std::unique_ptr<storage::RaftLog> log_;
  Happenings& happenings_;
  mutable std::mutex mu_;
  std::condition_variable changed_;
  bool held_ = false;
  bool fail_ = false;
  mutable int reads_ = 0;
};

struct ClusterOptions {
  int members = 3;
  NodeOptions node;  // Its core.id and core.seed are set for each member.
  uint64_t segment_bytes = 1 << 20;
};

class Cluster {
 public:
  explicit Cluster(ClusterOptions options);
  ~Cluster();

  // Members are 1, 2, 3, ...; all are stopped at first.
  void Start(int member);
  void StartAll();
  // As a crash: what the state machine has not flushed is gone, the log is what the disk has.
  void Stop(int member);

  // A member that is not among the first ones, with nothing: whoever leads must serve it. Add it to the membership.
  void StartEmpty(int member);

  Node& node(int member);
  ToyMachine& machine(int member);
  TestStore& store(int member);

  // Waits for a leader among the running members that all of them know; its number.
  int WaitForLeader();
  bool WaitUntil(const std::function<bool()>& condition) { return happenings_.WaitUntil(condition); }
  // Proposes at `member` and waits until it is applied there.
  bool ProposeAndWait(int member, const std::string& command);
  bool WaitUntilAllHave(const std::string& command);

  // No message passes between these two any more, or again.
  void Cut(int a, int b);
  // What `from` sends to `to` is lost, and its transport knows; the other way all is well.
  void CutOneWay(int from, int to);
  void Heal();
  // Counts messages that left `member`, of all kinds.
  uint64_t sent(int member) const;
  // What on_fatal has said for `member`, in order.
  std::vector<absl::Status> fatal(int member) const;

  std::vector<int> running() const;

 private:
  class Network;
  struct Member {
    std::shared_ptr<Node> node;
    std::unique_ptr<ToyMachine> machine;
    std::unique_ptr<TestStore> store;
    std::unique_ptr<Network> network;
    ToyState durable;
    std::vector<absl::Status> fatal;
    uint64_t sent = 0;
  };

  void Send(int from, std::vector<Message> messages);
  bool Reaches(int from, int to) const;
  void SendSnapshot(int from, MemberId follower, Term term);
  std::shared_ptr<Node> Find(int member) const;

  const ClusterOptions options_;
  keel::TempDir dir_;
  Happenings happenings_;
  uint64_t starts_ = 0;

  mutable std::mutex mu_;  // Guards all below, but for what the members themselves do.
  std::map<int, Member> members_;
  std::set<std::pair<int, int>> cuts_;  // From, to.
  // Nodes that have been stopped. Others may still hold them for a call; they must not be the last to.
  std::vector<std::shared_ptr<Node>> stopped_;
  std::vector<std::unique_ptr<Network>> networks_;
};

absl::Time Soon();  // A deadline that nothing should miss.

}  // namespace keel::raft
