#include "server/bootstrap.h"

#include <algorithm>
#include <filesystem>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "server/reconcile.h"

namespace keel::server {
namespace {

namespace fs = std::filesystem;

std::string HexId(uint64_t id) { return absl::StrCat(absl::Hex(id)); }

struct InitialIds {
  uint64_t cluster_id = 0;
  std::vector<storage::MemberRecord> members;
  std::optional<uint64_t> self;  // By name.
};

InitialIds ComputeIds(const Config& config) {
  InitialIds ids;
  std::vector<uint64_t> member_ids;
  for (const InitialMember& initial : config.initial_cluster) {
    storage::MemberRecord member;
    member.id = ComputeMemberId(initial.peer_urls, config.initial_cluster_token);
    for (const Url& url : initial.peer_urls) member.peer_urls.push_back(url.ToString());
    if (initial.name == config.name) ids.self = member.id;
    member_ids.push_back(member.id);
    ids.members.push_back(std::move(member));
  }
  std::sort(ids.members.begin(), ids.members.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  ids.cluster_id = ComputeClusterId(std::move(member_ids));
  return ids;
}

absl::Status Refused(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat("data directory ", path, " ", why));
}

// Before the directory is even created: a mistake in the flags leaves no trace.
absl::Status CheckFirstStart(const Config& config) {
  std::error_code ignored;
  if (fs::exists(fs::path(config.data_dir) / "MEMBER", ignored)) return absl::OkStatus();
  if (fs::exists(fs::path(config.data_dir) / "member" / "wal", ignored)) {
    return Refused(config.data_dir,
                   "holds the data of an etcd member, which Keel does not read; name another --data-dir and copy the "
                   "keys over the network");
  }
  if (config.initial_cluster_state == InitialClusterState::kExisting) {
    return Refused(config.data_dir,
                   "holds no member, and this version of Keel cannot join a running cluster "
                   "(--initial-cluster-state=existing); restore the data or start a new cluster with 'new'");
  }
  return config.ValidateFirstStart();
}

absl::Status CheckIdentity(const Config& config, const storage::MemberIdentity& identity) {
  if (!config.initial_cluster_given || config.initial_cluster_state != InitialClusterState::kNew) {
    return absl::OkStatus();
  }
  constexpr const char kAdvice[] =
      "; name another --data-dir, or start with --initial-cluster-state=existing to go on with this data";
  const InitialIds wanted = ComputeIds(config);
  if (wanted.cluster_id != identity.cluster_id) {
    return Refused(config.data_dir,
                   absl::StrCat("belongs to cluster ", HexId(identity.cluster_id),
                                ", but the flags ask for a new cluster ", HexId(wanted.cluster_id), kAdvice));
  }
  if (wanted.self && *wanted.self != identity.member_id) {
    return Refused(config.data_dir, absl::StrCat("belongs to member ", HexId(identity.member_id), " (", identity.name,
                                                 "), but the flags make this one member ", HexId(*wanted.self), " (",
                                                 config.name, ")", kAdvice));
  }
  return absl::OkStatus();
}

absl::Status CheckState(const std::string& path, const storage::MemberIdentity& identity,
                        const storage::StateStore& store) {
  if (!store.bootstrapped()) {
    return absl::DataLossError(absl::StrCat("data directory ", path,
                                            " has lost its state; remove it and let this member rejoin, or restore a "
                                            "snapshot"));
  }
  if (store.cluster_id() != identity.cluster_id) {
    return Refused(path, absl::StrCat("mixes two clusters: the member belongs to ", HexId(identity.cluster_id),
                                      ", the state to ", HexId(store.cluster_id()), "; restore one of them whole"));
  }
  const std::vector<storage::MemberRecord> members = store.members();
  if (std::none_of(members.begin(), members.end(), [&](const auto& m) { return m.id == identity.member_id; })) {
    return Refused(path,
                   absl::StrCat("belongs to member ", HexId(identity.member_id), ", which is not a member of cluster ",
                                HexId(identity.cluster_id), " any more; remove it to start afresh"));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<storage::RaftLog>> OpenLog(const storage::DataDir& dir,
                                                          storage::RaftLogObserver* observer) {
  return storage::RaftLog::Open({.dir = dir.log_dir(), .observer = observer});
}

absl::StatusOr<std::unique_ptr<storage::StateStore>> OpenStore(const storage::DataDir& dir) {
  return storage::StateStore::Open({.dir = dir.state_dir()});
}

// Opens log and state of a directory that has no identity yet. What an interrupted first start left is removed; but
// data that has been used is kept, since then it is the identity that got lost.
absl::Status OpenFresh(storage::RaftLogObserver* observer, Bootstrapped* out) {
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(*out->data_dir, observer));
  KEEL_ASSIGN_OR_RETURN(out->store, OpenStore(*out->data_dir));
  // A bootstrap stands at index 1.
  if (out->log->last_index().value() > 1 || out->store->applied().index > 1) {
    return absl::DataLossError(absl::StrCat("data directory ", out->data_dir->path(),
                                            " holds data but no file MEMBER that says whose; restore that file, or "
                                            "remove the directory and let this member rejoin"));
  }
  if (!out->store->bootstrapped()) return absl::OkStatus();
  KEEL_RETURN_IF_ERROR(out->store->Close());
  out->store.reset();
  out->log.reset();
  for (const std::string& dir : {out->data_dir->state_dir(), out->data_dir->log_dir()}) {
    std::error_code error;
    fs::remove_all(dir, error);
    if (error) return absl::FailedPreconditionError(absl::StrCat("cannot remove ", dir, ": ", error.message()));
  }
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(*out->data_dir, observer));
  KEEL_ASSIGN_OR_RETURN(out->store, OpenStore(*out->data_dir));
  return absl::OkStatus();
}

absl::Status StartFirstTime(const Config& config, storage::RaftLogObserver* observer, Bootstrapped* out) {
  KEEL_RETURN_IF_ERROR(OpenFresh(observer, out));
  const InitialIds ids = ComputeIds(config);
  out->identity = {.cluster_id = ids.cluster_id, .member_id = ids.self.value(), .name = config.name};
  KEEL_RETURN_IF_ERROR(out->store->Bootstrap({.cluster_id = ids.cluster_id, .members = ids.members}));
  KEEL_RETURN_IF_ERROR(out->data_dir->WriteIdentity(out->identity));
  KEEL_LOG_INFO("bootstrapped a new cluster", {{"cluster-id", HexId(out->identity.cluster_id)},
                                               {"local-member-id", HexId(out->identity.member_id)},
                                               {"initial-cluster", FormatInitialCluster(config.initial_cluster)}});
  return absl::OkStatus();
}

absl::Status Restart(const Config& config, storage::RaftLogObserver* observer, Bootstrapped* out) {
  out->identity = *out->data_dir->identity();
  KEEL_RETURN_IF_ERROR(CheckIdentity(config, out->identity));
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(*out->data_dir, observer));
  KEEL_ASSIGN_OR_RETURN(out->store, OpenStore(*out->data_dir));
  return CheckState(out->data_dir->path(), out->identity, *out->store);
}

raft::Membership MembershipOf(const std::vector<storage::MemberRecord>& members) {
  raft::Membership membership;
  for (const storage::MemberRecord& member : members) {
    (member.learner ? membership.learners : membership.voters).push_back(raft::MemberId{member.id});
  }
  std::sort(membership.voters.begin(), membership.voters.end());
  std::sort(membership.learners.begin(), membership.learners.end());
  return membership;
}

absl::StatusOr<std::vector<PeerAddress>> PeersOf(const std::vector<storage::MemberRecord>& members, uint64_t self) {
  std::vector<PeerAddress> peers;
  for (const storage::MemberRecord& member : members) {
    if (member.id == self) continue;
    PeerAddress peer{.id = raft::MemberId{member.id}};
    for (const std::string& text : member.peer_urls) {
      KEEL_ASSIGN_OR_RETURN(Url url, ParseUrl(text));
      peer.urls.push_back(std::move(url));
    }
    peers.push_back(std::move(peer));
  }
  return peers;
}

}  // namespace

