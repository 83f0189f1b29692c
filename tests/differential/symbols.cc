#include "tests/differential/symbols.h"

#include <cstdlib>
#include <regex>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"

namespace keel::differential {
namespace {

// Each name owns the numbers within kReach of its origin.
constexpr int64_t kReach = 100'000'000;
constexpr int64_t kNowOrigin = 1'000'000'000'000'000;
constexpr int64_t kBaseOrigin = 2'000'000'000'000'000;
constexpr int64_t kLeaseOrigin = 3'000'000'000'000'000;

bool Names(int64_t number, int64_t origin) { return number > origin - kReach && number < origin + kReach; }

int64_t Meaning(const Symbols& symbols, int64_t number) {
  if (Names(number, kNowOrigin)) return symbols.now + (number - kNowOrigin);
  if (Names(number, kBaseOrigin)) return symbols.base + (number - kBaseOrigin);
  if (Names(number, kLeaseOrigin)) {
    const auto n = static_cast<size_t>(number - kLeaseOrigin);
    // A lease that was never granted: some id that does not exist.
    return n < symbols.chosen_leases.size() ? symbols.chosen_leases[n] : 4242;
  }
  return number;
}

std::string Filled(const std::string& bytes) {
  if (!absl::StartsWith(bytes, "@fill:")) return bytes;
  const std::vector<std::string> parts = absl::StrSplit(bytes, ':');
  uint64_t size = 0;
  KEEL_CHECK(parts.size() == 3 && parts[2].size() == 1 && absl::SimpleAtoi(parts[1], &size)) << bytes;
  return std::string(size, parts[2][0]);
}

// "name", "name+3" or "name-3".
std::string WithOffset(const char* name, int64_t offset) {
  if (offset == 0) return name;
  return absl::StrCat(name, offset > 0 ? "+" : "", offset);
}

}  // namespace

int64_t Now(int64_t offset) { return kNowOrigin + offset; }
int64_t Base(int64_t offset) { return kBaseOrigin + offset; }
int64_t ChosenLease(int64_t n) { return kLeaseOrigin + n; }

void Resolve(const Symbols& symbols, google::protobuf::Message* message) {
  using google::protobuf::FieldDescriptor;
  const google::protobuf::Reflection* reflection = message->GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(*message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) {
        Resolve(symbols, reflection->MutableMessage(message, field));
        continue;
      }
      for (int i = 0; i < reflection->FieldSize(*message, field); ++i) {
        Resolve(symbols, reflection->MutableRepeatedMessage(message, field, i));
      }
    } else if (field->is_repeated()) {
      continue;  // Enumerations only: nothing to name.
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
      reflection->SetInt64(message, field, Meaning(symbols, reflection->GetInt64(*message, field)));
    } else if (field->type() == FieldDescriptor::TYPE_BYTES) {
      reflection->SetString(message, field, Filled(reflection->GetString(*message, field)));
    }
  }
}

int64_t NameOfLease(const Symbols& symbols, int64_t id) {
  for (size_t n = 0; n < symbols.chosen_leases.size(); ++n) {
    if (symbols.chosen_leases[n] == id) return ChosenLease(static_cast<int64_t>(n));
  }
  return id;
}

std::string NumbersToNames(const std::string& text) {
  static const std::regex* const number = new std::regex("[0-9]{15,16}");
  std::string result;
  auto last = text.begin();
  for (std::sregex_iterator it(text.begin(), text.end(), *number), end; it != end; ++it) {
    const int64_t value = std::strtoll(it->str().c_str(), nullptr, 10);
    std::string name = it->str();
    if (Names(value, kNowOrigin)) name = WithOffset("$now", value - kNowOrigin);
    if (Names(value, kBaseOrigin)) name = WithOffset("$base", value - kBaseOrigin);
    if (Names(value, kLeaseOrigin)) name = absl::StrCat("$lease", value - kLeaseOrigin);
    result.append(last, (*it)[0].first);
    result += name;
    last = (*it)[0].second;
  }
  result.append(last, text.end());
  return result;
}

std::string NamesToNumbers(const std::string& text) {
  static const std::regex* const name = new std::regex(R"(\$(now|base|lease)([+-]?[0-9]+)?)");
  std::string result;
  auto last = text.begin();
  for (std::sregex_iterator it(text.begin(), text.end(), *name), end; it != end; ++it) {
    const std::string word = (*it)[1].str();
    const int64_t offset = (*it)[2].matched ? std::strtoll((*it)[2].str().c_str(), nullptr, 10) : 0;
    result.append(last, (*it)[0].first);
    absl::StrAppend(&result, word == "now" ? Now(offset) : word == "base" ? Base(offset) : ChosenLease(offset));
    last = (*it)[0].second;
  }
  result.append(last, text.end());
  return result;
}

}  // namespace keel::differential
