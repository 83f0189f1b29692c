#include "tests/explorer/explorer.h"

#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/explorer/judge.h"
#include "tests/explorer/member.h"
#include "tests/scenarios/text.h"

namespace keel::explorer {
namespace {

constexpr uint32_t kNoParent = UINT32_MAX;

// What of the world's allowances a path has used up.
struct Used {
  uint8_t timeouts = 0, beats = 0, proposals = 0, crashes = 0, duplicates = 0, drops = 0, snapshots = 0, changes = 0;
};

struct State {
  std::array<Number, 3> members;
  Number history = 0;
  Used used;
  std::vector<Number> parcels;  // On their way: ascending, each once.
};

enum class Kind : uint8_t { kInput, kDuplicate, kDrop };

// How a state came from the one before it.
struct Link {
  uint32_t parent = kNoParent;
  Kind kind = Kind::kInput;
  Input input = Input::kDeliver;
  uint8_t member = 0;  // 0, 1, 2.
  Number argument = 0;
};

struct Hash {
  uint64_t a = 0xcbf29ce484222325, b = 0x9e3779b97f4a7c15;
  void Add(uint64_t value) {
    a = (a ^ value) * 0x100000001b3;
    a ^= a >> 32;
    b = (b + value) * 0xd6e8feb86659fd93;
    b ^= b >> 29;
  }
};

class Search {
 public:
  Search(const World& world, const Limits& limits, volatile uint64_t* progress)
      : world_(world), limits_(limits), progress_(progress), members_(world), judge_(members_) {}

  Report Run();
  // The way to the state whose steps are being tried, and the step.
  std::vector<std::string> Script(uint32_t number, const Link* last) const;
  std::vector<std::string> ScriptNow() const { return Script(current_, &trying_); }

 private:
  State Begin();
  void Deliver(State* state, const std::vector<Number>& sent) const;
  void Expand(const State& state);
  void Try(const State& state, const Link& link);
  bool OutOfLimits();
  double Seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

