#include "server/member_rules.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "base/url.h"

namespace keel::server {
namespace {

// Shorter connections say nothing of a member's health.
constexpr absl::Duration kHealthy = absl::Seconds(5);
// A new voter must be able to acknowledge the next entry at once; what it lags behind it makes up in a moment.
constexpr uint64_t kReadyLag = 256;

absl::Status NotFound() { return absl::NotFoundError("etcdserver: member not found"); }
absl::Status UrlInUse() { return absl::FailedPreconditionError("etcdserver: Peer URLs already exists"); }
absl::Status NotEnoughStarted() {
  return absl::FailedPreconditionError("etcdserver: re-configuration failed due to not enough started members");
}
absl::Status Unhealthy() { return absl::UnavailableError("etcdserver: unhealthy cluster"); }

size_t Quorum(size_t voters) { return voters / 2 + 1; }

struct Count {
  size_t voters = 0;
  size_t started = 0;
  size_t healthy = 0;  // The leader itself, and who has been connected to it for a while.
};

// Of the voters without `except` (0: of all).
Count CountVoters(const MemberView& view, uint64_t except = 0) {
  Count count;
  for (const storage::MemberRecord& member : view.members) {
    if (member.learner || member.id == except) continue;
    ++count.voters;
    if (!member.name.empty()) ++count.started;
    const auto connected = view.connected.find(member.id);
    if (member.id == view.self || (connected != view.connected.end() && connected->second >= kHealthy)) ++count.healthy;
  }
  return count;
}

bool AnyInUse(const MemberView& view, uint64_t except, const std::vector<std::string>& peer_urls) {
  return std::any_of(view.members.begin(), view.members.end(), [&](const storage::MemberRecord& member) {
    return member.id != except && std::any_of(peer_urls.begin(), peer_urls.end(), [&member](const std::string& url) {
             return std::find(member.peer_urls.begin(), member.peer_urls.end(), url) != member.peer_urls.end();
           });
  });
}

// Before a member more: the enlarged cluster must have its quorum in members that are there.
absl::Status CheckEnlarged(const MemberView& view, bool learner) {
  const Count count = CountVoters(view);
  if (!learner && !(count.voters == 1 && count.started == 1) && count.started < Quorum(count.voters + 1)) {
    return NotEnoughStarted();
  }
  if (view.members.size() > 1 && count.healthy < std::min(Quorum(count.voters + 1), count.voters)) return Unhealthy();
  return absl::OkStatus();
}

}  // namespace

const storage::MemberRecord* MemberView::Find(uint64_t id) const {
  const auto found = std::find_if(members.begin(), members.end(), [id](const auto& member) { return member.id == id; });
  return found == members.end() ? nullptr : &*found;
}

absl::Status CheckPeerUrls(const std::vector<std::string>& peer_urls) {
  constexpr char kInvalid[] = "etcdserver: given member URLs are invalid";
  if (peer_urls.empty()) return absl::InvalidArgumentError(kInvalid);
  for (const std::string& text : peer_urls) {
    const auto url = ParseUrl(text);
    if (!url.ok()) return absl::InvalidArgumentError(kInvalid);
    if (url->is_tls()) {
      return absl::InvalidArgumentError(absl::StrCat(kInvalid, ": ", text, ": members do not speak TLS yet, use http"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckAdd(const MemberRules& rules, const MemberView& view, const std::vector<std::string>& peer_urls,
                      bool learner) {
  if (absl::Status status = CheckPeerUrls(peer_urls); !status.ok()) return status;
  if (rules.strict) {
    if (absl::Status status = CheckEnlarged(view, learner); !status.ok()) return status;
  }
  if (AnyInUse(view, 0, peer_urls)) return UrlInUse();
  const auto learners =
      std::count_if(view.members.begin(), view.members.end(), [](const auto& m) { return m.learner; });
  if (learner && learners >= rules.learners_max) {
    return absl::FailedPreconditionError("etcdserver: too many learner members in cluster");
  }
  return absl::OkStatus();
}

absl::Status CheckRemove(const MemberRules& rules, const MemberView& view, uint64_t id) {
  const storage::MemberRecord* member = view.Find(id);
  if (rules.strict && (member == nullptr || !member->learner)) {
    const Count rest = CountVoters(view, id);
    if (rest.started < Quorum(rest.voters)) return NotEnoughStarted();
    // Who is down can only be missed less.
    const bool is_up = id == view.self || view.connected.contains(id);
    if (is_up && rest.healthy < Quorum(rest.voters)) return Unhealthy();
  }
  if (member == nullptr) return NotFound();
  // Without anybody to vote there is nobody to undo it.
  if (!member->learner && CountVoters(view, id).voters == 0) return NotEnoughStarted();
  return absl::OkStatus();
}

absl::Status CheckUpdate(const MemberView& view, uint64_t id, const std::vector<std::string>& peer_urls) {
  if (view.Find(id) == nullptr) return NotFound();
  if (AnyInUse(view, id, peer_urls)) return UrlInUse();
  // Other servers leave the syntax to the client; here a member that cannot be dialled would be lost.
  return CheckPeerUrls(peer_urls);
}

absl::Status CheckPromote(const MemberRules& rules, const MemberView& view, uint64_t id) {
  const storage::MemberRecord* member = view.Find(id);
  if (member == nullptr) return NotFound();
  if (!member->learner) return absl::FailedPreconditionError("etcdserver: can only promote a learner member");
  const auto match = view.match.find(id);
  const uint64_t at = match == view.match.end() ? 0 : match->second;
  if (static_cast<double>(at) < 0.9 * static_cast<double>(view.last_index)) {
    return absl::FailedPreconditionError("etcdserver: can only promote a learner member which is in sync with leader");
  }
  const Count count = CountVoters(view);
  const size_t started = count.started + (member->name.empty() ? 0 : 1);
  if (rules.strict && started < Quorum(count.voters + 1)) return NotEnoughStarted();
  return absl::OkStatus();
}

absl::Status CheckReplace(const MemberRules& rules, const MemberView& view, uint64_t id,
                          const std::vector<std::string>& peer_urls) {
  if (absl::Status status = CheckPeerUrls(peer_urls); !status.ok()) return status;
  const storage::MemberRecord* member = view.Find(id);
  if (member == nullptr) return NotFound();
  if (!member->learner) {
    const Count rest = CountVoters(view, id);
    // The newcomer has to be in the quorum of nobody before it has been started.
    if (rest.started < Quorum(rest.voters + 1)) return NotEnoughStarted();
    if (rules.strict && rest.healthy < Quorum(rest.voters + 1)) return Unhealthy();
  }
  // The one that goes may pass its address on.
  if (AnyInUse(view, id, peer_urls)) return UrlInUse();
  return absl::OkStatus();
}

bool IsReadyToVote(const MemberView& view, uint64_t id) {
  const auto match = view.match.find(id);
  return view.connected.contains(id) && match != view.match.end() && match->second > 0 &&
         match->second + kReadyLag >= view.last_index;
}

}  // namespace keel::server