absl::StatusOr<Bootstrapped> Bootstrap(const Config& config, storage::RaftLogObserver* observer) {
  KEEL_RETURN_IF_ERROR(CheckFirstStart(config));
  Bootstrapped out;
  KEEL_ASSIGN_OR_RETURN(out.data_dir, storage::DataDir::Open(config.data_dir));
  if (out.data_dir->identity()) {
    KEEL_RETURN_IF_ERROR(Restart(config, observer, &out));
  } else {
    KEEL_RETURN_IF_ERROR(StartFirstTime(config, observer, &out));
  }

  const std::vector<storage::MemberRecord> members = out.store->members();
  KEEL_ASSIGN_OR_RETURN(out.peers, PeersOf(members, out.identity.member_id));
  const storage::RaftLog::Recovered& log = out.log->recovered();
  KEEL_ASSIGN_OR_RETURN(Reconciled reconciled, Reconcile(log, out.store->applied(), MembershipOf(members)));
  if (reconciled.reset_log) {
    KEEL_LOG_WARN("the state is ahead of the log; the log continues after it",
                  {{"applied-index", out.store->applied().index}, {"log-last-index", log.last}});
    KEEL_RETURN_IF_ERROR(out.log->ResetTo(reconciled.initial.snapshot));
  }
  if (log.torn_bytes > 0) KEEL_LOG_INFO("cut an unfinished write off the log", {{"bytes", log.torn_bytes}});
  out.initial = std::move(reconciled.initial);
  KEEL_LOG_INFO("recovered", {{"cluster-id", HexId(out.identity.cluster_id)},
                              {"local-member-id", HexId(out.identity.member_id)},
                              {"term", out.initial.hard_state.term},
                              {"applied-index", out.initial.applied},
                              {"log-last-index", out.initial.last},
                              {"revision", out.store->current_revision()}});
  return out;
}

}  // namespace keel::server