  const World& world_;
  const Limits limits_;
  volatile uint64_t* const progress_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Members members_;
  Judge judge_;
  Report report_;
  std::vector<Link> links_;  // By number of the state.
  absl::flat_hash_set<std::pair<uint64_t, uint64_t>> seen_;
  std::vector<std::pair<State, uint32_t>> next_;
  uint32_t current_ = 0;
  Link trying_;
};

// A failed KEEL_CHECK ends the process; what led to it must not be lost.
const Search* running = nullptr;

void PrintWayOnAbort(int) {
  if (running == nullptr) return;
  std::fprintf(stderr, "the way to it, as a scenario script:\n");
  for (const std::string& line : running->ScriptNow()) std::fprintf(stderr, "%s\n", line.c_str());
  running = nullptr;
}

State Search::Begin() {
  State state;
  for (uint64_t id = 1; id <= 3; ++id) state.members[id - 1] = members_.First(MemberId(id));
  state.history = judge_.Begin(state.members);
  if (!world_.elect_first) return state;
  const auto act = [&](size_t member, Input input, Number argument) {
    const Number before = state.members[member];
    const Members::Step step = members_.Do(before, input, argument);
    state.members[member] = step.member;
    state.history = judge_.Check(state.history, before, step.member, step.sent, false, state.members);
    Deliver(&state, step.sent);
  };
  act(0, Input::kTimeout, 0);
  for (bool busy = true; busy;) {
    busy = false;
    for (size_t m = 0; m < 3; ++m) {
      for (; !members_.at(state.members[m]).writes.empty(); busy = true) act(m, Input::kSync, 0);
    }
    if (state.parcels.empty()) continue;
    busy = true;
    const Number parcel = state.parcels.front();
    state.parcels.erase(state.parcels.begin());
    act(members_.parcel(parcel).to.value() - 1, Input::kDeliver, parcel);
  }
  return state;
}

void Search::Deliver(State* state, const std::vector<Number>& sent) const {
  for (Number parcel : sent) {
    if (members_.parcel(parcel).to.value() > 3) continue;
    const auto at = std::lower_bound(state->parcels.begin(), state->parcels.end(), parcel);
    if (at == state->parcels.end() || *at != parcel) state->parcels.insert(at, parcel);
  }
}

bool Search::OutOfLimits() {
  if (progress_ != nullptr) *progress_ = links_.size();
  return links_.size() >= limits_.states_max || (limits_.seconds_max > 0 && Seconds() > limits_.seconds_max);
}

void Search::Try(const State& state, const Link& link) {
  if (!judge_.violation().empty()) return;
  ++report_.transitions;
  trying_ = link;
  State to = state;
  switch (link.kind) {
    case Kind::kDrop:
      std::erase(to.parcels, link.argument);
      ++to.used.drops;
      break;
    case Kind::kDuplicate:
      ++to.used.duplicates;
      break;
    case Kind::kInput:
      if (link.input == Input::kDeliver) std::erase(to.parcels, link.argument);
      to.used.timeouts += link.input == Input::kTimeout;
      to.used.beats += link.input == Input::kBeat;
      to.used.proposals += link.input == Input::kPropose;
      to.used.crashes += link.input == Input::kCrash;
      to.used.snapshots += link.input == Input::kSnapshot;
      to.used.changes += link.input == Input::kChange;
      break;
  }
  if (link.kind != Kind::kDrop) {
    const Number before = state.members[link.member];
    const Members::Step& step = members_.Do(before, link.input, link.argument);
    to.members[link.member] = step.member;
    to.history = judge_.Check(state.history, before, step.member, step.sent, link.input == Input::kCrash, to.members);
    Deliver(&to, step.sent);
  }
  Hash hash;
  for (Number member : to.members) hash.Add(member);
  hash.Add(to.history);
  for (uint8_t n : {to.used.timeouts, to.used.beats, to.used.proposals, to.used.crashes, to.used.duplicates,
                    to.used.drops, to.used.snapshots, to.used.changes}) {
    hash.Add(n);
  }
  for (Number parcel : to.parcels) hash.Add(parcel);
  const bool is_new = seen_.emplace(hash.a, hash.b).second;
  if (!is_new && judge_.violation().empty()) return;
  Link whole = link;
  whole.parent = current_;
  links_.push_back(whole);
  next_.emplace_back(std::move(to), static_cast<uint32_t>(links_.size() - 1));
}

void Search::Expand(const State& state) {
  const auto input = [&](size_t member, Input what, Number argument = 0) {
    Try(state, {.kind = Kind::kInput, .input = what, .member = static_cast<uint8_t>(member), .argument = argument});
  };
  for (Number parcel : state.parcels) {
    const size_t to = members_.parcel(parcel).to.value() - 1;
    input(to, Input::kDeliver, parcel);
    if (state.used.duplicates < world_.duplicates_max) {
      Try(state,
          {.kind = Kind::kDuplicate, .input = Input::kDeliver, .member = static_cast<uint8_t>(to), .argument = parcel});
    }
    if (state.used.drops < world_.drops_max) Try(state, {.kind = Kind::kDrop, .argument = parcel});
  }
  for (size_t m = 0; m < 3; ++m) {
    const Member& member = members_.at(state.members[m]);
    const bool leads = member.status.role == Role::kLeader;
    if (!member.writes.empty()) input(m, Input::kSync);
    if (state.used.timeouts < world_.timeouts_max && (leads || member.status.term.value() < world_.terms_max)) {
      input(m, Input::kTimeout);
    }
    if (leads && state.used.beats < world_.beats_max) input(m, Input::kBeat);
    if (leads && state.used.proposals < world_.proposals_max) input(m, Input::kPropose, state.used.proposals + 1);
    if (leads && state.used.changes == 0 && !world_.change.empty()) input(m, Input::kChange);
    if (state.used.crashes < world_.crashes_max) input(m, Input::kCrash);
    if (state.used.snapshots < world_.snapshots_max && member.machine.applied.index > member.durable.base().index) {
      input(m, Input::kSnapshot);
    }
  }
}

Report Search::Run() {
  running = this;
  const auto old_handler = std::signal(SIGABRT, PrintWayOnAbort);
  std::vector<std::pair<State, uint32_t>> frontier;
  links_.push_back({});
  frontier.emplace_back(Begin(), 0);
  bool stopped = false;
  while (!frontier.empty() && !stopped) {
    for (const auto& [state, number] : frontier) {
      current_ = number;
      Expand(state);
      if (!judge_.violation().empty() || OutOfLimits()) {
        stopped = true;
        break;
      }
    }
    if (!stopped) ++report_.depth;
    frontier = std::exchange(next_, {});
  }
  report_.exhausted = !stopped;
  report_.states = links_.size();
  report_.local_states = members_.size();
  report_.executed = members_.executed();
  report_.comparisons = judge_.comparisons();
  report_.violation = judge_.violation();
  if (!report_.violation.empty()) report_.script = Script(static_cast<uint32_t>(links_.size() - 1), nullptr);
  report_.seconds = Seconds();
  std::signal(SIGABRT, old_handler);
  running = nullptr;
  return report_;
}

std::string List(const std::vector<uint64_t>& numbers) { return absl::StrCat("(", absl::StrJoin(numbers, ","), ")"); }

std::vector<std::string> Search::Script(uint32_t number, const Link* last) const {
  std::vector<std::string> lines;
  lines.push_back(absl::StrCat("# Claim: found by the explorer in the world ", world_.name, "."));
  lines.push_back("");
  for (uint64_t id = 1; id <= 3; ++id) {
    const World::Start& start = world_.members[id - 1];
    std::string line = absl::StrCat("add-nodes (", id, ") voters=", List(world_.voters), " election=3 append-bytes=1");
    if (std::count(world_.voters.begin(), world_.voters.end(), id) == 0) absl::StrAppend(&line, " blank=yes");
    if (world_.base > 0) absl::StrAppend(&line, " base=", world_.base);
    if (!start.log.empty()) {
      absl::StrAppend(&line, " log=", List(start.log), " term=", start.term, " vote=", start.vote,
                      " commit=", start.commit);
    }
    lines.push_back(line);
  }
  if (world_.elect_first) {
    lines.push_back("timeout 1");
    lines.push_back("stabilize");
  }
  std::vector<Link> way;
  if (last != nullptr) way.push_back(*last);
  for (; number != 0; number = links_[number].parent) way.push_back(links_[number]);
  for (auto link = way.rbegin(); link != way.rend(); ++link) {
    const uint64_t id = link->member + 1;
    const bool is_parcel = link->kind != Kind::kInput || link->input == Input::kDeliver;
    const std::string parcel = is_parcel ? Text(members_.parcel(link->argument)) : "";
    if (link->kind == Kind::kDrop) {
      lines.push_back(absl::StrCat("drop exactly ", parcel));
      continue;
    }
    if (link->kind == Kind::kDuplicate) lines.push_back(absl::StrCat("dup exactly ", parcel));
    switch (link->input) {
      case Input::kDeliver:
        lines.push_back(absl::StrCat("deliver exactly ", parcel));
        break;
      case Input::kTimeout:
        lines.push_back(absl::StrCat(world_.quick_votes ? "stand " : "timeout ", id));
        break;
      case Input::kBeat:
        lines.push_back(absl::StrCat("tick ", id));
        break;
      case Input::kSync:
        lines.push_back(absl::StrCat("sync ", id, " 1"));
        break;
      case Input::kCrash:
        lines.push_back(absl::StrCat("crash ", id));
        lines.push_back(absl::StrCat("restart ", id));
        break;
      case Input::kPropose:
        lines.push_back(absl::StrCat("propose ", id, " x", link->argument));
        break;
      case Input::kChange: {
        std::string line = absl::StrCat("membership ", id);
        for (MemberId who : world_.change.add_voters) absl::StrAppend(&line, " add-voter ", who.value());
        for (MemberId who : world_.change.add_learners) absl::StrAppend(&line, " add-learner ", who.value());
        for (MemberId who : world_.change.remove) absl::StrAppend(&line, " remove ", who.value());
        lines.push_back(line);
        break;
      }
      case Input::kSnapshot:
        lines.push_back(absl::StrCat("snapshot ", id));
        lines.push_back(absl::StrCat("truncate ", id));
        break;
    }
    if (link->input == Input::kDeliver && std::holds_alternative<SnapshotMeta>(members_.parcel(link->argument).what)) {
      lines.push_back(absl::StrCat("sync ", id));
      lines.push_back(absl::StrCat("install ", id));
    }
    if (!world_.slow_disks) lines.push_back(absl::StrCat("sync ", id));
    lines.push_back(absl::StrCat("apply ", id));
    lines.push_back(absl::StrCat("fetch ", id));
  }
  lines.push_back("----");
  return lines;
}

}  // namespace

Report Explore(const World& world, const Limits& limits, volatile uint64_t* progress) {
  return Search(world, limits, progress).Run();
}

}  // namespace keel::explorer
