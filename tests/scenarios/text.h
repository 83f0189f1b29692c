#pragma once

// How members, messages and logs read in the expected output of a script.

#include <string>

#include "raft/core.h"
#include "raft/entry.h"
#include "raft/message.h"
#include "raft/types.h"
#include "tests/scenarios/group.h"

namespace keel::raft::scenario {

std::string Text(Term term);
std::string Text(Index index);
std::string Text(MemberId id);
std::string Text(EntryId id);                 // "3@2": index 3, term 2
std::string Text(const Entry& entry);         // "3@2 x"
std::string Text(const Membership& members);  // "(1,2,3)", "(1,2)&(1,2,3)" when joint, then "+learners(4)"
std::string Text(const CoreStatus& status);   // "leader term=2 leader=1 last=3@2 commit=3 applied=3"
std::string Text(const Message& message);     // "1->2 AppendRequest term=2 ..."
std::string Text(const Parcel& parcel);
std::string Text(const LogImage& log);

}  // namespace keel::raft::scenario
