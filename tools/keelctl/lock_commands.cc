#include <algorithm>
#include <future>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "keel/election.h"
#include "keel/mutex.h"
#include "keel/session.h"
#include "tools/keelctl/child_command.h"
#include "tools/keelctl/commands.h"
#include "tools/keelctl/printer.h"

namespace keel::ctl {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(100);

// Calls `attempt` with short deadlines until it succeeds, fails for good, or somebody interrupts: so an interrupted
// waiter leaves the queue in order instead of blocking it for the rest of its lease.
Outcome WaitFor(const std::function<absl::Status(absl::Time deadline)>& attempt) {
  auto done = std::async(std::launch::async, [&] {
    absl::Status status;
    do {
      status = attempt(absl::Now() + absl::Seconds(60));
    } while (status.code() == absl::StatusCode::kDeadlineExceeded && !Interrupt::happened());
    return status;
  });
  while (done.wait_for(std::chrono::milliseconds(50)) != std::future_status::ready) {
    if (Interrupt::happened()) return {kExitError, "context canceled"};
  }
  return Outcome::Of(done.get());
}

struct LockArguments {
  std::string name;
  std::vector<std::string> command;
  int64_t ttl = 10;
  std::string grace = "2s";
};

// When to end a command that runs under a lock: so early that it is gone before anybody else can have the lock. Asked
// by one thread.
class CommandWarden {
 public:
  CommandWarden(const Session& session, const Mutex& mutex, absl::Duration grace)
      : session_(session), mutex_(mutex), grace_(std::min(grace, session.ttl() / 2)) {}

  Verdict Ask() {
    if (!mutex_.held()) {
      lost_ = true;
      return Verdict::kKill;
    }
    if (kill_at_ == absl::InfiniteFuture()) {
      // The grace ends no later than the lease does.
      lost_ = session_.remaining() <= grace_;
      if (lost_ || Interrupt::happened()) kill_at_ = absl::Now() + grace_;
    }
    if (absl::Now() >= kill_at_) return Verdict::kKill;
    return kill_at_ == absl::InfiniteFuture() ? Verdict::kRun : Verdict::kEnd;
  }
  // It was ended because the lock could not be kept.
  bool lost() const { return lost_; }

