#pragma once

// Peers that say what the test wants them to say.

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "absl/synchronization/mutex.h"
#include "server/integrity/integrity_checker.h"

namespace keel::server {

class ToldPeers final : public IntegrityPeers {
 public:
  struct Told {
    absl::Mutex mu;
    std::map<uint64_t, std::vector<storage::HashSample>> samples ABSL_GUARDED_BY(mu);
    std::map<uint64_t, History> histories ABSL_GUARDED_BY(mu);
    int asked ABSL_GUARDED_BY(mu) = 0;
  };

  explicit ToldPeers(std::shared_ptr<Told> told) : told_(std::move(told)) {}

  absl::StatusOr<std::vector<storage::HashSample>> StateHashes(const storage::MemberRecord& peer) override {
    absl::MutexLock lock(&told_->mu);
    ++told_->asked;
    const auto it = told_->samples.find(peer.id);
    if (it == told_->samples.end()) return absl::UnavailableError("down");
    return it->second;
  }
  absl::StatusOr<History> HistoryHash(const storage::MemberRecord& peer, int64_t /*revision*/) override {
    absl::MutexLock lock(&told_->mu);
    const auto it = told_->histories.find(peer.id);
    if (it == told_->histories.end()) return absl::OutOfRangeError("not yet");
    return it->second;
  }
  void Stop() override {}

 private:
  const std::shared_ptr<Told> told_;
};

}  // namespace keel::server
