#include "tests/sim/ledger.h"

#include <cstring>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/string_view.h"

namespace keel::sim {
namespace {

void AddCounts(const Counts& from, Counts* to) {
  for (const auto& [name, count] : from) (*to)[name] += count;
}

void Print(char kind, const Counts& counts, std::string* out) {
  for (const auto& [name, count] : counts) absl::StrAppend(out, std::string(1, kind), " ", name, " ", count, "\n");
}

}  // namespace

void Ledger::Add(const Ledger& other) {
  AddCounts(other.checks, &checks);
  AddCounts(other.faults, &faults);
  AddCounts(other.marks, &marks);
  AddCounts(other.totals, &totals);
}

std::string Ledger::ToString() const {
  std::string out;
  Print('c', checks, &out);
  Print('f', faults, &out);
  Print('m', marks, &out);
  Print('t', totals, &out);
  return out;
}

bool Ledger::Parse(std::string_view text) {
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n', absl::SkipEmpty())) {
    const size_t space = line.rfind(' ');
    uint64_t count = 0;
    if (line.size() < 5 || line[1] != ' ' || space < 3 || !absl::SimpleAtoi(line.substr(space + 1), &count)) {
      return false;
    }
    const std::string name(line.substr(2, space - 2));
    switch (line[0]) {
      case 'c':
        checks[name] += count;
        break;
      case 'f':
        faults[name] += count;
        break;
      case 'm':
        marks[name] += count;
        break;
      case 't':
        totals[name] += count;
        break;
      default:
        return false;
    }
  }
  return true;
}

uint64_t Mix(uint64_t a, uint64_t b) {
  uint64_t x = a * 0x9e3779b97f4a7c15 + b;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
  x = (x ^ (x >> 32)) * 0xd6e8feb86659fd93;
  return x ^ (x >> 32);
}

uint64_t HashOf(std::string_view bytes, uint64_t seed) {
  uint64_t hash = Mix(seed, bytes.size());
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    hash = Mix(hash, word);
    bytes.remove_prefix(sizeof word);
  }
  uint64_t tail = 0;
  std::memcpy(&tail, bytes.data(), bytes.size());
  return Mix(hash, tail);
}

}  // namespace keel::sim
