// Clients watch and observe.

#include "tests/sim_full/client_call.h"

namespace keel::sim {

void Client::TendWatches() {
  world_.At(random_.Between(50 * kMillisecond, kSecond), [this] { TendWatches(); });
  for (size_t i = 0; i < watches_.size(); ++i) {
    Watch& watch = *watches_[i];
    if (!watch.checker.is_open()) {
      OpenWatch(i);
    } else if (shared_.faults && random_.Chance(0.05)) {
      watch.checker.Close();
    } else if (random_.Chance(0.2)) {
      watch.checker.RequestProgress();
    }
  }
  if (observation_ == nullptr && shared_.open) Observe();
}

void Client::OpenWatch(size_t i) {
  Replica& replica = PickReplica();
  if (!replica.is_up() || replica.is_paused()) return;
  Watch& watch = *watches_[i];
  watch.node = replica.node();
  const uint64_t stream = ++watch.stream;
  const auto ready = [this, i, stream, &replica] {
    // A slow client now and then.
    const bool slow = shared_.faults && random_.Chance(0.2);
    replica.After(random_.Between(0, slow ? kSecond : kMillisecond), [this, i, stream] { ReadWatch(i, stream); });
  };
  watch.checker.Open(replica.hub().OpenStream(ready));
  replica.PollSoon();
  // What was queued before anybody asked.
  replica.After(0, [this, i, stream] { ReadWatch(i, stream); });
}

void Client::ReadWatch(size_t i, uint64_t stream) {
  Watch& watch = *watches_[i];
  if (watch.stream != stream || !watch.checker.is_open()) return;
  watch.checker.Read();
  shared_.replicas[static_cast<size_t>(watch.node - 1)]->PollSoon();
}

void Client::RefreshWatches() {
  for (size_t i = 0; i < watches_.size(); ++i) {
    if (!watches_[i]->checker.is_open()) {
      OpenWatch(i);
    } else {
      watches_[i]->checker.RequestProgress();
      ReadWatch(i, watches_[i]->stream);
    }
  }
}

bool Client::WatchesAreAt(int64_t revision) const {
  return std::all_of(watches_.begin(), watches_.end(),
                     [revision](const auto& watch) { return watch->checker.has_all(revision); });
}

std::string Client::WatchesText() const {
  std::string text;
  for (const auto& watch : watches_) {
    absl::StrAppend(&text, " ", watch->checker.next(), watch->checker.is_open() ? "" : " (closed)", "@", watch->node);
  }
  return text;
}

void Client::OnMemberStopping(int node) {
  for (const auto& watch : watches_) {
    if (watch->node == node) watch->checker.Close();
  }
  if (observation_node_ == node) {
    ++observation_generation_;
    observation_.reset();
  }
  if (pending_node_ == node) pending_.reset();
}

void Client::ForgetStreams() {
  for (const auto& watch : watches_) watch->checker.Close();
  ++observation_generation_;
  observation_.reset();
  pending_.reset();
}

void Client::Observe() {
  Replica& replica = PickReplica();
  if (!replica.is_up() || replica.is_paused()) return;
  v3electionpb::LeaderRequest request;
  request.set_name("vote");
  observation_node_ = replica.node();
  observed_create_ = 0;
  observation_ = replica.election().Observe(request);
  NextObserved(observation_, ++observation_generation_);
  replica.PollSoon();
}

void Client::NextObserved(std::shared_ptr<server::Observation> observation, uint64_t generation) {
  observation->Next([this, generation](const absl::StatusOr<v3electionpb::LeaderResponse>& response) {
    if (generation != observation_generation_) return;
    if (!response.ok()) {
      world_.At(1, [this, generation] {
        if (generation == observation_generation_) observation_.reset();
      });
      return;
    }
    const mvccpb::KeyValue& kv = response->kv();
    const auto pair = oracle_.model().PairAt(kv.key(), kv.mod_revision());
    const auto oldest = oracle_.model().OldestUnder("vote/", response->header().revision());
    observed_.Require(pair.has_value() && pair->mod == kv.mod_revision() && pair->value == kv.value() &&
                          kv.create_revision() >= observed_create_ && oldest.has_value() && oldest->first == kv.key(),
                      [&] {
                        return absl::StrCat("observed ", response->ShortDebugString(), " after a leader of ",
                                            observed_create_);
                      });
    observed_create_ = kv.create_revision();
    world_.At(random_.Between(1, 100 * kMillisecond), [this, generation] {
      if (generation != observation_generation_ || observation_ == nullptr) return;
      NextObserved(observation_, generation);
      Replica& replica = *shared_.replicas[static_cast<size_t>(observation_node_ - 1)];
      if (replica.is_up()) replica.PollSoon();
    });
  });
}

}  // namespace keel::sim
