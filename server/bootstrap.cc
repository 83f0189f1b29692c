#include "server/bootstrap.h"

#include <algorithm>
#include <filesystem>
#include <future>
#include <optional>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/log.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "proto/command.pb.h"
#include "raft/membership.h"
#include "server/peer/member_forward.h"
#include "server/reconcile.h"
#include "server/stored_membership.h"

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

bool HasIdentity(const Config& config) {
  std::error_code ignored;
  return fs::exists(fs::path(config.data_dir) / "MEMBER", ignored);
}

// Before the directory is even created: a mistake in the flags leaves no trace.
absl::Status CheckFirstStart(const Config& config) {
  if (HasIdentity(config)) return absl::OkStatus();
  std::error_code ignored;
  if (fs::exists(fs::path(config.data_dir) / "member" / "wal", ignored)) {
    return Refused(config.data_dir,
                   "holds the data of an etcd member, which Keel does not read; name another --data-dir and copy the "
                   "keys over the network");
  }
  if (config.force_new_cluster) {
    return Refused(config.data_dir, "holds no member that --force-new-cluster could go on with");
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

absl::Status CheckState(const std::string& path, const storage::MemberIdentity& identity, const storage::RaftLog& log,
                        const storage::StateStore& store) {
  if (!store.bootstrapped()) {
    // One that joins has nothing until its first snapshot.
    if (log.last_index().value() == 0) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat("data directory ", path,
                                            " has lost its state; remove it and let this member rejoin, or restore a "
                                            "snapshot"));
  }
  if (store.cluster_id() != identity.cluster_id) {
    return Refused(path, absl::StrCat("mixes two clusters: the member belongs to ", HexId(identity.cluster_id),
                                      ", the state to ", HexId(store.cluster_id()), "; restore one of them whole"));
  }
  const std::vector<uint64_t> removed = store.removed_members();
  if (std::binary_search(removed.begin(), removed.end(), identity.member_id)) return RemovedError(identity.member_id);
  return absl::OkStatus();
}

absl::Status CheckLearners(const Config& config, const storage::StateStore& store) {
  const std::vector<storage::MemberRecord> members = store.members();
  const auto learners =
      std::count_if(members.begin(), members.end(), [](const auto& member) { return member.learner; });
  if (learners <= config.max_learners) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat("the cluster has ", learners, " learners but --max-learners is ",
                                                    config.max_learners, "; raise it"));
}

absl::StatusOr<std::unique_ptr<storage::RaftLog>> OpenLog(const Config& config, const storage::DataDir& dir,
                                                          storage::RaftLogObserver* observer) {
  storage::RaftLogOptions options{.dir = dir.log_dir(), .segment_bytes = config.log_segment_bytes};
  options.hasty_segment_bytes = std::min(options.hasty_segment_bytes, options.segment_bytes);
  options.observer = observer;
  return storage::RaftLog::Open(options);
}

absl::StatusOr<std::unique_ptr<storage::StateStore>> OpenStore(const storage::DataDir& dir) {
  return storage::StateStore::Open({.dir = dir.state_dir()});
}

// Opens log and state of a directory that has no identity yet. What an interrupted first start left is removed; but
// data that has been used is kept, since then it is the identity that got lost.
absl::Status OpenFresh(const Config& config, storage::RaftLogObserver* observer, Bootstrapped* out) {
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(config, *out->data_dir, observer));
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
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(config, *out->data_dir, observer));
  KEEL_ASSIGN_OR_RETURN(out->store, OpenStore(*out->data_dir));
  return absl::OkStatus();
}

// --- Asking the other members.

constexpr absl::Duration kAskTimeout = absl::Seconds(1);

// Asks all at once and returns when all have been answered.
template <typename Question, typename Ask>
auto AskAll(const std::vector<Question>& questions, Ask ask) {
  using Answer = decltype(ask(questions[0]));
  std::vector<std::future<Answer>> asked;
  for (const Question& question : questions) {
    asked.push_back(std::async(std::launch::async, [&ask, &question] { return ask(question); }));
  }
  std::vector<Answer> answers;
  for (auto& answer : asked) answers.push_back(answer.get());
  return answers;
}

std::vector<Url> UrlsOfOthers(const Config& config) {
  std::vector<Url> urls;
  for (const InitialMember& member : config.initial_cluster) {
    if (member.name != config.name) urls.insert(urls.end(), member.peer_urls.begin(), member.peer_urls.end());
  }
  return urls;
}

