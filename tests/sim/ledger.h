#pragma once

// What a run has compared, what was done to it, and which interesting states it has been in. A check that compared
// nothing has proven nothing, so every one is counted, and a sum of zero over many seeds is a failure of the simulation
// itself. Owned by one thread.

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

namespace keel::sim {

// The first broken rule of a run; thrown where it is found, nothing after it means anything.
struct Violation {
  std::string invariant;  // Its name, stable: "election-safety".
  std::string detail;
};

using Counts = std::map<std::string, uint64_t, std::less<>>;

struct Ledger {
  Counts checks;  // Comparisons made, by invariant.
  Counts faults;  // Injected, by class.
  Counts marks;   // States reached that a good run reaches sometimes.
  Counts totals;  // Anything else worth a figure: events, messages, elections, ...

  void Add(const Ledger& other);
  // Lines of text; the same for equal ledgers.
  std::string ToString() const;
  // Adds what ToString printed. False: `text` is something else.
  bool Parse(std::string_view text);
};

// One rule with its name and its count of comparisons.
//
//   Invariant election_safety(&ledger, "election-safety");
//   election_safety.Require(leader == id, [&] { return absl::StrCat(...); });
//
// Must not outlive its ledger.
class Invariant {
 public:
  Invariant(Ledger* ledger, std::string_view name)
      : name_(name), count_(&ledger->checks.emplace(name_, 0).first->second) {}

  // Throws Violation. `describe` is called only then.
  template <typename Describe>
  void Require(bool holds, const Describe& describe) {
    ++*count_;
    if (!holds) throw Violation{name_, describe()};
  }

 private:
  const std::string name_;
  uint64_t* const count_;
};

// A reachability mark: a state that some seed must reach, or the faults are too tame to prove anything.
class Mark {
 public:
  Mark(Ledger* ledger, std::string_view name) : count_(&ledger->marks.emplace(std::string(name), 0).first->second) {}
  void Reached(bool condition = true) { *count_ += condition; }

 private:
  uint64_t* const count_;
};

// A 64-bit mix for digests and chains of hashes; not for secrets.
uint64_t Mix(uint64_t a, uint64_t b);
uint64_t HashOf(std::string_view bytes, uint64_t seed = 0);

}  // namespace keel::sim