 private:
  const Session& session_;
  const Mutex& mutex_;
  const absl::Duration grace_;
  absl::Time kill_at_ = absl::InfiniteFuture();
  bool lost_ = false;
};

Outcome RunUnderLock(const LockArguments& arguments, const Session& session, const Mutex& mutex) {
  absl::Duration grace;
  if (!absl::ParseDuration(arguments.grace, &grace) || grace < absl::ZeroDuration()) {
    return Outcome::BadArguments(absl::StrCat("--grace: '", arguments.grace, "' is not a duration such as 2s"));
  }
  CommandWarden warden(session, mutex, grace);
  auto code = RunChildCommand(
      arguments.command,
      {absl::StrCat("ETCD_LOCK_KEY=", mutex.key()), absl::StrCat("ETCD_LOCK_REV=", mutex.header().revision),
       absl::StrCat("KEEL_FENCING_TOKEN=", mutex.fencing_token())},
      [&] { return warden.Ask(); });
  if (!code.ok()) return Outcome::Of(code.status());
  if (warden.lost()) {
    return {kExitError,
            absl::StrCat("the lock could not be kept: ", arguments.command.front(),
                         " was ended before somebody else could have it; the cluster was not reached in time")};
  }
  if (*code != 0) return {*code, absl::StrCat("exit status ", *code)};
  return Outcome::Ok();
}

// Shows the key, as get does, and holds until interrupted.
Outcome HoldLock(Context& context, Client& client, const Mutex& mutex) {
  auto response = client.kv().Get(mutex.key());
  if (!response.ok()) return Outcome::Of(response.status());
  if (response->kvs.empty()) return {kExitError, "lock lost on init"};
  PrinterFor(context)->Get(*response, {});
  context.out.flush();
  while (mutex.held()) {
    if (Interrupt::Wait(absl::Now() + kLook)) return Outcome::Ok();
  }
  return {kExitError, "session expired"};
}

Outcome RunLock(Context& context, const LockArguments& arguments) {
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  Interrupt::Install();
  auto session = Session::Open(**client, {.ttl = absl::Seconds(arguments.ttl)});
  if (!session.ok()) return Outcome::Of(session.status());
  Mutex mutex(**client, **session, arguments.name);
  Outcome outcome = WaitFor([&](absl::Time deadline) { return mutex.Lock(deadline); });
  if (outcome.code == kExitOk) {
    outcome =
        arguments.command.empty() ? HoldLock(context, **client, mutex) : RunUnderLock(arguments, **session, mutex);
    if (mutex.held()) {
      if (absl::Status status = mutex.Unlock(); !status.ok() && outcome.code == kExitOk) outcome = Outcome::Of(status);
    }
  }
  (void)(*session)->Close();  // Also takes a queued key away; if it fails the lease runs out by itself.
  return outcome;
}

struct ElectArguments {
  std::string name;
  std::string proposal;
  bool listen = false;
  int64_t ttl = 60;
  CLI::Option* proposal_option = nullptr;
};

void PrintLeader(Context& context, const LeaderResponse& leader) {
  RangeResponse response{.header = leader.header, .kvs = {leader.kv}, .count = 1};
  PrinterFor(context)->Get(response, {});
  context.out.flush();
}

Outcome RunObserve(Context& context, Client& client, const std::string& name) {
  Election election(client, name);
  auto observer = election.Observe();
  while (!Interrupt::happened()) {
    auto leader = observer->Next(absl::Now() + kLook);
    if (leader.ok()) {
      PrintLeader(context, *leader);
    } else if (leader.status().code() != absl::StatusCode::kDeadlineExceeded) {
      return {kExitError, absl::StrCat("elect: observer lost (", leader.status().message(), ")")};
    }
  }
  return Outcome::Ok();
}

Outcome RunElect(Context& context, const ElectArguments& arguments) {
  const bool has_proposal = arguments.proposal_option->count() > 0;
  if (!has_proposal && !arguments.listen) return Outcome::BadArguments("no proposal argument but -l not set");
  if (has_proposal && arguments.listen) return Outcome::BadArguments("proposal given but -l is set");
  auto client = context.client();
  if (!client.ok()) return Outcome::Of(client.status(), kExitBadConnection);
  Interrupt::Install();
  if (arguments.listen) return RunObserve(context, **client, arguments.name);

  auto session = Session::Open(**client, {.ttl = absl::Seconds(arguments.ttl)});
  if (!session.ok()) return Outcome::Of(session.status());
  Election election(**client, **session, arguments.name);
  Outcome outcome = WaitFor([&](absl::Time deadline) { return election.Campaign(arguments.proposal, deadline); });
  if (outcome.code == kExitOk) {
    auto response = (*client)->kv().Get(election.key());
    if (!response.ok()) {
      outcome = Outcome::Of(response.status());
    } else {
      PrinterFor(context)->Get(*response, {});
      context.out.flush();
      outcome = {kExitError, "elect: session expired"};
      while (election.is_leader()) {
        if (Interrupt::Wait(absl::Now() + kLook)) {
          outcome = Outcome::Of(election.Resign());
          break;
        }
      }
    }
  }
  (void)(*session)->Close();
  return outcome;
}

}  // namespace

void AddLockCommands(CLI::App& app, Context& context, Outcome& outcome) {
  auto lock = std::make_shared<LockArguments>();
  CLI::App* command = AddCommand(app, "lock", "hold a named lock, or run a command under it", Formats::kNoTable,
                                 context, outcome, [&context, lock] { return RunLock(context, *lock); });
  command->add_option("name", lock->name, "name of the lock")->required();
  command->add_option("command", lock->command,
                      "command to run while holding it, with KEEL_FENCING_TOKEN; put -- before its flags");
  command->add_option("--ttl", lock->ttl, "seconds the lock outlives this process's last sign of life")
      ->capture_default_str();
  command->add_option("--grace", lock->grace, "from SIGTERM to SIGKILL, when the command must end")
      ->capture_default_str();

  auto elect = std::make_shared<ElectArguments>();
  command = AddCommand(app, "elect", "take part in an election, or look on", Formats::kNoTable, context, outcome,
                       [&context, elect] { return RunElect(context, *elect); });
  command->add_option("name", elect->name, "name of the election")->required();
  elect->proposal_option = command->add_option("proposal", elect->proposal, "what to say when elected");
  command->add_flag("-l,--listen", elect->listen, "only print the leaders");
  command->add_option("--ttl", elect->ttl, "seconds leadership outlives this process's last sign of life")
      ->capture_default_str();
}

}  // namespace keel::ctl