// What the members of the configuration say, the one that knows most first; those that know nothing are left out.
std::vector<peer::ListResponse> AskMembers(const Config& config) {
  std::vector<peer::ListResponse> lists;
  for (auto& answer : AskAll(UrlsOfOthers(config), [](const Url& url) { return FetchMembers(url, kAskTimeout); })) {
    if (answer.ok() && answer->membership_index() > 0) lists.push_back(*std::move(answer));
  }
  std::stable_sort(lists.begin(), lists.end(),
                   [](const auto& a, const auto& b) { return a.membership_index() > b.membership_index(); });
  return lists;
}

bool HasStarted(const peer::ListResponse& list, uint64_t member_id) {
  return std::any_of(list.directories().begin(), list.directories().end(),
                     [member_id](const auto& directory) { return directory.member_id() == member_id; });
}

// A new cluster must not be one that runs already: this member's promises of then would be forgotten.
absl::Status CheckNotBootstrapped(const Config& config, const InitialIds& ids) {
  for (const peer::ListResponse& list : AskMembers(config)) {
    if (list.cluster_id() != ids.cluster_id || !HasStarted(list, *ids.self)) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        "member ", HexId(*ids.self), " has already been bootstrapped: it was a member of the running cluster ",
        HexId(list.cluster_id()),
        ", and what it promised there is lost with its data directory; remove the member and "
        "add it again, then start it with --initial-cluster-state=existing"));
  }
  return absl::OkStatus();
}

std::string Describe(const etcdserverpb::Member& member) {
  return absl::StrCat(HexId(member.id()), "=", absl::StrJoin(member.peerurls(), ","));
}

struct Joined {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  std::vector<PeerAddress> peers;
};

// Finds this member in the list of a running cluster by its peer URLs. --initial-cluster must be that list: a person
// who has another cluster in mind should hear of it now.
absl::StatusOr<Joined> FindInCluster(const Config& config, const peer::ListResponse& list) {
  const auto mismatch = [](const std::string& why) {
    return absl::FailedPreconditionError(absl::StrCat("error validating peerURLs: ", why));
  };
  if (static_cast<size_t>(list.members_size()) != config.initial_cluster.size()) {
    return mismatch(absl::StrCat("member count is unequal: --initial-cluster names ", config.initial_cluster.size(),
                                 " members, the cluster has ", list.members_size()));
  }
  Joined joined{.cluster_id = list.cluster_id(), .member_id = 0, .peers = {}};
  for (const etcdserverpb::Member& member : list.members()) {
    std::vector<std::string> urls(member.peerurls().begin(), member.peerurls().end());
    std::sort(urls.begin(), urls.end());
    const auto found = std::find_if(config.initial_cluster.begin(), config.initial_cluster.end(), [&](const auto& m) {
      std::vector<std::string> named;
      for (const Url& url : m.peer_urls) named.push_back(url.ToString());
      std::sort(named.begin(), named.end());
      return named == urls;
    });
    if (found == config.initial_cluster.end()) {
      return mismatch(absl::StrCat("PeerURLs: no match found for existing member (", Describe(member),
                                   ") in --initial-cluster ", FormatInitialCluster(config.initial_cluster)));
    }
    if (found->name == config.name) {
      joined.member_id = member.id();
    } else {
      joined.peers.push_back({.id = raft::MemberId(member.id()), .urls = found->peer_urls});
    }
  }
  if (joined.member_id == 0) return mismatch(absl::StrCat("member '", config.name, "' is not in the cluster"));
  if (HasStarted(list, joined.member_id)) {
    return absl::FailedPreconditionError(
        absl::StrCat("member ", HexId(joined.member_id),
                     " has been started before with another data directory, and what it promised "
                     "is lost with that; remove the member and add it again"));
  }
  return joined;
}

absl::StatusOr<Joined> FindCluster(const Config& config) {
  const std::vector<peer::ListResponse> lists = AskMembers(config);
  if (lists.empty()) {
    return absl::UnavailableError(
        absl::StrCat("could not retrieve cluster information from the given URLs: no member of --initial-cluster ",
                     FormatInitialCluster(config.initial_cluster), " answers; start this one when they run"));
  }
  return FindInCluster(config, lists.front());
}

absl::Status StartFirstTime(const Config& config, storage::RaftLogObserver* observer, Bootstrapped* out) {
  const InitialIds ids = ComputeIds(config);
  KEEL_RETURN_IF_ERROR(OpenFresh(config, observer, out));
  KEEL_RETURN_IF_ERROR(out->store->Bootstrap({.cluster_id = ids.cluster_id, .members = ids.members}));
  KEEL_RETURN_IF_ERROR(
      out->data_dir->WriteIdentity({.cluster_id = ids.cluster_id, .member_id = ids.self.value(), .name = config.name}));
  KEEL_LOG_INFO("bootstrapped a new cluster", {{"cluster-id", HexId(ids.cluster_id)},
                                               {"local-member-id", HexId(*ids.self)},
                                               {"initial-cluster", FormatInitialCluster(config.initial_cluster)}});
  return absl::OkStatus();
}

