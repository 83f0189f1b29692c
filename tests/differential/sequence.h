#pragma once

// A sequence of requests and the script it is written as: one step a line, a word and a message in text format.
//
//   # two writers, one watcher
//   watch#0 create_request { key: "a" prev_kv: true }
//   put key: "a" value: "1"
//   range key: "a" revision: $now-1
//   raw/put "\012\377"

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/differential/method.h"

namespace keel::differential {

struct Step {
  const Method* method = nullptr;
  int stream = 0;                                            // Which watch stream; others ignore it.
  std::shared_ptr<const google::protobuf::Message> request;  // Null for kRaw.
  std::string raw;                                           // For kRaw.
};

struct Sequence {
  std::string name;
  std::vector<Step> steps;
};

Step MakeStep(std::string_view word, const google::protobuf::Message& request, int stream = 0);

// One line each; ParseStep(PrintStep(s)) is s.
std::string PrintStep(const Step& step);
absl::StatusOr<Step> ParseStep(const std::string& line);

std::string PrintSequence(const Sequence& sequence);
// Comments and empty lines are left out. kInvalidArgument names the line.
absl::StatusOr<Sequence> ParseSequence(const std::string& name, const std::string& text);
absl::StatusOr<Sequence> ReadSequence(const std::string& path);

}  // namespace keel::differential
