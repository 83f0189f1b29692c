#include "tests/differential/vocabulary.h"

#include <iterator>
#include <limits>

#include "absl/strings/str_cat.h"
#include "tests/differential/symbols.h"

namespace keel::differential {
namespace {

const std::string kZero(1, '\0');

std::string PrefixEnd(std::string key) {
  while (!key.empty() && key.back() == '\xff') key.pop_back();
  if (key.empty()) return kZero;
  ++key.back();
  return key;
}

}  // namespace

int64_t Vocabulary::OneOf(std::initializer_list<int64_t> values) {
  return *std::next(values.begin(), static_cast<ptrdiff_t>(random_.Below(values.size())));
}

std::string Vocabulary::Key() {
  static const std::string* const odd = new std::string[9]{
      kZero, kZero + kZero, "a" + kZero, "a" + kZero + "b", "\xff", "\xff\xff", "a\xff", "b\xff\xff", "\x80\x01"};
  static const std::string* const plain =
      new std::string[14]{"a", "aa", "ab", "abc", "b", "ba", "c", "d", "k/1", "k/2", "k/3", "k/10", "l", "z"};
  if (Chance(0.12)) return odd[random_.Below(9)];
  // Half of all requests meet on a few keys.
  return plain[random_.Below(Chance(0.5) ? 5 : 14)];
}

std::string Vocabulary::RangeEnd(const std::string& key) {
  switch (random_.Below(8)) {
    case 0:
    case 1:
      return "";
    case 2:
      return kZero;
    case 3:
    case 4:
      return PrefixEnd(key);
    case 5:
      return Chance(0.3) ? key : key + kZero;
    default:
      return Key();
  }
}

std::string Vocabulary::Value() {
  switch (random_.Below(6)) {
    case 0:
      return "";
    case 1:
      return "v" + kZero + "\xfe";
    case 2:
      return absl::StrCat("@fill:", Between(1, 3000), ":v");
    default:
      return absl::StrCat("v", random_.Below(6));
  }
}

int64_t Vocabulary::Revision() {
  switch (random_.Below(12)) {
    case 0:
    case 1:
      return Now(0);
    case 2:
      return Now(Between(1, 3));
    case 3:
      return Base(-Between(0, 2));
    case 4:
      return OneOf({-1, 0, 1, -5, std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()});
    case 5:
    case 6:
    case 7:
      return Base(Between(0, 12));
    default:
      return Now(-Between(1, 8));
  }
}

int64_t Vocabulary::SomeRevision() {
  return Chance(0.1) ? Between(-2, 4) : Chance(0.5) ? Now(-Between(0, 8)) : Base(Between(0, 12));
}

int64_t Vocabulary::Lease() {
  switch (random_.Below(6)) {
    case 0:
      return ChosenLease(Between(0, 2));
    case 1:
      return OneOf({-7, 9007199254740993, std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max()});
    default:
      return Between(1, 4);
  }
}

// Never so short that a lease with keys ends by itself within a sequence.
int64_t Vocabulary::Ttl() {
  return Chance(0.9) ? Between(300, 5000)
                     : OneOf({9'000'000'000, 9'000'000'001, 8'999'999'999, std::numeric_limits<int64_t>::max()});
}

}  // namespace keel::differential
