#include "tests/scenarios/interpreter.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "tests/scenarios/text.h"

namespace keel::raft::scenario {
namespace {

absl::Status Wrong(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::StatusOr<uint64_t> Number(const std::string& word) {
  uint64_t number = 0;
  if (!absl::SimpleAtoi(word, &number)) return Wrong(absl::StrCat("\"", word, "\" is no number"));
  return number;
}

// "(1,2,3)" or "2".
absl::StatusOr<std::vector<uint64_t>> Numbers(std::string word) {
  if (!word.empty() && word.front() == '(' && word.back() == ')') word = word.substr(1, word.size() - 2);
  std::vector<uint64_t> numbers;
  for (absl::string_view part : absl::StrSplit(word, ',', absl::SkipEmpty())) {
    const auto number = Number(std::string(part));
    if (!number.ok()) return number.status();
    numbers.push_back(*number);
  }
  return numbers;
}

absl::StatusOr<std::vector<MemberId>> Ids(const std::string& word) {
  const auto numbers = Numbers(word);
  if (!numbers.ok()) return numbers.status();
  std::vector<MemberId> ids;
  for (uint64_t number : *numbers) ids.emplace_back(number);
  std::sort(ids.begin(), ids.end());
  return ids;
}

struct LinkName {
  MemberId from, to;
  bool both = false;
};

// "1->2" or "1<->2".
absl::StatusOr<LinkName> ParseLink(const std::string& word) {
  LinkName link;
  const bool both = word.find("<->") != std::string::npos;
  const std::vector<std::string> ends = absl::StrSplit(word, both ? "<->" : "->");
  if (ends.size() != 2) return Wrong(absl::StrCat("\"", word, "\" is no link; write 1->2"));
  const auto from = Number(ends[0]), to = Number(ends[1]);
  if (!from.ok() || !to.ok()) return Wrong(absl::StrCat("\"", word, "\" is no link; write 1->2"));
  return LinkName{MemberId(*from), MemberId(*to), both};
}

// "Append" of "1->2 term=1 Append prev=...".
std::string KindOf(const Parcel& parcel) {
  const std::vector<std::string> words = absl::StrSplit(Text(parcel), ' ');
  return words.at(2);
}

std::string OneLine(const absl::Status& status) {
  return absl::StrCat(absl::StatusCodeToString(status.code()), ": ", status.message());
}

}  // namespace

absl::StatusOr<Command> Command::Parse(std::string_view line) {
  Command command;
  command.line = std::string(line);
  for (absl::string_view word : absl::StrSplit(ToAbsl(line), ' ', absl::SkipEmpty())) {
    if (command.name.empty()) {
      command.name = std::string(word);
    } else if (const size_t equals = word.find('='); equals != absl::string_view::npos && equals > 0) {
      command.options[std::string(word.substr(0, equals))] = std::string(word.substr(equals + 1));
    } else {
      command.words.emplace_back(word);
    }
  }
  if (command.name.empty()) return Wrong("an empty command");
  return command;
}

Interpreter::Interpreter() {
  const auto each = [this](std::function<void(MemberId)> act) {
    return [this, act = std::move(act)](const Command& command) { return ForEach(command, act); };
  };
  handlers_["add-nodes"] = [this](const Command& c) { return AddNodes(c); };
  handlers_["campaign"] = each([this](MemberId id) { group_.Input(id, [](Core& core) { core.Campaign(); }); });
  handlers_["elect"] = [this](const Command& c) { return Elect(c); };
  handlers_["timeout"] = [this](const Command& c) { return Timeout(c); };
  handlers_["tick"] = [this](const Command& c) -> absl::Status {
    const auto n = Number(c.words.size() > 1 ? c.words[1] : "1");
    KEEL_RETURN_IF_ERROR(n.status());
    return ForEach(c, [&](MemberId id) {
      for (uint64_t i = 0; i < *n; ++i) group_.Input(id, [](Core& core) { core.Tick(); });
    });
  };
  handlers_["propose"] = [this](const Command& c) { return Propose(c); };
  handlers_["read"] = [this](const Command& c) -> absl::Status {
    const auto id = OneUp(c);
    KEEL_RETURN_IF_ERROR(id.status());
    if (c.words.size() != 2) return Wrong("read MEMBER NAME");
    group_.Read(*id, c.words[1]);
    return absl::OkStatus();
  };
  handlers_["deliver"] = [this](const Command& c) { return Deliver(c); };
  handlers_["inject"] = [this](const Command& c) { return Inject(c); };
  handlers_["drop"] = [this](const Command& c) { return Drop(c); };
  handlers_["dup"] = [this](const Command& c) { return Duplicate(c); };
  handlers_["cut"] = [this](const Command& c) { return Cut(c); };
  handlers_["restore"] = [this](const Command& c) { return Cut(c); };
  handlers_["partition"] = [this](const Command& c) { return Partition(c); };
  handlers_["heal"] = [this](const Command&) {
    group_.HealAll();
    return absl::OkStatus();
  };
  handlers_["stand"] = [this](const Command& c) -> absl::Status {
    KEEL_RETURN_IF_ERROR(Timeout(c));
    return ForEach(c, [&](MemberId id) {
      const CoreStatus status = group_.core(id).status();
      for (MemberId voter : status.membership.voters) {
        if (voter == id || group_.core(id).status().role != Role::kPreCandidate) continue;
        group_.Input(id, [&](Core& core) {
          (void)core
              .Step({.from = voter,
                     .to = id,
                     .term = status.term + 1,
                     .body = VoteResponse{.granted = true, .pre_vote = true}})
              .ok();
        });
      }
    });
  };
  handlers_["membership"] = [this](const Command& c) { return ChangeMembership(c); };
  handlers_["transfer"] = [this](const Command& c) -> absl::Status {
    const auto id = OneUp(c);
    KEEL_RETURN_IF_ERROR(id.status());
    const auto target = Number(c.words.size() > 1 ? c.words[1] : "");
    KEEL_RETURN_IF_ERROR(target.status());
    absl::Status status;
    group_.Input(*id, [&](Core& core) { status = core.TransferLeadership(MemberId(*target)); });
    if (!status.ok()) Print(OneLine(status));
    return absl::OkStatus();
  };
  handlers_["peer-died"] = [this](const Command& c) -> absl::Status {
    const auto peer = Number(c.words.size() > 1 ? c.words[1] : "");
    KEEL_RETURN_IF_ERROR(peer.status());
    return ForEach(c, [&](MemberId id) { group_.Input(id, [&](Core& core) { core.OnPeerDied(MemberId(*peer)); }); });
  };
  handlers_["unreachable"] = [this](const Command& c) -> absl::Status {
    const auto id = OneUp(c), peer = OneUp(c, 1);
    KEEL_RETURN_IF_ERROR(id.status());
    KEEL_RETURN_IF_ERROR(peer.status());
    group_.Input(*id, [&](Core& core) { core.OnUnreachable(*peer); });
    return absl::OkStatus();
  };
  handlers_["sync"] = [this](const Command& c) -> absl::Status {
    const auto n = Number(c.words.size() > 1 ? c.words[1] : "1000000");
    KEEL_RETURN_IF_ERROR(n.status());
    return ForEach(c, [&](MemberId id) { group_.Sync(id, *n); });
  };
  handlers_["apply"] = each([this](MemberId id) { group_.Apply(id); });
  handlers_["install"] = each([this](MemberId id) { group_.Install(id); });
  handlers_["fetch"] = each([this](MemberId id) { group_.Fetch(id); });
  handlers_["snapshot"] = each([this](MemberId id) { group_.Flush(id); });
  handlers_["truncate"] = [this](const Command& c) { return Truncate(c); };
  handlers_["crash"] = [this](const Command& c) { return Crash(c); };
  handlers_["restart"] = [this](const Command& c) { return Restart(c); };
  handlers_["wipe"] = [this](const Command& c) -> absl::Status {
    const auto ids = Members(c.words.empty() ? "" : c.words[0], false);
    KEEL_RETURN_IF_ERROR(ids.status());
    for (MemberId id : *ids) group_.Wipe(id);
    return absl::OkStatus();
  };
  handlers_["damage"] = [this](const Command& c) { return Damage(c); };
  handlers_["hold"] = handlers_["release"] = [this](const Command& c) { return Hold(c); };
  handlers_["stabilize"] = [this](const Command& c) -> absl::Status {
    std::set<MemberId> only;
    if (!c.words.empty()) {
      const auto ids = Members(c.words[0]);
      KEEL_RETURN_IF_ERROR(ids.status());
      only.insert(ids->begin(), ids->end());
    }
    group_.Stabilize(only);
    return absl::OkStatus();
  };
  handlers_["run"] = [this](const Command& c) -> absl::Status {
    const auto n = Number(c.words.empty() ? "" : c.words[0]);
    KEEL_RETURN_IF_ERROR(n.status());
    group_.Run(static_cast<int>(*n));
    return absl::OkStatus();
  };
  handlers_["show"] = handlers_["hide"] = [this](const Command& c) -> absl::Status {
    if (c.words != std::vector<std::string>{"messages"}) return Wrong("show messages, hide messages");
    group_.ShowMessages(c.name == "show");
    return absl::OkStatus();
  };
  for (const char* what : {"status", "log", "disk", "state", "followers", "network"}) {
    handlers_[what] = [this](const Command& c) { return Say(c); };
  }
  handlers_["expect"] = [this](const Command& c) { return Expect(c); };
}

std::string Interpreter::Execute(const std::string& line) {
  printed_.clear();
  absl::StatusOr<Command> command = Command::Parse(line);
  absl::Status status = command.status();
  if (status.ok()) {
    const auto handler = handlers_.find(command->name);
    status =
        handler == handlers_.end() ? Wrong(absl::StrCat("unknown command ", command->name)) : handler->second(*command);
  }
  PrintNotes();
  if (!status.ok()) {
    if (failure_.empty()) failure_ = std::string(status.message().data(), status.message().size());
    Print(absl::StrCat("FAILED: ", status.message()));
  }
  if (!group_.oracle().violation().empty()) {
    if (failure_.empty()) failure_ = group_.oracle().violation();
    Print(absl::StrCat("VIOLATION: ", group_.oracle().violation()));
  }
  return std::exchange(printed_, {});
}

void Interpreter::PrintNotes() {
  for (const std::string& note : group_.TakeNotes()) Print(note);
}

// --- Who and what.

absl::StatusOr<std::vector<MemberId>> Interpreter::Members(const std::string& word, bool up) const {
  if (word == "all") {
    std::vector<MemberId> ids = group_.ids();
    if (up) std::erase_if(ids, [&](MemberId id) { return !group_.IsUp(id); });
    return ids;
  }
  auto ids = Ids(word);
  if (!ids.ok()) return ids.status();
  if (ids->empty()) return Wrong("which member?");
  for (MemberId id : *ids) {
    if (!group_.Knows(id)) return Wrong(absl::StrCat("there is no member ", Text(id)));
    if (up && !group_.IsUp(id)) return Wrong(absl::StrCat("member ", Text(id), " is down"));
  }
  return *std::move(ids);
}

absl::StatusOr<MemberId> Interpreter::OneUp(const Command& command, size_t word) const {
  if (command.words.size() <= word) return Wrong("which member?");
  const auto ids = Members(command.words[word]);
  if (!ids.ok()) return ids.status();
  if (ids->size() != 1) return Wrong("one member, please");
  return ids->front();
}

absl::Status Interpreter::ForEach(const Command& command, const std::function<void(MemberId)>& act) {
  const auto ids = Members(command.words.empty() ? "all" : command.words[0]);
  KEEL_RETURN_IF_ERROR(ids.status());
  for (MemberId id : *ids) act(id);
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint64_t>> Interpreter::Select(const Command& command) const {
  if (!command.words.empty() && command.words[0] == "exactly") {
    const std::string wanted = command.line.substr(command.line.find("exactly ") + 8);
    for (const Parcel& parcel : group_.network()) {
      if (Text(parcel) == wanted) return std::vector<uint64_t>{parcel.number};
    }
    return Wrong("nothing like that is on its way");
  }
  std::optional<LinkName> link;
  std::string kind, which = "all";
  for (const std::string& word : command.words) {
    if (word.find("->") != std::string::npos) {
      auto parsed = ParseLink(word);
      if (!parsed.ok()) return parsed.status();
      link = *parsed;
    } else if (word == "first" || word == "last" || word == "all") {
      which = word;
    } else {
      kind = word;
    }
  }
  std::vector<uint64_t> numbers;
  for (const Parcel& parcel : group_.network()) {
    const bool there = !link || (parcel.from == link->from && parcel.to == link->to) ||
                       (link->both && parcel.from == link->to && parcel.to == link->from);
    if (there && (kind.empty() || KindOf(parcel) == kind)) numbers.push_back(parcel.number);
  }
  if (numbers.empty()) return Wrong("nothing like that is on its way");
  if (which == "first") numbers.resize(1);
  if (which == "last") numbers = {numbers.back()};
  return numbers;
}

// --- Commands.

absl::Status Interpreter::AddNodes(const Command& command) {
  if (command.words.size() != 1) return Wrong("add-nodes N | add-nodes (IDS)");
  std::vector<uint64_t> ids;
  if (command.words[0].front() == '(') {
    const auto listed = Numbers(command.words[0]);
    KEEL_RETURN_IF_ERROR(listed.status());
    ids = *listed;
  } else {
    const auto n = Number(command.words[0]);
    KEEL_RETURN_IF_ERROR(n.status());
    for (uint64_t id = 1; id <= *n; ++id) ids.push_back(id);
  }
  Group::NewMember member;
  for (uint64_t id : ids) member.membership.voters.emplace_back(id);
  std::sort(member.membership.voters.begin(), member.membership.voters.end());
  for (const auto& [key, value] : command.options) {
    const auto number = [&, v = value]() -> uint64_t { return Number(v).value_or(0); };
    if (key == "voters" || key == "learners") {
      auto listed = Ids(value);
      KEEL_RETURN_IF_ERROR(listed.status());
      (key == "voters" ? member.membership.voters : member.membership.learners) = *listed;
    } else if (key == "log") {
      const auto terms = Numbers(value);
      KEEL_RETURN_IF_ERROR(terms.status());
      member.log = *terms;
    } else if (key == "term") {
      member.term = Term(number());
    } else if (key == "vote") {
      member.vote = MemberId(number());
    } else if (key == "commit") {
      member.commit = Index(number());
    } else if (key == "election") {
      member.core.election_ticks = static_cast<int>(number());
    } else if (key == "heartbeat") {
      member.core.heartbeat_ticks = static_cast<int>(number());
    } else if (key == "append-bytes") {
      member.core.append_bytes_max = number();
    } else if (key == "inflight") {
      member.core.inflight_messages_max = number();
    } else if (key == "cached") {
      member.core.cached_log_bytes_max = number();
    } else if (key == "segment-bytes") {
      member.segment_bytes = number();
    } else if (key == "base") {
      member.base = Index(number());
    } else if (key == "blank") {
      member.blank = value == "yes";
    } else {
      return Wrong(absl::StrCat("add-nodes knows no option ", key));
    }
  }
  for (uint64_t id : ids) {
    member.id = MemberId(id);
    if (group_.Knows(member.id)) return Wrong(absl::StrCat("member ", id, " exists already"));
    KEEL_RETURN_IF_ERROR(group_.Add(member));
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Deliver(const Command& command) {
  const auto numbers = Select(command);
  KEEL_RETURN_IF_ERROR(numbers.status());
  for (uint64_t number : *numbers) {
    if (std::optional<Parcel> parcel = group_.Take(number)) group_.Deliver(*std::move(parcel));
  }
  return absl::OkStatus();
}

// "inject 1->3 term=4 prev=2@1 log=(1,2) commit=3": an append that a leader of the past, or of another build, may send.
absl::Status Interpreter::Inject(const Command& command) {
  const auto link = ParseLink(command.words.empty() ? "" : command.words[0]);
  KEEL_RETURN_IF_ERROR(link.status());
  const auto option = [&](const std::string& key) {
    const auto it = command.options.find(key);
    return it == command.options.end() ? std::string("0") : it->second;
  };
  const std::vector<std::string> prev = absl::StrSplit(option("prev"), '@');
  const auto term = Number(option("term")), commit = Number(option("commit")), index = Number(prev.front()),
             prev_term = Number(prev.back());
  const auto log = Numbers(command.options.contains("log") ? option("log") : "()");
  for (const absl::Status& status :
       {term.status(), commit.status(), index.status(), prev_term.status(), log.status()}) {
    KEEL_RETURN_IF_ERROR(status);
  }
  AppendRequest append{.prev = {Term(*prev_term), Index(*index)}, .entries = {}, .commit = Index(*commit)};
  for (uint64_t entry_term : *log)
    append.entries.push_back(StoredEntry(append.prev.index + append.entries.size() + 1, Term(entry_term)));
  group_.Deliver({.number = 0,
                  .from = link->from,
                  .to = link->to,
                  .what = Message{.from = link->from, .to = link->to, .term = Term(*term), .body = std::move(append)}});
  return absl::OkStatus();
}

absl::Status Interpreter::Drop(const Command& command) {
  const auto numbers = Select(command);
  KEEL_RETURN_IF_ERROR(numbers.status());
  for (uint64_t number : *numbers) (void)group_.Take(number);
  return absl::OkStatus();
}

absl::Status Interpreter::Duplicate(const Command& command) {
  const auto numbers = Select(command);
  KEEL_RETURN_IF_ERROR(numbers.status());
  for (uint64_t number : *numbers) {
    const auto& network = group_.network();
    group_.Duplicate(
        Parcel(*std::find_if(network.begin(), network.end(), [&](const Parcel& p) { return p.number == number; })));
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Cut(const Command& command) {
  if (command.words.empty()) return Wrong("cut 1->2 | cut 1<->2 | cut MEMBER");
  for (const std::string& word : command.words) {
    const bool up = command.name == "restore";
    if (word.find("->") == std::string::npos) {
      const auto ids = Members(word, false);
      KEEL_RETURN_IF_ERROR(ids.status());
      for (MemberId id : *ids) {
        for (MemberId other : group_.ids()) {
          group_.SetLink(id, other, up);
          group_.SetLink(other, id, up);
        }
      }
      continue;
    }
    const auto link = ParseLink(word);
    KEEL_RETURN_IF_ERROR(link.status());
    group_.SetLink(link->from, link->to, up);
    if (link->both) group_.SetLink(link->to, link->from, up);
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Partition(const Command& command) {
  std::map<MemberId, size_t> side;
  for (size_t i = 0; i < command.words.size(); ++i) {
    const auto ids = Members(command.words[i], false);
    KEEL_RETURN_IF_ERROR(ids.status());
    for (MemberId id : *ids) side[id] = i;
  }
  for (MemberId a : group_.ids()) {
    if (!side.contains(a)) return Wrong(absl::StrCat("on which side is member ", Text(a), "?"));
  }
  for (MemberId a : group_.ids()) {
    for (MemberId b : group_.ids()) group_.SetLink(a, b, side[a] == side[b]);
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Propose(const Command& command) {
  const auto id = OneUp(command);
  KEEL_RETURN_IF_ERROR(id.status());
  if (command.words.size() < 2) return Wrong("propose MEMBER COMMAND...");
  std::vector<Payload> payloads;
  for (size_t i = 1; i < command.words.size(); ++i) payloads.emplace_back(command.words[i]);
  absl::Status status;
  group_.Input(*id, [&](Core& core) { status = core.Propose(std::move(payloads)); });
  if (!status.ok()) Print(OneLine(status));
  return absl::OkStatus();
}

// "membership 1 add-voter 4 remove 3", "membership 1 add-learner 4,5".
absl::Status Interpreter::ChangeMembership(const Command& command) {
  const auto id = OneUp(command);
  KEEL_RETURN_IF_ERROR(id.status());
  MembershipChange change;
  for (size_t i = 1; i + 1 < command.words.size(); i += 2) {
    const std::string& what = command.words[i];
    const auto who = Ids(command.words[i + 1]);
    KEEL_RETURN_IF_ERROR(who.status());
    std::vector<MemberId>* list = what == "add-voter"     ? &change.add_voters
                                  : what == "add-learner" ? &change.add_learners
                                  : what == "remove"      ? &change.remove
                                                          : nullptr;
    if (list == nullptr) return Wrong("membership MEMBER [add-voter IDS] [add-learner IDS] [remove IDS]");
    list->insert(list->end(), who->begin(), who->end());
  }
  absl::Status status;
  group_.Input(*id, [&](Core& core) { status = core.ProposeMembership(change, Payload()); });
  if (!status.ok()) Print(OneLine(status));
  return absl::OkStatus();
}

absl::Status Interpreter::Timeout(const Command& command) {
  return ForEach(command, [&](MemberId id) {
    const uint64_t sent_before = group_.network().empty() ? 0 : group_.network().back().number;
    const bool led = group_.core(id).status().role == Role::kLeader;
    for (int i = 0; i < 1000; ++i) {
      group_.Input(id, [](Core& core) { core.Tick(); });
      const bool leads = group_.core(id).status().role == Role::kLeader;
      if (led != leads) return;
      if (std::any_of(group_.network().rbegin(), group_.network().rend(), [&](const Parcel& parcel) {
            return parcel.number > sent_before && parcel.from == id && KindOf(parcel) == "PreVote";
          })) {
        return;
      }
    }
  });
}

// Only what the election needs travels and is written: the winner's no-op waits on its queue, its first appends on the
// network.
absl::Status Interpreter::Elect(const Command& command) {
  const auto candidate = OneUp(command);
  KEEL_RETURN_IF_ERROR(candidate.status());
  const auto listed = command.options.find("voters");
  if (listed == command.options.end()) return Wrong("elect MEMBER voters=(...)");
  const auto voters = Members(listed->second);
  KEEL_RETURN_IF_ERROR(voters.status());
  const auto leads = [&] { return group_.core(*candidate).status().role == Role::kLeader; };
  const uint64_t sent_before = group_.network().empty() ? 0 : group_.network().back().number;
  for (MemberId voter : *voters) {
    // Until it has forgotten the leader; what it says about that in between is not heard.
    for (int i = 0; i < 10 && group_.core(voter).status().leader != kNobody; ++i) {
      group_.Input(voter, [](Core& core) { core.Tick(); });
    }
  }
  for (int round = 0; round < 8 && !leads(); ++round) {
    // It may have to learn of a later term first.
    if (round == 0 || group_.core(*candidate).status().role == Role::kFollower) {
      group_.Input(*candidate, [](Core& core) { core.Campaign(); });
    }
    std::vector<uint64_t> numbers;
    for (const Parcel& parcel : group_.network()) {
      const bool asks = parcel.from == *candidate && std::count(voters->begin(), voters->end(), parcel.to) > 0;
      const bool answers = parcel.to == *candidate && std::count(voters->begin(), voters->end(), parcel.from) > 0;
      const std::string kind = KindOf(parcel);
      if ((asks && (kind == "PreVote" || kind == "Vote")) ||
          (answers && (kind == "PreVoteAnswer" || kind == "VoteAnswer"))) {
        numbers.push_back(parcel.number);
      }
    }
    for (uint64_t number : numbers) {
      if (leads()) break;
      group_.Deliver(*group_.Take(number));
    }
    for (MemberId voter : *voters) group_.Sync(voter);
    if (!leads()) group_.Sync(*candidate);
  }
  // Answers that came too late to matter.
  std::vector<uint64_t> late;
  for (const Parcel& parcel : group_.network()) {
    const std::string kind = KindOf(parcel);
    if (parcel.number <= sent_before) continue;
    if (kind == "PreVote" || kind == "Vote" || kind == "PreVoteAnswer" || kind == "VoteAnswer") {
      late.push_back(parcel.number);
    }
  }
  for (uint64_t number : late) (void)group_.Take(number);
  return leads() ? absl::OkStatus() : Wrong(absl::StrCat("member ", Text(*candidate), " was not elected"));
}

absl::Status Interpreter::Crash(const Command& command) {
  const auto ids = Members(command.words.empty() ? "" : command.words[0]);
  KEEL_RETURN_IF_ERROR(ids.status());
  const std::string how = command.words.size() > 1 ? command.words[1] : "lose-unsynced";
  std::optional<size_t> torn;
  if (const auto it = command.options.find("torn"); it != command.options.end()) {
    const auto bytes = Number(it->second);
    KEEL_RETURN_IF_ERROR(bytes.status());
    torn = *bytes;
  } else if (how != "lose-unsynced") {
    return Wrong("crash MEMBERS [lose-unsynced | torn=BYTES]");
  }
  for (MemberId id : *ids) {
    if (torn && group_.queued_writes(id) == 0) return Wrong("no write is under way that could be torn");
    group_.Crash(id, torn);
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Restart(const Command& command) {
  const auto ids = Members(command.words.empty() ? "" : command.words[0], false);
  KEEL_RETURN_IF_ERROR(ids.status());
  for (MemberId id : *ids) {
    if (group_.IsUp(id)) return Wrong(absl::StrCat("member ", Text(id), " is up"));
    const absl::Status status = group_.Restart(id);
    if (!status.ok()) Print(absl::StrCat(Text(id), " does not start: ", OneLine(status)));
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Truncate(const Command& command) {
  const auto id = OneUp(command);
  KEEL_RETURN_IF_ERROR(id.status());
  if (command.words.size() > 2) return Wrong("truncate MEMBER [THROUGH]");
  const auto through = command.words.size() == 2 ? Number(command.words[1]) : group_.machine(*id).last.index.value();
  KEEL_RETURN_IF_ERROR(through.status());
  if (Index(*through) > group_.machine(*id).last.index) return Wrong("the state machine needs these entries");
  group_.Truncate(*id, Index(*through));
  return absl::OkStatus();
}

absl::Status Interpreter::Hold(const Command& command) {
  const auto ids = Members(command.words.empty() ? "" : command.words[0]);
  KEEL_RETURN_IF_ERROR(ids.status());
  for (MemberId id : *ids) {
    if (command.name == "release") {
      group_.Release(id);
      continue;
    }
    const std::map<std::string, Held> kinds = {
        {"disk", Held::kDisk}, {"apply", Held::kApply}, {"ticks", Held::kTicks}, {"all", Held::kAll}};
    const auto kind = kinds.find(command.words.size() > 1 ? command.words[1] : "all");
    if (kind == kinds.end()) return Wrong("hold MEMBERS [disk | apply | ticks | all]");
    group_.Hold(id, kind->second);
  }
  return absl::OkStatus();
}

absl::Status Interpreter::Damage(const Command& command) {
  const auto ids = Members(command.words.empty() ? "" : command.words[0], false);
  KEEL_RETURN_IF_ERROR(ids.status());
  if (command.words.size() < 2) return Wrong("damage MEMBER flip PAYLOAD | cut PAYLOAD BYTES | sync");
  const MemberId id = ids->front();
  if (command.words[1] == "sync") {
    group_.disk(id).FailNextSync();
    return absl::OkStatus();
  }
  if (command.words.size() < 3) return Wrong("damage where?");
  bool found = false;
  if (command.words[1] == "flip") {
    found = group_.disk(id).FlipBitIn(command.words[2]);
  } else {
    const auto kept = Number(command.words.size() > 3 ? command.words[3] : "0");
    KEEL_RETURN_IF_ERROR(kept.status());
    found = group_.disk(id).CutFileIn(command.words[2], *kept);
  }
  return found ? absl::OkStatus() : Wrong("no file holds that");
}

absl::Status Interpreter::Say(const Command& command) {
  PrintNotes();
  if (command.name == "network") {
    for (const Parcel& parcel : group_.network()) Print(Text(parcel));
    if (group_.network().empty()) Print("nothing is on its way");
    return absl::OkStatus();
  }
  const auto ids = Members(command.words.empty() ? "all" : command.words[0], false);
  KEEL_RETURN_IF_ERROR(ids.status());
  for (MemberId id : *ids) {
    std::string text;
    if (command.name == "disk") {
      const HardState& hard = group_.hard_state(id);
      text = absl::StrCat("term=", Text(hard.term), " vote=", Text(hard.vote), " ", Text(group_.durable_log(id)));
    } else if (!group_.IsUp(id)) {
      text = "down";
    } else if (command.name == "status") {
      const CoreStatus status = group_.core(id).status();
      text = absl::StrCat(Text(status), " members=", Text(status.membership));
    } else if (command.name == "log") {
      text = Text(group_.written_log(id));
    } else if (command.name == "state") {
      text = absl::StrCat("at ", Text(group_.machine(id).last), ": ", absl::StrJoin(group_.machine(id).commands, " "));
    } else {
      for (const FollowerStatus& follower : group_.core(id).followers()) {
        const char* states[] = {"probe", "replicate", "snapshot"};
        Print(absl::StrCat(Text(id), " sees ", Text(follower.id), ": ", states[static_cast<int>(follower.state)],
                           " match=", Text(follower.match), " next=", Text(follower.next),
                           follower.recently_active ? "" : " inactive"));
      }
      continue;
    }
    Print(absl::StrCat(Text(id), " ", text));
  }
  return absl::OkStatus();
}

// "expect leader=1", "expect leader=none", "expect 2 commit=3 term=2 role=follower", "expect agree all",
// "expect state 2 a b c".
absl::Status Interpreter::Expect(const Command& command) {
  ++expectations_;
  if (command.words.empty() && command.options.contains("leader")) {
    const MemberId leader = group_.leader();
    const std::string& wanted = command.options.at("leader");
    const bool holds = wanted == "some" ? leader != kNobody : wanted == (leader == kNobody ? "none" : Text(leader));
    return holds ? absl::OkStatus()
                 : Wrong(absl::StrCat("expected leader=", wanted, ", but it is ",
                                      leader == kNobody ? "none" : Text(leader)));
  }
  if (command.words.empty()) return Wrong("expect what?");
  if (command.words[0] == "agree") {
    const auto ids = Members(command.words.size() > 1 ? command.words[1] : "all");
    KEEL_RETURN_IF_ERROR(ids.status());
    if (ids->size() < 2) return Wrong("nobody to agree with");
    const Machine& first = group_.machine(ids->front());
    for (MemberId id : *ids) {
      const Machine& machine = group_.machine(id);
      const Index last = group_.core(id).status().last.index;
      if (machine.commands != first.commands || machine.last != first.last || last != machine.last.index) {
        return Wrong(absl::StrCat("members ", Text(ids->front()), " and ", Text(id), " do not agree"));
      }
    }
    return absl::OkStatus();
  }
  if (command.words[0] == "match") {
    const auto leader = OneUp(command, 1);
    KEEL_RETURN_IF_ERROR(leader.status());
    if (command.words.size() != 4) return Wrong("expect match LEADER FOLLOWER INDEX");
    for (const FollowerStatus& follower : group_.core(*leader).followers()) {
      if (Text(follower.id) != command.words[2]) continue;
      if (Text(follower.match) == command.words[3]) return absl::OkStatus();
      return Wrong(absl::StrCat("member ", Text(*leader), " counts ", Text(follower.match), " on ", command.words[2]));
    }
    return Wrong(absl::StrCat("member ", Text(*leader), " leads no ", command.words[2]));
  }
  if (command.words[0] == "state") {
    if (command.words.size() < 2) return Wrong("expect state MEMBER COMMAND...");
    const auto ids = Members(command.words[1]);
    KEEL_RETURN_IF_ERROR(ids.status());
    const std::vector<std::string> wanted(command.words.begin() + 2, command.words.end());
    for (MemberId id : *ids) {
      if (group_.machine(id).commands == wanted) continue;
      return Wrong(absl::StrCat("member ", Text(id), " holds ", absl::StrJoin(group_.machine(id).commands, " ")));
    }
    return absl::OkStatus();
  }
  const auto ids = Members(command.words[0]);
  KEEL_RETURN_IF_ERROR(ids.status());
  for (MemberId id : *ids) {
    const CoreStatus status = group_.core(id).status();
    const std::map<std::string, std::string> facts = {
        {"role", RoleName(status.role)},
        {"term", Text(status.term)},
        {"leader", status.leader == kNobody ? "none" : Text(status.leader)},
        {"commit", Text(status.commit)},
        {"applied", Text(status.applied)},
        {"last", Text(status.last)},
        {"members", Text(status.membership)}};
    for (const auto& [key, wanted] : command.options) {
      const auto fact = facts.find(key);
      if (fact == facts.end()) return Wrong(absl::StrCat("expect knows no ", key));
      if (fact->second != wanted) {
        return Wrong(
            absl::StrCat("expected ", key, "=", wanted, " of member ", Text(id), ", but it is ", fact->second));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace keel::raft::scenario
