#pragma once

// The parts of one member above Raft, for real, around a fake node: state store in a temporary directory, proposer,
// applier, watch hub and lease keeper.

#include <gtest/gtest.h>

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "server/apply/applier.h"
#include "server/lease/lease_keeper.h"
#include "server/member.h"
#include "server/proposer.h"
#include "server/watch/watch_hub.h"
#include "storage/state/state_store.h"
#include "tests/apply/fake_clock.h"
#include "tests/apply/fake_node.h"

namespace keel::server {

// A result that another thread delivers. Copyable; give a copy to the callback.
template <typename T>
class Awaited {
 public:
  void Set(T value) const {
    std::lock_guard<std::mutex> lock(state_->mutex);
    KEEL_CHECK(!state_->value.has_value()) << "completed twice";
    state_->value = std::move(value);
    state_->changed.notify_all();
  }
  bool IsSet() const {
    std::lock_guard<std::mutex> lock(state_->mutex);
    return state_->value.has_value();
  }
  // Waits, with a generous deadline.
  T Get() const {
    std::unique_lock<std::mutex> lock(state_->mutex);
    const bool set =
        state_->changed.wait_for(lock, std::chrono::seconds(30), [this] { return state_->value.has_value(); });
    KEEL_CHECK(set) << "no result after 30 s";
    return *state_->value;
  }
  bool WaitFor(std::chrono::milliseconds time) const {
    std::unique_lock<std::mutex> lock(state_->mutex);
    return state_->changed.wait_for(lock, time, [this] { return state_->value.has_value(); });
  }

 private:
  struct State {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<T> value;
  };
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// Waits for what no callback tells.
template <typename Condition>
bool Eventually(Condition condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

class TemporaryDir {
 public:
  TemporaryDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "keel-apply-XXXXXX").string();
    KEEL_CHECK(mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TemporaryDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct OneMemberOptions {
  Applier::Options applier;
  Proposer::Options proposer = {.timer_tick = absl::Milliseconds(5)};
  LeaseKeeper::Options leases = {.check_interval = absl::Milliseconds(10)};
};

class OneMember {
 public:
  explicit OneMember(OneMemberOptions options = {}) {
    auto opened = storage::StateStore::Open({.dir = dir_.path() + "/state"});
    KEEL_CHECK_OK(opened);
    store_ = std::move(*opened);
    KEEL_CHECK_OK(store_->Bootstrap({.cluster_id = 7, .members = {{.id = 1, .name = "m1"}}}));
    options.applier.incoming_dir = dir_.path() + "/incoming";
    proposer_ = Proposer::Create(options.proposer, 1, &clock_);
    watch_ = WatchHub::Create({}, store_.get(), &clock_);
    leases_ = LeaseKeeper::Create(options.leases, raft::MemberId{1}, &clock_, store_.get());
    applier_ = Applier::Create(options.applier, store_.get(), proposer_.get(), watch_.get(), leases_.get());
    watch_->Start();
    node_ = std::make_unique<FakeNode>(applier_.get(), raft::MemberId{1}, raft::Index{2});
    proposer_->Attach(node_.get());
    leases_->Attach(node_.get(), proposer_.get(), nullptr);
    leases_->Start();
    member_ = {.cluster_id = 7,
               .member_id = 1,
               .name = "m1",
               .clock = &clock_,
               .node = node_.get(),
               .store = store_.get(),
               .proposer = proposer_.get(),
               .watch = watch_.get(),
               .leases = leases_.get()};
  }
  ~OneMember() {
    leases_->Stop();
    watch_->Stop();
    proposer_->Stop();
    node_->Stop();
    KEEL_CHECK_OK(node_->apply_status());
    KEEL_CHECK_OK(store_->Close());
  }

  FakeClock& clock() { return clock_; }
  FakeNode& node() { return *node_; }
  storage::StateStore& store() { return *store_; }
  Proposer& proposer() { return *proposer_; }
  LeaseKeeper& leases() { return *leases_; }
  WatchHub& watch() { return *watch_; }
  Applier& applier() { return *applier_; }
  const Member* member() const { return &member_; }
  const std::string& dir() const { return dir_.path(); }

  // Proposes and waits.
  absl::StatusOr<ApplyResult> Submit(command::Command command) {
    Awaited<absl::StatusOr<ApplyResult>> result;
    proposer_->Submit(std::move(command), clock_.Now() + absl::Seconds(7),
                      [result](absl::StatusOr<ApplyResult> applied) { result.Set(std::move(applied)); });
    return result.Get();
  }
  ApplyResult Apply(command::Command command) {
    auto result = Submit(std::move(command));
    KEEL_CHECK_OK(result);
    return *std::move(result);
  }
  ApplyResult Put(std::string key, std::string value, int64_t lease = 0) {
    command::Command command;
    command.mutable_put()->set_key(std::move(key));
    command.mutable_put()->set_value(std::move(value));
    command.mutable_put()->set_lease(lease);
    return Apply(std::move(command));
  }
  ApplyResult Delete(std::string key) {
    command::Command command;
    command.mutable_delete_range()->set_key(std::move(key));
    return Apply(std::move(command));
  }
  ApplyResult Grant(int64_t id, int64_t ttl) {
    command::Command command;
    command.mutable_lease_grant()->set_id(id);
    command.mutable_lease_grant()->set_ttl(ttl);
    return Apply(std::move(command));
  }
  ApplyResult Revoke(int64_t id) {
    command::Command command;
    command.mutable_lease_revoke()->set_id(id);
    return Apply(std::move(command));
  }
  bool Has(std::string_view key) {
    auto facts = store_->View().Find(key);
    KEEL_CHECK_OK(facts);
    return facts->has_value();
  }

 private:
  TemporaryDir dir_;
  FakeClock clock_;
  std::unique_ptr<storage::StateStore> store_;
  std::unique_ptr<Proposer> proposer_;
  std::unique_ptr<WatchHub> watch_;
  std::unique_ptr<LeaseKeeper> leases_;
  std::unique_ptr<Applier> applier_;
  std::unique_ptr<FakeNode> node_;
  Member member_;
};

}  // namespace keel::server
