#include "server/integrity/compare.h"

#include <algorithm>
#include <map>

namespace keel::server {

Verdict CompareHashes(const std::vector<MemberHashes>& members, size_t cluster_members) {
  struct Saying {
    uint64_t member_id;
    uint64_t hash;
  };
  std::map<uint64_t, std::vector<Saying>> by_index;
  for (const MemberHashes& member : members) {
    for (const storage::HashSample& sample : member.samples) {
      by_index[sample.index].push_back({member.member_id, sample.hash});
    }
  }
  Verdict verdict;
  const std::vector<Saying>* sayings = nullptr;
  for (const auto& [index, said] : by_index) {
    // In the order of `members`, so the asker comes first if at all.
    if (said.front().member_id != members.front().member_id) continue;
    if (said.size() < 2 || said.size() < verdict.compared) continue;
    verdict.index = index;
    verdict.compared = said.size();
    sayings = &said;
  }
  if (sayings == nullptr) return verdict;

  std::map<uint64_t, size_t> votes;
  for (const Saying& saying : *sayings) ++votes[saying.hash];
  verdict.differ = votes.size() > 1;
  if (!verdict.differ) return verdict;
  for (const auto& [hash, count] : votes) {
    if (count * 2 <= cluster_members) continue;
    for (const Saying& saying : *sayings) {
      if (saying.hash != hash) verdict.suspects.push_back(saying.member_id);
    }
  }
  std::sort(verdict.suspects.begin(), verdict.suspects.end());
  return verdict;
}

}  // namespace keel::server
