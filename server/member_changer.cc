#include "server/member_changer.h"

#include <algorithm>
#include <deque>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "raft/membership.h"
#include "server/config.h"
#include "server/peer/member_forward.h"
#include "server/stored_membership.h"

namespace keel::server {
namespace {

using peer::ChangeRequest;
using peer::ChangeResponse;

absl::Status StoppedError() { return absl::UnavailableError("etcdserver: server stopped"); }
absl::Status NoLeaderError() { return absl::UnavailableError("etcdserver: no leader"); }
absl::Status TimedOutError() { return absl::UnavailableError("etcdserver: request timed out"); }
absl::Status CallerTimedOut() { return absl::DeadlineExceededError("context deadline exceeded"); }

// What a change comes to.
struct Plan {
  raft::MembershipChange change;
  command::MembershipContext context;
  std::optional<uint64_t> newcomer;
};

std::vector<std::string> Texts(const google::protobuf::RepeatedPtrField<std::string>& urls) {
  std::vector<std::string> texts(urls.begin(), urls.end());
  std::sort(texts.begin(), texts.end());
  texts.erase(std::unique(texts.begin(), texts.end()), texts.end());
  return texts;
}

void AddMember(uint64_t id, const std::vector<std::string>& peer_urls, bool learner, Plan* plan) {
  etcdserverpb::Member* member = plan->context.add_members();
  member->set_id(id);
  for (const std::string& url : peer_urls) member->add_peerurls(url);
  member->set_islearner(learner);
}

// Later, not never.
bool ShouldRetry(const absl::Status& status) {
  if (absl::IsUnavailable(status) || absl::IsResourceExhausted(status)) return true;
  return absl::IsFailedPrecondition(status) &&
         (status.message() == raft::kChangeInFlight || status.message() == raft::kTermNotReady);
}

// Two threads: one takes what clients of this member ask and sees it to the leader, the other does the leader's part.
// They are two because the first waits for leaders, whose second must not wait for anybody's first.
class MemberChangerImpl final : public MemberChanger {
 public:
  MemberChangerImpl(const Options& options, const Clock* clock, raft::Node* node, storage::StateStore* store,
                    Proposer* proposer, PeerNetwork* peers)
      : options_(options), clock_(*clock), node_(*node), store_(*store), proposer_(*proposer), peers_(*peers) {
    router_ = std::thread([this] { Work(&routing_, /*leads=*/false); });
    leader_ = std::thread([this] { Work(&leading_, /*leads=*/true); });
  }
  ~MemberChangerImpl() override { Stop(); }

  void Change(ChangeRequest request, const Call& call, ChangeDone done) override {
    request.set_cluster_id(options_.cluster_id);
    Enqueue(&routing_, {.request = std::move(request), .call = call, .done = std::move(done)});
  }

  void ChangeAsLeader(ChangeRequest request, absl::Time deadline, ChangeDone done) override {
    Call call;
    call.client_deadline = deadline;
    Enqueue(&leading_, {.request = std::move(request), .call = call, .done = std::move(done)});
  }

  void Stop() override {
    {
      absl::MutexLock lock(&mu_);
      stopping_ = true;
    }
    absl::MutexLock lock(&join_mu_);
    if (router_.joinable()) router_.join();
    if (leader_.joinable()) leader_.join();
  }

 private:
  struct Task {
    ChangeRequest request;
    Call call;
    ChangeDone done;
  };
  using Queue = std::deque<Task>;

  void Enqueue(Queue* queue, Task task) {
    absl::Status refused;
    {
      absl::MutexLock lock(&mu_);
      if (stopping_) {
        refused = StoppedError();
      } else if (queue->size() >= options_.waiting_max) {
        refused = absl::ResourceExhaustedError("etcdserver: too many requests");
      } else {
        queue->push_back(std::move(task));
        return;
      }
    }
    task.done(std::move(refused));
  }

