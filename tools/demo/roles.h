#pragma once

// What the processes of the demo do, each a role of the same program.

#include <cstdint>
#include <string>
#include <vector>

namespace keel::demo {

inline constexpr const char kCounterKey[] = "/demo/counter";
inline constexpr const char kIncrementsPrefix[] = "/demo/increments/";
inline constexpr const char kLockName[] = "/demo/lock";
inline constexpr const char kElectionName[] = "/demo/election";
inline constexpr const char kEndKey[] = "/demo/end";
inline constexpr const char kPackagesPrefix[] = "/packages/";

// Watches every key from revision 2 on until kEndKey is written; prints what it saw as
// "revisions=N last=R events=E". 0: every revision came exactly once and in order.
int RunWatcher(const std::vector<std::string>& endpoints);

// Adds 1 to the counter `increments` times, each time under the lock and guarded by it. 0: all of them are in.
int RunWorker(const std::vector<std::string>& endpoints, const std::string& name, int increments);

// Stands for election and leads until it is killed.
int RunCandidate(const std::vector<std::string>& endpoints, const std::string& name);

}  // namespace keel::demo
