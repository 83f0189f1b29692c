#include "server/peer/peer_identity.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "absl/strings/str_format.h"

namespace keel::server {
namespace {

using raftpb::PeerAck;

PeerIdentity::Verdict Refuse(PeerAck::Refusal refusal, std::string reason) {
  return {.refusal = refusal, .reason = std::move(reason), .newcomer = std::nullopt};
}

constexpr char kRejoin[] = "remove the member and add it again with an empty directory";

}  // namespace

std::vector<Url> UsableUrls(const std::vector<std::string>& texts) {
  std::vector<Url> urls;
  for (const std::string& text : texts) {
    auto url = ParseUrl(text);
    if (url.ok() && !url->is_tls()) urls.push_back(*std::move(url));
  }
  return urls;
}

absl::Status PeerIdentity::Verdict::status() const {
  return accepted() ? absl::OkStatus() : absl::FailedPreconditionError(reason);
}

void PeerIdentity::SetJoining() {
  absl::MutexLock lock(&mu_);
  joining_ = true;
}

void PeerIdentity::SetBook(PeerBook book) {
  absl::MutexLock lock(&mu_);
  joining_ = false;
  membership_index_ = book.membership_index;
  known_.clear();
  for (const storage::MemberRecord& member : book.members) known_[raft::MemberId(member.id)] = member.directory;
  removed_.clear();
  for (const uint64_t id : book.removed) removed_.insert(raft::MemberId(id));
  std::erase_if(expected_, [&book](const auto& expected) { return expected.second <= book.applied; });
  std::erase_if(seen_,
                [this](const auto& seen) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return removed_.contains(seen.first); });
  epoch_.fetch_add(1, std::memory_order_release);
}

void PeerIdentity::Expect(raft::MemberId id, uint64_t index) {
  absl::MutexLock lock(&mu_);
  if (id == self_.id || removed_.contains(id)) return;
  uint64_t& by = expected_[id];
  by = std::max(by, index);
}

bool PeerIdentity::Knows(raft::MemberId id) const {
  absl::ReaderMutexLock lock(&mu_);
  return id != self_.id && !removed_.contains(id) && (known_.contains(id) || expected_.contains(id));
}

bool PeerIdentity::IsRemoved(raft::MemberId id) const {
  absl::ReaderMutexLock lock(&mu_);
  return removed_.contains(id);
}

raftpb::PeerHello PeerIdentity::HelloTo(raft::MemberId peer) const {
  raftpb::PeerHello hello;
  hello.set_cluster_id(self_.cluster_id);
  hello.set_from(self_.id.value());
  hello.set_to(peer.value());
  hello.set_format(kPeerFormat);
  hello.set_directory_id(self_.directory.id);
  hello.set_starts(self_.directory.starts);
  hello.set_process(self_.process);
  hello.mutable_recovered()->set_term(self_.recovered.term.value());
  hello.mutable_recovered()->set_index(self_.recovered.index.value());
  for (const std::string& url : self_.peer_urls) hello.add_peer_urls(url);
  absl::ReaderMutexLock lock(&mu_);
  hello.set_membership_index(membership_index_);
  return hello;
}

PeerIdentity::Verdict PeerIdentity::Judge(const raftpb::PeerHello& hello) const {
  absl::ReaderMutexLock lock(&mu_);
  return JudgeLocked(hello);
}

PeerIdentity::Verdict PeerIdentity::Greet(const raftpb::PeerHello& hello) {
  absl::MutexLock lock(&mu_);
  Verdict verdict = JudgeLocked(hello);
  if (!verdict.accepted()) return verdict;
  const raft::MemberId from(hello.from());
  if (verdict.newcomer.has_value()) expected_[from] = verdict.newcomer_index;
  Seen& seen = seen_[from];
  seen.directory = {.id = hello.directory_id(), .starts = hello.starts()};
  seen.process = hello.process();
  return verdict;
}

