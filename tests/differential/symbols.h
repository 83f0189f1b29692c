#pragma once

// Numbers that a sequence can only name, because they are known when it is played: revisions relative to the store's
// present or to its revision at the sequence's start, and leases whose ids the server chose. Inside a message they
// stand as numbers of ranges that nothing else uses; in a script as $now-1, $base+2 and $lease0.

#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace keel::differential {

int64_t Now(int64_t offset);     // The store's revision when the request is sent.
int64_t Base(int64_t offset);    // The store's revision when the sequence began; everything below it is compacted.
int64_t ChosenLease(int64_t n);  // The n-th lease of the sequence whose id the server chose.

// What the names stand for on one server.
struct Symbols {
  int64_t now = 0;
  int64_t base = 0;
  std::vector<int64_t> chosen_leases;
};

// Replaces every named number in `message`, at any depth, and every byte string "@fill:N:c" by N times the letter c.
void Resolve(const Symbols& symbols, google::protobuf::Message* message);
// The other way, for leases only: ids the server chose become their names.
int64_t NameOfLease(const Symbols& symbols, int64_t id);

// Between the text of a message with numbers and the one with names.
std::string NumbersToNames(const std::string& text);
std::string NamesToNumbers(const std::string& text);

}  // namespace keel::differential
