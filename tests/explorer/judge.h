#pragma once

// What must hold of three members together, for states that are visited in any order: what a path has done that its
// state does not show (who led, who voted for whom, what was committed) is kept in a History, which is part of the
// state.

#include <array>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "tests/explorer/member.h"

namespace keel::explorer {

struct History {
  struct Vote {
    MemberId from;
    Term term;
    MemberId to;
  };
  struct Committed {
    EntryId id;
    Term in;  // By the leader of this term.
  };

  std::vector<std::pair<Term, MemberId>> leaders;  // Ascending.
  std::vector<Vote> votes;                         // Ever sent. Ascending.
  std::vector<Committed> committed;                // From index 1 on.
};

class Judge {
 public:
  explicit Judge(const Members& members) : members_(members) {}

  // The history of a beginning. `all`: the members.
  Number Begin(const std::array<Number, 3>& all);
  // One of `all` was `before`; `sent` left it. The history from here on. A violation is kept.
  Number Check(Number history, Number before, Number after, const std::vector<Number>& sent, bool crashed,
               const std::array<Number, 3>& all);

  const std::string& violation() const { return violation_; }
  uint64_t comparisons() const { return comparisons_; }
  const History& at(Number history) const { return histories_[history]; }

 private:
  void Require(bool holds, const char* invariant, MemberId id, const char* text);
  void CheckSent(const Member& member, const std::vector<Number>& sent, History* history);
  void CheckLeader(const Member& before, const Member& member, bool is_same, History* history);
  void CheckCommit(const Member& before, const Member& member, bool is_same, const std::array<Number, 3>& all,
                   History* history);
  void CheckLogs(Number after, const std::array<Number, 3>& all);
  void CheckMembership(const Member& member);
  Number Keep(const History& history);

  const Members& members_;
  std::string violation_;
  uint64_t comparisons_ = 0;
  std::vector<History> histories_;
  std::unordered_map<std::string, Number> numbers_;
};

}  // namespace keel::explorer