  void Work(Queue* queue, bool leads) {
    while (true) {
      std::optional<Task> task;
      {
        absl::MutexLock lock(&mu_);
        auto ready = [this, queue]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopping_ || !queue->empty(); };
        // Between changes the leader looks after members that await their vote.
        mu_.AwaitWithTimeout(absl::Condition(&ready), leads ? 5 * options_.poll : absl::InfiniteDuration());
        if (!queue->empty()) {
          task = std::move(queue->front());
          queue->pop_front();
        } else if (stopping_) {
          return;
        }
      }
      if (task.has_value()) {
        absl::StatusOr<ChangeResponse> answer =
            leads ? Lead(task->request, task->call.client_deadline) : Route(task->request, task->call);
        if (leads && task->request.has_promote() && options_.promoted && !IsNotLeader(answer.status())) {
          options_.promoted(answer.status());
        }
        task->done(std::move(answer));
      } else {
        GiveVotes();
      }
    }
  }

  bool stopping() const {
    absl::MutexLock lock(&mu_);
    return stopping_;
  }
  // False: stopping.
  bool Pause() {
    absl::MutexLock lock(&mu_);
    return !mu_.AwaitWithTimeout(absl::Condition(&stopping_), options_.poll);
  }
  bool Leads() const { return node_.leader() == raft::MemberId(options_.member_id); }

  // --- The router.

  absl::StatusOr<ChangeResponse> Route(const ChangeRequest& request, const Call& call) {
    absl::Time leaderless_until = clock_.Now() + options_.request_timeout;
    while (true) {
      const absl::Time now = clock_.Now();
      if (now >= call.client_deadline) return CallerTimedOut();
      if (call.is_cancelled()) return absl::CancelledError("context canceled");
      absl::StatusOr<ChangeResponse> answer = NotLeaderError();
      if (Leads()) {
        answer = LeadHere(request, call.client_deadline);
      } else if (const raft::MemberId leader = node_.leader(); leader != raft::kNobody) {
        answer = peers_.ForwardChange(leader, request, call.client_deadline);
        if (answer.ok()) CatchUp(call.client_deadline);
      }
      if (answer.ok() || !IsNotLeader(answer.status())) return answer;
      if (now >= leaderless_until) return NoLeaderError();
      if (!Pause()) return StoppedError();
    }
  }

  // What the leader has applied is applied here too, so that who asks this member next sees its own change. When that
  // cannot be had the change is no less true: one who is removed may never hear of it.
  void CatchUp(absl::Time client_deadline) {
    (void)AwaitRead(std::min(client_deadline, clock_.Now() + options_.catch_up_max));
  }

  absl::StatusOr<ChangeResponse> LeadHere(const ChangeRequest& request, absl::Time deadline) {
    struct Answer {
      absl::Notification come;
      absl::StatusOr<ChangeResponse> response = StoppedError();
    };
    auto answer = std::make_shared<Answer>();
    ChangeAsLeader(request, deadline, [answer](absl::StatusOr<ChangeResponse> response) {
      answer->response = std::move(response);
      answer->come.Notify();
    });
    answer->come.WaitForNotification();  // The leader's thread ends everything, at a stop too.
    return std::move(answer->response);
  }

  // --- The leader.

  absl::StatusOr<ChangeResponse> Lead(const ChangeRequest& request, absl::Time client_deadline) {
    const absl::Time deadline = std::min(client_deadline, clock_.Now() + options_.request_timeout);
    while (true) {
      KEEL_RETURN_IF_ERROR(AwaitCurrent(deadline));
      KEEL_ASSIGN_OR_RETURN(Plan plan, MakePlan(request, View()));
      const std::optional<uint64_t> newcomer = plan.newcomer;
      const absl::Status done = Carry(std::move(plan), deadline);
      if (done.ok()) return Answer(newcomer);
      if (!ShouldRetry(done) || IsFinal(done)) return Say(done, client_deadline);
      if (clock_.Now() >= deadline) return Say(absl::DeadlineExceededError(""), client_deadline);
      if (!Pause()) return StoppedError();
    }
  }

