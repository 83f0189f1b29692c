#pragma once

// A StateStore that keeps the whole history of a keyspace in memory: what the hub needs of one, and no more.

#include <atomic>
#include <cstdlib>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "proto/kv.pb.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"

namespace keel::server {

// Thread-safe. Writes belong to one thread.
class MemoryStore final : public storage::StateStore {
 public:
  // One operation of a revision: a value puts, none deletes.
  struct Change {
    std::string key;
    std::optional<std::string> value;
  };

  // Executes a txn; null when it changed nothing.
  storage::RevisionEventsPtr Apply(const std::vector<Change>& changes) {
    absl::MutexLock lock(&mu_);
    auto events = std::make_shared<storage::RevisionEvents>();
    events->revision = revision_ + 1;
    int32_t sub = 0;
    for (const Change& change : changes) {
      auto live = live_.find(change.key);
      if (!change.value.has_value() && live == live_.end()) continue;
      storage::Event event;
      event.key = change.key;
      event.change = {events->revision, sub++};
      mvccpb::KeyValue kv;
      kv.set_key(change.key);
      kv.set_mod_revision(events->revision.value());
      if (live != live_.end()) event.previous = live->second.change;
      if (change.value.has_value()) {
        const bool exists = live != live_.end();
        kv.set_create_revision(exists ? live->second.kv.create_revision() : events->revision.value());
        kv.set_version(exists ? live->second.kv.version() + 1 : 1);
        kv.set_value(*change.value);
        live_[change.key] = {event.change, kv};
      } else {
        event.type = storage::Event::Type::kDelete;
        live_.erase(live);
      }
      event.kv = std::make_shared<const std::string>(kv.SerializeAsString());
      records_[event.change] = event.kv;
      events->bytes += event.key.size() + event.kv->size() + 100;
      events->events.push_back(std::move(event));
    }
    if (events->events.empty()) return nullptr;
    revision_ = events->revision;
    history_[revision_] = events;
    return events;
  }
  storage::RevisionEventsPtr Put(const std::string& key, const std::string& value) { return Apply({{key, value}}); }
  storage::RevisionEventsPtr Delete(const std::string& key) { return Apply({{key, std::nullopt}}); }

  void Compact(int64_t revision) {
    absl::MutexLock lock(&mu_);
    compact_ = storage::Revision(revision);
    history_.erase(history_.begin(), history_.lower_bound(compact_));
  }

  // Reading history stands still, or fails, from now on.
  void HoldHistory(bool hold) {
    absl::MutexLock lock(&mu_);
    hold_history_ = hold;
  }
  void FailHistory(absl::Status status) {
    absl::MutexLock lock(&mu_);
    history_failure_ = std::move(status);
  }
  int64_t history_reads() const { return history_reads_; }

  storage::Revision current_revision() const override {
    absl::MutexLock lock(&mu_);
    return revision_;
  }
  storage::Revision compact_revision() const override {
    absl::MutexLock lock(&mu_);
    return compact_;
  }
  absl::StatusOr<std::shared_ptr<const std::string>> RecordAt(storage::ChangeId change) const override {
    absl::MutexLock lock(&mu_);
    const auto found = records_.find(change);
    if (found == records_.end()) return absl::NotFoundError("compacted");
    return found->second;
  }
  absl::StatusOr<std::vector<storage::RevisionEventsPtr>> History(storage::Revision first, storage::Revision last,
                                                                  size_t bytes_max) const override {
    absl::MutexLock lock(&mu_);
    ++history_reads_;
    auto flowing = [this]() { return !hold_history_; };
    mu_.Await(absl::Condition(&flowing));
    if (!history_failure_.ok()) return history_failure_;
    if (first < compact_) return absl::OutOfRangeError("compacted");
    std::vector<storage::RevisionEventsPtr> read;
    size_t bytes = 0;
    for (auto at = history_.lower_bound(first); at != history_.end() && at->first <= last && bytes < bytes_max; ++at) {
      bytes += at->second->bytes;
      read.push_back(at->second);
    }
    return read;
  }

  // --- Not for the hub.
  absl::Status Bootstrap(const storage::Founding&) override { std::abort(); }
  absl::Status Refound(const storage::Founding&) override { std::abort(); }
  bool bootstrapped() const override { return true; }
  uint64_t cluster_id() const override { return 1; }
  storage::AppliedPosition applied() const override { return {}; }
  storage::AppliedPosition durable_applied() const override { return {}; }
  storage::StateSizes sizes() const override { return {}; }
  std::vector<storage::MemberRecord> members() const override { return {}; }
  storage::StoredMembership membership() const override { return {}; }
  std::vector<uint64_t> removed_members() const override { return {}; }
  std::vector<etcdserverpb::AlarmMember> alarms() const override { return {}; }
  storage::ReadView View() const override { std::abort(); }
  std::optional<storage::LeaseRecord> Lease(storage::LeaseId) const override { return std::nullopt; }
  std::vector<storage::LeaseRecord> Leases() const override { return {}; }
  std::vector<std::string> LeaseKeys(storage::LeaseId) const override { return {}; }
  absl::StatusOr<storage::HashResult> HashKv(storage::Revision) const override { std::abort(); }
  std::vector<storage::HashSample> hash_samples() const override { return {}; }
  absl::Status AdvanceRevision(storage::Revision) override { std::abort(); }
  storage::ApplyBatch BeginBatch() override { std::abort(); }
  absl::StatusOr<bool> CompactStep(int64_t) override { return false; }
  absl::StatusOr<bool> CheckpointIndexStep() override { return false; }
  storage::Revision compacted_physically() const override { return compact_revision(); }
  absl::Status Flush() override { return absl::OkStatus(); }
  void SetFlushListener(std::function<void()>) override {}
  absl::StatusOr<storage::AppliedPosition> Checkpoint(const std::string&) override { std::abort(); }
  absl::Status Install(const std::string&) override { std::abort(); }
  absl::Status Close() override { return absl::OkStatus(); }

 private:
  struct Live {
    storage::ChangeId change;
    mvccpb::KeyValue kv;
  };

  mutable absl::Mutex mu_;
  storage::Revision revision_ ABSL_GUARDED_BY(mu_){1};
  storage::Revision compact_ ABSL_GUARDED_BY(mu_){-1};
  std::map<std::string, Live> live_ ABSL_GUARDED_BY(mu_);
  std::map<storage::Revision, storage::RevisionEventsPtr> history_ ABSL_GUARDED_BY(mu_);
  std::map<storage::ChangeId, std::shared_ptr<const std::string>> records_ ABSL_GUARDED_BY(mu_);
  bool hold_history_ ABSL_GUARDED_BY(mu_) = false;
  absl::Status history_failure_ ABSL_GUARDED_BY(mu_);
  mutable std::atomic<int64_t> history_reads_{0};
};

}  // namespace keel::server