absl::Status Join(const Config& config, Joined joined, storage::RaftLogObserver* observer, Bootstrapped* out) {
  KEEL_RETURN_IF_ERROR(OpenFresh(config, observer, out));
  KEEL_RETURN_IF_ERROR(out->data_dir->WriteIdentity(
      {.cluster_id = joined.cluster_id, .member_id = joined.member_id, .name = config.name}));
  out->peers = std::move(joined.peers);
  KEEL_LOG_INFO("joining a running cluster", {{"cluster-id", HexId(joined.cluster_id)},
                                              {"local-member-id", HexId(joined.member_id)},
                                              {"initial-cluster", FormatInitialCluster(config.initial_cluster)}});
  return absl::OkStatus();
}

// Those of `members` that this member can dial, but for itself.
template <typename Members>
std::vector<PeerAddress> PeersAmong(const Members& members, uint64_t self) {
  std::vector<PeerAddress> peers;
  for (const etcdserverpb::Member& member : members) {
    std::vector<Url> urls = UsableUrls({member.peerurls().begin(), member.peerurls().end()});
    if (member.id() == self || urls.empty()) continue;
    peers.push_back({.id = raft::MemberId(member.id()), .urls = std::move(urls)});
  }
  return peers;
}

// An unfinished join goes on. The members may have changed since; whoever leads makes itself known.
void FindPeersAgain(const Config& config, Bootstrapped* out) {
  const std::vector<peer::ListResponse> lists = AskMembers(config);
  if (lists.empty() || lists.front().cluster_id() != out->identity.cluster_id) return;
  out->peers = PeersAmong(lists.front().members(), out->identity.member_id);
}

absl::Status Restart(const Config& config, storage::RaftLogObserver* observer, Bootstrapped* out) {
  out->identity = *out->data_dir->identity();
  KEEL_RETURN_IF_ERROR(CheckIdentity(config, out->identity));
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(config, *out->data_dir, observer));
  KEEL_ASSIGN_OR_RETURN(out->store, OpenStore(*out->data_dir));
  KEEL_RETURN_IF_ERROR(CheckState(out->data_dir->path(), out->identity, *out->log, *out->store));
  KEEL_RETURN_IF_ERROR(CheckLearners(config, *out->store));
  if (!out->store->bootstrapped()) FindPeersAgain(config, out);
  return absl::OkStatus();
}

// Log and state as one start.
absl::Status Recover(Bootstrapped* out) {
  const storage::RaftLog::Recovered& log = out->log->recovered();
  KEEL_ASSIGN_OR_RETURN(Reconciled reconciled,
                        Reconcile(log, out->store->applied(), FromStored(out->store->membership())));
  if (reconciled.reset_log) {
    KEEL_LOG_WARN("the state is ahead of the log; the log continues after it",
                  {{"applied-index", out->store->applied().index}, {"log-last-index", log.last}});
    KEEL_RETURN_IF_ERROR(out->log->ResetTo(reconciled.initial.snapshot));
  }
  if (log.torn_bytes > 0) KEEL_LOG_INFO("cut an unfinished write off the log", {{"bytes", log.torn_bytes}});
  out->initial = std::move(reconciled.initial);
  return absl::OkStatus();
}

// Ends the log with an entry that makes this member the only one. It is in force from the start, so what the log holds,
// committed or not, is committed by this member alone: nothing that was acknowledged is lost.
absl::Status MakeOnlyMember(const Config& config, storage::RaftLogObserver* observer, Bootstrapped* out) {
  if (!out->store->bootstrapped()) return Refused(out->data_dir->path(), "holds no state yet to found a cluster on");
  const raft::MemberId self(out->identity.member_id);
  const raft::Term term = out->initial.hard_state.term + 1;
  const raft::Membership alone{.voters = {self}};
  raft::Entry entry{.id = {term, out->initial.last + 1},
                    .type = raft::EntryType::kMembership,
                    .payload = raft::EncodeMembershipEntry(alone, "")};
  raft::HardState hard_state = out->initial.hard_state;
  hard_state.term = term;
  hard_state.vote = self;
  KEEL_RETURN_IF_ERROR(out->log->Append({.hard_state = hard_state, .entries = {std::move(entry)}}));
  out->log.reset();
  KEEL_ASSIGN_OR_RETURN(out->log, OpenLog(config, *out->data_dir, observer));
  KEEL_LOG_WARN("forced a new cluster of this member alone; remove --force-new-cluster before the next start",
                {{"local-member-id", HexId(out->identity.member_id)}, {"cluster-id", HexId(out->identity.cluster_id)}});
  return Recover(out);
}

