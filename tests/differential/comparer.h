#pragma once

// Field by field, by reflection.

#include <google/protobuf/message.h>

#include <cstdint>
#include <string>
#include <vector>

#include "tests/differential/connection.h"

namespace keel::differential {

struct FieldDifference {
  std::string path;  // "kvs[0].lease", "status.message".
  std::string etcd;  // Values as text; "(none)" for a missing element.
  std::string keel;
};

// Adds what differs to `differences`, and the number of fields that were set on either side to `fields`.
void CompareMessages(const std::string& path, const google::protobuf::Message& etcd,
                     const google::protobuf::Message& keel, std::vector<FieldDifference>* differences,
                     uint64_t* fields);

// Status code, status text, and every message.
std::vector<FieldDifference> CompareAnswers(const Answer& etcd, const Answer& keel, uint64_t* fields);

// For reports: text format on one line, long strings cut.
std::string PrintMessage(const google::protobuf::Message& message);
std::string PrintAnswer(const Answer& answer);

}  // namespace keel::differential
