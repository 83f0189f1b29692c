// What a replica does with its state now and then, and what must be true of it whenever that happens.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim_full/replica_parts.h"

namespace keel::sim {

void Replica::FlushState() {
  if (random_.Chance(0.5)) {
    medium_->FlushInBackground([this](size_t unflushed) { return random_.Below(unflushed + 1); });
  } else if (const absl::Status status = store().Flush(); !status.ok()) {
    Fail(status);
  }
}

void Replica::CompactSome() {
  const auto more = store().CompactStep(options_.compact_step);
  if (!more.ok()) Fail(more.status());
}

void Replica::CheckRestartEquivalence() {
  const auto image = medium_->DurableImage();
  auto twin = storage::StateStore::Open(StateOptionsOn(image));
  restart_equal_.Require(twin.ok(), [&] { return std::string(twin.status().ToString()); });
  server::Proposer::Options proposer_options;
  proposer_options.drive = Drive::kOwner;
  proposer_options.seed = 0;
  const auto proposer = server::Proposer::Create(proposer_options, 0, clock_.get());
  server::WatchHub::Options hub_options;
  hub_options.drive = Drive::kOwner;
  hub_options.seed = 0;
  const auto hub = server::WatchHub::Create(hub_options, twin->get(), clock_.get());
  const auto leases =
      server::LeaseKeeper::Create({.drive = Drive::kOwner}, raft::MemberId(1), clock_.get(), twin->get());
  const auto applier = server::Applier::Create({}, twin->get(), proposer.get(), hub.get(), leases.get());
  std::vector<raft::Entry> entries;
  world_.Trace(node_, " durable at ", (*twin)->applied().index, " of ", store().applied().index);
  for (uint64_t i = (*twin)->applied().index + 1; i <= store().applied().index; ++i) {
    entries.push_back(oracle_.EntryAt(i));
  }
  const absl::Status replayed = applier->Apply(entries);
  const auto mine = store().HashKv(storage::Revision(0));
  const auto twins = (*twin)->HashKv(storage::Revision(0));
  const auto same = [](const storage::LeaseRecord& a, const storage::LeaseRecord& b) {
    return a.id == b.id && a.granted_ttl == b.granted_ttl && a.remaining_ttl == b.remaining_ttl &&
           a.grant_index == b.grant_index;
  };
  const auto my_leases = store().Leases();
  const auto twins_leases = (*twin)->Leases();
  restart_equal_.Require(
      replayed.ok() && mine.ok() && twins.ok() && mine->hash == twins->hash &&
          (*twin)->applied() == store().applied() &&
          std::equal(my_leases.begin(), my_leases.end(), twins_leases.begin(), twins_leases.end(), same),
      [&] {
        return absl::StrCat("member ", node_, " after a replay from its disk is another: ", replayed.ToString(),
                            ", at ", (*twin)->applied().index, " instead of ", store().applied().index, ", hash ",
                            twins.ok() ? twins->hash : 0, " instead of ", mine.ok() ? mine->hash : 0, ", leases ",
                            twins_leases.size(), " instead of ", my_leases.size());
      });
}

void Replica::CheckSnapshotEquivalence() {
  const std::string path = absl::StrCat("/scratch/", ++snapshots_);
  const auto position = store().Checkpoint(path);
  snapshot_equal_.Require(position.ok() && *position == store().applied(),
                          [&] { return absl::StrCat("member ", node_, " makes a checkpoint of another position"); });
  const auto other = std::make_shared<storage::MemoryMedium>();
  auto restored = storage::StateStore::Open(StateOptionsOn(other));
  absl::Status status = medium_->CopyTo(path, "/incoming/snapshot", other.get());
  (void)medium_->Remove(path);
  if (status.ok()) status = (*restored)->Install("/incoming/snapshot");
  const auto mine = store().HashKv(storage::Revision(0));
  const auto theirs = (*restored)->HashKv(storage::Revision(0));
  snapshot_equal_.Require(status.ok() && mine.ok() && theirs.ok() && mine->hash == theirs->hash &&
                              (*restored)->cluster_id() == kClusterId &&
                              (*restored)->members().size() == store().members().size(),
                          [&] { return absl::StrCat("member ", node_, "'s snapshot holds another state"); });
  oracle_.CheckState(node_, **restored);
}

}  // namespace keel::sim
