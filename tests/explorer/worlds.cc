#include <algorithm>

#include "tests/explorer/explorer.h"

namespace keel::explorer {

const std::vector<World>& Worlds() {
  using raft::MemberId;
  static const std::vector<World> worlds = [] {
    std::vector<World> all;
    {
      World& w = all.emplace_back();
      w.name = "elections";
      w.description = "from nothing: competing candidates, slow disks, a crash, a repeated message";
      w.quick_votes = false;
      w.slow_disks = true;
      w.terms_max = 2;
      w.timeouts_max = 3;
      w.crashes_max = 1;
      w.duplicates_max = 1;
    }
    {
      World& w = all.emplace_back();
      w.name = "votes";
      w.description = "the same without pre-votes, thus deeper";
      w.slow_disks = true;
      w.terms_max = 3;
      w.timeouts_max = 3;
      w.crashes_max = 1;
      w.duplicates_max = 1;
    }
    {
      World& w = all.emplace_back();
      w.name = "replication";
      w.description = "a leader with two proposals, slow disks, a crash, a successor";
      w.elect_first = true;
      w.slow_disks = true;
      w.terms_max = 2;
      w.timeouts_max = 2;
      w.proposals_max = 2;
      w.crashes_max = 1;
      w.duplicates_max = 1;
      w.drops_max = 1;
    }
    {
      World& w = all.emplace_back();
      w.name = "figure-8";
      w.description = "logs that differ as in figure 8 of the paper, with two more terms to come";
      w.members[0] = {.log = {1, 2}, .term = 3, .commit = 1};
      w.members[1] = {.log = {1, 2}, .term = 3, .commit = 1};
      w.members[2] = {.log = {1, 3}, .term = 3, .vote = 3, .commit = 1};
      w.members[1].log = {1};
      w.terms_max = 5;
      w.timeouts_max = 3;
      w.crashes_max = 1;
      w.beats_max = 1;
    }
    {
      World& w = all.emplace_back();
      w.name = "tails";
      w.description = "uncommitted tails of different terms and lengths";
      w.members[0] = {.log = {1, 1, 1, 1}, .term = 4, .commit = 1};
      w.members[1] = {.log = {1, 1, 3}, .term = 4, .commit = 1};
      w.members[2] = {.log = {1, 2, 2}, .term = 4, .commit = 1};
      w.terms_max = 6;
      w.timeouts_max = 3;
      w.beats_max = 1;
      w.duplicates_max = 1;
      w.slow_disks = true;
    }
    {
      World& w = all.emplace_back();
      w.name = "removal";
      w.description = "a member is removed while a proposal is on its way and leadership may change";
      w.elect_first = true;
      w.terms_max = 3;
      w.timeouts_max = 2;
      w.proposals_max = 1;
      w.beats_max = 1;
      w.change.remove = {MemberId(3)};
    }
    {
      World& w = all.emplace_back();
      w.name = "self-removal";
      w.description = "a leader removes itself";
      w.elect_first = true;
      w.terms_max = 3;
      w.timeouts_max = 2;
      w.beats_max = 1;
      w.change.remove = {MemberId(1)};
    }
    {
      World& w = all.emplace_back();
      w.name = "replacement";
      w.description = "one voter takes another's place in one step, by joint consensus";
      w.voters = {1, 2};
      w.base = 1;
      w.elect_first = true;
      w.terms_max = 3;
      w.timeouts_max = 2;
      w.beats_max = 1;
      w.change.add_voters = {MemberId(3)};
      w.change.remove = {MemberId(2)};
    }
    {
      World& w = all.emplace_back();
      w.name = "snapshot";
      w.description = "a follower that is behind its leader's log, while leadership may change";
      w.members[0] = {.log = {1, 1, 1}, .term = 1, .commit = 3};
      w.members[1] = {.log = {1, 1, 1}, .term = 1, .commit = 2};
      w.members[2] = {.log = {1}, .term = 1, .commit = 1};
      w.terms_max = 3;
      w.timeouts_max = 3;
      w.beats_max = 1;
      w.snapshots_max = 1;
      w.crashes_max = 1;
      w.duplicates_max = 1;
    }
    return all;
  }();
  return worlds;
}

const World* FindWorld(std::string_view name) {
  const auto it =
      std::find_if(Worlds().begin(), Worlds().end(), [&](const World& world) { return world.name == name; });
  return it == Worlds().end() ? nullptr : &*it;
}

}  // namespace keel::explorer