// Asks the others before anything is said or written as this member.
absl::Status CheckWelcome(const Bootstrapped& member) {
  const storage::MemberIdentity& identity = member.identity;
  const PeerIdentity self({.cluster_id = identity.cluster_id,
                           .id = raft::MemberId(identity.member_id),
                           .directory = {.id = identity.directory_id, .starts = identity.starts + 1},
                           .process = member.process,
                           .recovered = {member.initial.hard_state.term, member.initial.last},
                           .peer_urls = {}});
  std::vector<std::pair<Url, raftpb::PeerHello>> questions;
  for (const storage::MemberRecord& record : member.store->members()) {
    if (record.id == identity.member_id) continue;
    for (const Url& url : UsableUrls(record.peer_urls)) {
      questions.emplace_back(url, self.HelloTo(raft::MemberId(record.id)));
    }
  }
  const auto answers = AskAll(
      questions, [](const auto& question) { return Introduce(question.first, question.second, kAskTimeout / 2); });
  for (const auto& answer : answers) {
    if (!answer.ok()) continue;
    if (answer->refusal() == raftpb::PeerAck::REMOVED) return RemovedError(identity.member_id);
    if (answer->refusal() == raftpb::PeerAck::FORGETFUL) return absl::FailedPreconditionError(answer->reason());
  }
  return absl::OkStatus();
}

void NoteExpected(Bootstrapped* out) {
  for (const raft::MembershipRecord& record : out->initial.memberships) {
    if (record.index <= out->initial.applied) continue;
    command::MembershipContext context;
    const std::string_view bytes = record.context.view();
    if (!context.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) continue;
    for (PeerAddress& peer : PeersAmong(context.members(), out->identity.member_id)) {
      out->expected.emplace_back(std::move(peer), record.index);
    }
  }
}

constexpr char kRemovedUrl[] = "keel/removed";

}  // namespace

PeerBook BookOf(const storage::StateStore& store) {
  return {.applied = store.applied().index,
          .membership_index = store.membership().index,
          .members = store.members(),
          .removed = store.removed_members()};
}

absl::Status RemovedError(uint64_t member_id) {
  absl::Status status =
      absl::FailedPreconditionError(absl::StrCat("member ", HexId(member_id),
                                                 " has been permanently removed from its cluster; remove its data "
                                                 "directory, and add a new member if it shall come back"));
  status.SetPayload(kRemovedUrl, absl::Cord());
  return status;
}

bool IsRemovedError(const absl::Status& status) { return status.GetPayload(kRemovedUrl).has_value(); }

absl::StatusOr<Bootstrapped> Bootstrap(const Config& config, storage::RaftLogObserver* observer) {
  KEEL_RETURN_IF_ERROR(CheckFirstStart(config));
  std::optional<Joined> joined;
  if (!HasIdentity(config)) {
    // Asked before anything is created.
    if (config.initial_cluster_state == InitialClusterState::kExisting) {
      KEEL_ASSIGN_OR_RETURN(joined, FindCluster(config));
    } else {
      KEEL_RETURN_IF_ERROR(CheckNotBootstrapped(config, ComputeIds(config)));
    }
  }
  Bootstrapped out;
  out.process = Random::EntropySeed();
  KEEL_ASSIGN_OR_RETURN(out.data_dir, storage::DataDir::Open(config.data_dir));
  const bool is_restart = out.data_dir->identity().has_value();
  if (is_restart) {
    KEEL_RETURN_IF_ERROR(Restart(config, observer, &out));
  } else if (joined.has_value()) {
    KEEL_RETURN_IF_ERROR(Join(config, *std::move(joined), observer, &out));
  } else {
    KEEL_RETURN_IF_ERROR(StartFirstTime(config, observer, &out));
  }
  out.identity = *out.data_dir->identity();
  KEEL_RETURN_IF_ERROR(Recover(&out));
  if (config.force_new_cluster) {
    KEEL_RETURN_IF_ERROR(MakeOnlyMember(config, observer, &out));
  } else if (is_restart) {
    KEEL_RETURN_IF_ERROR(CheckWelcome(out));
  }
  KEEL_RETURN_IF_ERROR(out.data_dir->CountStart());
  out.identity = *out.data_dir->identity();
  NoteExpected(&out);
  KEEL_LOG_INFO("recovered", {{"cluster-id", HexId(out.identity.cluster_id)},
                              {"local-member-id", HexId(out.identity.member_id)},
                              {"start", out.identity.starts},
                              {"term", out.initial.hard_state.term},
                              {"applied-index", out.initial.applied},
                              {"log-last-index", out.initial.last},
                              {"revision", out.store->current_revision()}});
  return out;
}

}  // namespace keel::server