  // The state here holds everything that was committed before.
  absl::Status AwaitCurrent(absl::Time deadline) {
    if (!Leads()) return NotLeaderError();
    const absl::Status readable = AwaitRead(deadline);
    if (readable.ok()) return Leads() ? absl::OkStatus() : NotLeaderError();
    if (absl::IsDeadlineExceeded(readable)) return TimedOutError();
    return absl::IsUnavailable(readable) ? StoppedError() : readable;
  }

  absl::Status AwaitRead(absl::Time deadline) {
    absl::Status readable;
    absl::Notification answered;
    node_.ReadIndex(deadline, [&](const absl::Status& status, raft::Index) {
      readable = status;
      answered.Notify();
    });
    answered.WaitForNotification();
    return readable;
  }

  MemberView View() const {
    MemberView view;
    view.members = store_.members();
    view.self = options_.member_id;
    const absl::Time now = Clock::Real().Now();
    for (const storage::MemberRecord& member : view.members) {
      const absl::Time since = peers_.connected_since(raft::MemberId(member.id));
      if (since != absl::InfiniteFuture()) view.connected[member.id] = now - since;
    }
    const raft::NodeStatus status = node_.status();
    view.last_index = status.core.last.index.value();
    for (const raft::FollowerStatus& follower : status.followers)
      view.match[follower.id.value()] = follower.match.value();
    return view;
  }

  absl::StatusOr<Plan> MakePlan(const ChangeRequest& request, const MemberView& view) const {
    Plan plan;
    switch (request.change_case()) {
      case ChangeRequest::kAdd: {
        const std::vector<std::string> urls = Texts(request.add().peerurls());
        const bool learner = request.add().islearner();
        KEEL_RETURN_IF_ERROR(CheckAdd(options_.rules, view, urls, learner));
        plan.newcomer = NewId(urls);
        plan.change.add_learners = {raft::MemberId(*plan.newcomer)};
        AddMember(*plan.newcomer, urls, learner, &plan);
        return plan;
      }
      case ChangeRequest::kRemove:
        KEEL_RETURN_IF_ERROR(CheckRemove(options_.rules, view, request.remove().id()));
        plan.change.remove = {raft::MemberId(request.remove().id())};
        return plan;
      case ChangeRequest::kUpdate: {
        const uint64_t id = request.update().id();
        const std::vector<std::string> urls = Texts(request.update().peerurls());
        KEEL_RETURN_IF_ERROR(CheckUpdate(view, id, urls));
        AddMember(id, urls, view.Find(id)->learner, &plan);
        return plan;
      }
      case ChangeRequest::kPromote:
        KEEL_RETURN_IF_ERROR(CheckPromote(options_.rules, view, request.promote().id()));
        plan.change.add_voters = {raft::MemberId(request.promote().id())};
        return plan;
      case ChangeRequest::kReplace: {
        const uint64_t id = request.replace().id();
        const std::vector<std::string> urls = Texts(request.replace().peer_urls());
        KEEL_RETURN_IF_ERROR(CheckReplace(options_.rules, view, id, urls));
        const storage::MemberRecord& old = *view.Find(id);
        plan.newcomer = NewId(urls);
        const bool votes = !old.learner && !old.awaits_vote;
        (votes ? plan.change.add_voters : plan.change.add_learners) = {raft::MemberId(*plan.newcomer)};
        plan.change.remove = {raft::MemberId(id)};
        AddMember(*plan.newcomer, urls, old.learner, &plan);
        return plan;
      }
      case ChangeRequest::CHANGE_NOT_SET:
        break;
    }
    return absl::InvalidArgumentError("etcdserver: unknown method");
  }

  // One that no member has or had: removed ids never return.
  uint64_t NewId(const std::vector<std::string>& peer_urls) const {
    const std::vector<uint64_t> removed = store_.removed_members();
    const std::vector<storage::MemberRecord> members = store_.members();
    for (int64_t seconds = absl::ToUnixSeconds(absl::Now());; ++seconds) {
      const uint64_t id = ComputeMemberId(UsableUrls(peer_urls), absl::StrCat(options_.token, seconds));
      const bool taken = id == 0 || std::binary_search(removed.begin(), removed.end(), id) ||
                         std::any_of(members.begin(), members.end(), [id](const auto& m) { return m.id == id; });
      if (!taken) return id;
    }
  }

