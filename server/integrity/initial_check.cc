#include "server/integrity/initial_check.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"

namespace keel::server {
namespace {

std::string Hex(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

absl::Status Differs(uint64_t member_id, uint64_t peer_id, const std::string& where) {
  return absl::DataLossError(absl::StrCat("found data inconsistency with peers: member ", Hex(member_id),
                                          " and its peer ", Hex(peer_id), " differ ", where,
                                          "; if it is this member that is wrong, remove it from the cluster and add it "
                                          "again with an empty data directory"));
}

void NotCompared(uint64_t peer_id, const std::string& why) {
  KEEL_LOG_WARN("initial corruption check: a peer was not compared", {{"peer", Hex(peer_id)}, {"reason", why}});
}

}  // namespace

absl::Status CheckAgainstPeers(uint64_t member_id, const storage::StateStore& store, IntegrityPeers* peers) {
  const std::vector<storage::HashSample> samples = store.hash_samples();
  std::optional<storage::HashResult> own;  // Once somebody is there to be compared with: it reads the whole history.
  int compared = 0;
  for (const storage::MemberRecord& peer : store.members()) {
    if (peer.id == member_id) continue;
    const auto said = peers->StateHashes(peer);
    if (!said.ok()) {
      NotCompared(peer.id, said.status().ToString());
      continue;
    }
    for (const storage::HashSample& sample : *said) {
      const auto ours = std::find_if(samples.begin(), samples.end(),
                                     [&](const storage::HashSample& s) { return s.index == sample.index; });
      if (ours != samples.end() && ours->hash != sample.hash) {
        return Differs(member_id, peer.id, absl::StrCat("in what they hold after entry ", sample.index));
      }
    }
    if (!own.has_value()) {
      KEEL_ASSIGN_OR_RETURN(own, store.HashKv(storage::Revision(0)));
    }
    const storage::HashResult& history = *own;
    const auto theirs = peers->HistoryHash(peer, history.hash_revision.value());
    if (!theirs.ok()) {
      NotCompared(peer.id, theirs.status().ToString());
    } else if (theirs->compact_revision != history.compact_revision.value()) {
      NotCompared(peer.id, absl::StrCat("compacted at ", theirs->compact_revision, ", this member at ",
                                        history.compact_revision.value()));
    } else if (theirs->hash != history.hash) {
      return Differs(member_id, peer.id,
                     absl::StrCat("in their history up to revision ", history.hash_revision.value()));
    } else {
      ++compared;
    }
  }
  KEEL_LOG_INFO("initial corruption check passed",
                {{"revision", store.current_revision()}, {"peers-compared", static_cast<int64_t>(compared)}});
  return absl::OkStatus();
}

}  // namespace keel::server
