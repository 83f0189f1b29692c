#pragma once

// The planted bugs, and which mistake each is. raft/mutant.h says how one is switched on.

#include <string_view>
#include <vector>

#include "raft/mutant.h"

namespace keel::mutants {

struct Planted {
  Mutant mutant;
  const char* name;
  const char* bug;   // Its number in the list of classic Raft bugs.
  const char* what;  // What this build does wrong.
};

const std::vector<Planted>& Catalogue();
// nullptr: there is none of this name.
const Planted* FindPlanted(std::string_view name);

}  // namespace keel::mutants