  // Proposes and waits until it is applied here, the leaving of a joint configuration included.
  absl::Status Carry(Plan plan, absl::Time deadline) {
    struct Outcome {
      absl::Mutex mu;
      std::optional<absl::Status> result ABSL_GUARDED_BY(mu);
      bool Known() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu) { return result.has_value(); }
    };
    auto outcome = std::make_shared<Outcome>();
    KEEL_ASSIGN_OR_RETURN(const uint64_t id, proposer_.Await(deadline, [outcome](absl::StatusOr<ApplyResult> applied) {
      absl::MutexLock lock(&outcome->mu);
      outcome->result = applied.ok() ? applied->status : applied.status();
    }));
    plan.context.set_request_id(id);
    node_.ProposeMembership(std::move(plan.change), raft::Payload(plan.context.SerializeAsString()), deadline,
                            [this, id](const absl::Status& status) {
                              if (!status.ok()) proposer_.Abandon(id, status);
                            });
    absl::MutexLock lock(&outcome->mu);
    outcome->mu.Await(absl::Condition(outcome.get(), &Outcome::Known));
    return *outcome->result;
  }

  // The proposer's own answers, whose outcome is not known: nothing to repeat.
  static bool IsFinal(const absl::Status& status) { return status.message().substr(0, 11) == "etcdserver:"; }

  absl::Status Say(const absl::Status& status, absl::Time client_deadline) const {
    if (status.message() == raft::kNotLeader) return NotLeaderError();
    if (status.message() == raft::kNoVoterLeft) {
      return absl::FailedPreconditionError("etcdserver: re-configuration failed due to not enough started members");
    }
    if (absl::IsDeadlineExceeded(status)) {
      if (clock_.Now() >= client_deadline) return CallerTimedOut();
      return TimedOutError();
    }
    return status;
  }

  ChangeResponse Answer(std::optional<uint64_t> newcomer) const {
    ChangeResponse response;
    for (const storage::MemberRecord& record : store_.members()) {
      *response.add_members() = ToMessage(record);
      if (newcomer == record.id) *response.mutable_member() = ToMessage(record);
    }
    return response;
  }

  // Members that were added as voters and have caught up become voters.
  void GiveVotes() {
    if (!Leads()) return;
    const MemberView view = View();
    for (const storage::MemberRecord& member : view.members) {
      if (!member.awaits_vote || !IsReadyToVote(view, member.id)) continue;
      Plan plan;
      plan.change.add_voters = {raft::MemberId(member.id)};
      const absl::Status status = Carry(std::move(plan), clock_.Now() + options_.request_timeout);
      if (status.ok()) {
        KEEL_LOG_INFO("a new member has caught up and votes from now on", {{"peer", raft::MemberId(member.id)}});
      } else if (!ShouldRetry(status)) {
        KEEL_LOG_WARN("cannot give a new member its vote yet",
                      {{"peer", raft::MemberId(member.id)}, {"error", status}});
      }
      return;  // One at a time.
    }
  }

  const Options options_;
  const Clock& clock_;
  raft::Node& node_;
  storage::StateStore& store_;
  Proposer& proposer_;
  PeerNetwork& peers_;

  mutable absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  Queue routing_ ABSL_GUARDED_BY(mu_);
  Queue leading_ ABSL_GUARDED_BY(mu_);
  absl::Mutex join_mu_;  // Never held by the threads.
  std::thread router_;
  std::thread leader_;
};

}  // namespace

std::unique_ptr<MemberChanger> MemberChanger::Start(const Options& options, const Clock* clock, raft::Node* node,
                                                    storage::StateStore* store, Proposer* proposer,
                                                    PeerNetwork* peers) {
  return std::make_unique<MemberChangerImpl>(options, clock, node, store, proposer, peers);
}

}  // namespace keel::server