PeerIdentity::Verdict PeerIdentity::JudgeLocked(const raftpb::PeerHello& hello) const {
  if (hello.format() != kPeerFormat) {
    return Refuse(PeerAck::OTHER_FORMAT,
                  absl::StrFormat("peer protocol format mismatch: caller speaks %d, this member %d", hello.format(),
                                  kPeerFormat));
  }
  if (hello.cluster_id() != self_.cluster_id) {
    return Refuse(PeerAck::OTHER_CLUSTER,
                  absl::StrFormat("cluster ID mismatch: caller is of cluster %x, this member of %x", hello.cluster_id(),
                                  self_.cluster_id));
  }
  if (hello.to() != self_.id.value()) {
    return Refuse(PeerAck::OTHER_MEMBER,
                  absl::StrFormat("member ID mismatch: caller dialled member %x, this is member %x", hello.to(),
                                  self_.id.value()));
  }
  const raft::MemberId from(hello.from());
  if (removed_.contains(from)) {
    return Refuse(PeerAck::REMOVED, absl::StrFormat("member %x has been permanently removed from cluster %x",
                                                    hello.from(), self_.cluster_id));
  }
  if (from != self_.id && (known_.contains(from) || expected_.contains(from))) {
    std::string why = WhyForgetful(hello);
    if (!why.empty()) return Refuse(PeerAck::FORGETFUL, std::move(why));
    return {};
  }
  // Somebody who knows of changes that have not come here yet may be one of them; it is even the one to bring them, if
  // it leads by now (Thesis §4.1: a member takes entries from a leader that its own configuration does not have).
  if (from != self_.id && (joining_ || hello.membership_index() > membership_index_)) {
    PeerAddress newcomer{.id = from, .urls = UsableUrls({hello.peer_urls().begin(), hello.peer_urls().end()})};
    if (!newcomer.urls.empty()) {
      Verdict verdict;
      verdict.newcomer = std::move(newcomer);
      verdict.newcomer_index = hello.membership_index();
      return verdict;
    }
  }
  return Refuse(PeerAck::STRANGER, absl::StrFormat("member %x is not a peer that member %x of cluster %x knows",
                                                   hello.from(), self_.id.value(), self_.cluster_id));
}

std::string PeerIdentity::WhyForgetful(const raftpb::PeerHello& hello) const {
  if (hello.directory_id() == 0) return "";
  const raft::MemberId from(hello.from());
  const auto known = known_.find(from);
  const storage::DirectoryRecord recorded = known == known_.end() ? storage::DirectoryRecord() : known->second;
  const auto found = seen_.find(from);
  const Seen seen = found == seen_.end() ? Seen() : found->second;

  for (const storage::DirectoryRecord& before : {recorded, seen.directory}) {
    if (before.id == 0) continue;
    if (before.id != hello.directory_id()) {
      return absl::StrFormat(
          "member %x comes with data directory %016x but has kept its promises in %016x, which is lost: %s",
          from.value(), hello.directory_id(), before.id, kRejoin);
    }
    if (hello.starts() < before.starts) {
      return absl::StrFormat(
          "the data directory of member %x is older than what it has promised (start %d, was seen at start %d): %s",
          from.value(), hello.starts(), before.starts, kRejoin);
    }
  }
  if (seen.process == 0 || seen.process == hello.process()) return "";
  const raft::EntryId recovered{raft::Term(hello.recovered().term()), raft::Index(hello.recovered().index())};
  if (hello.starts() == seen.directory.starts) {
    return absl::StrFormat("the data directory of member %x is an older copy: start %d of it has been seen before: %s",
                           from.value(), hello.starts(), kRejoin);
  }
  // In a later term the log may have been cut by a new leader; in the same one never.
  if (recovered.term < seen.term || (recovered.term == seen.acked.term && recovered.index < seen.acked.index)) {
    return absl::StrFormat(
        "the data directory of member %x is older than what it has promised (term %d, entry %d; was seen in term %d, "
        "entry %d): %s",
        from.value(), recovered.term.value(), recovered.index.value(), seen.term.value(), seen.acked.index.value(),
        kRejoin);
  }
  return "";
}

void PeerIdentity::NotePromise(uint64_t process, const raft::Message& message) {
  // Only words that wait for the disk count (raft/ready.h): answers to appends, votes and requests for them.
  bool durable = false;
  raft::Index acked;
  if (const auto* append = std::get_if<raft::AppendResponse>(&message.body)) {
    durable = true;
    if (!append->rejected) acked = append->index;
  } else if (const auto* vote = std::get_if<raft::VoteResponse>(&message.body)) {
    durable = !vote->pre_vote;
  } else if (const auto* request = std::get_if<raft::VoteRequest>(&message.body)) {
    durable = !request->pre_vote;
  }
  if (!durable) return;
  absl::MutexLock lock(&mu_);
  auto found = seen_.find(message.from);
  if (found == seen_.end() || found->second.process != process) return;
  Seen& seen = found->second;
  if (message.term < seen.term) return;
  if (message.term > seen.acked.term) seen.acked = {message.term, raft::Index(0)};
  seen.term = message.term;
  seen.acked.index = std::max(seen.acked.index, acked);
}

}  // namespace keel::server
