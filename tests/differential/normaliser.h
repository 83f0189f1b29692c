#pragma once

// Makes the answers of two servers comparable: what each server chooses for itself (its ids, its raft's numbers, its
// addresses, its disk's sizes, ids of leases it was asked to choose) or what depends on the clock becomes the same on
// both, and what has no order gets one. Whether a number is there at all is kept: a term that is missing stays missing.

#include <google/protobuf/message.h>

#include <cstdint>

#include "absl/time/time.h"
#include "tests/differential/symbols.h"

namespace keel::differential {

// What one server chose.
struct ServerFacts {
  uint64_t cluster_id = 0;
  uint64_t member_id = 0;
  Symbols symbols;
  // How long the sequence has been running: a lease's remaining time may have shrunk by this much.
  absl::Duration elapsed;
};

void Normalise(const ServerFacts& facts, google::protobuf::Message* response);

// Pairs that a range sorts by equal values come in no order: puts them into key order, at any depth of a transaction.
// Where a limit may have cut through such pairs, which of them came is not compared either.
void NormaliseTies(const google::protobuf::Message& request, google::protobuf::Message* response);

}  // namespace keel::differential
