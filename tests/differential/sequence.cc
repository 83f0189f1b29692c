#include "tests/differential/sequence.h"

#include <google/protobuf/text_format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "tests/differential/symbols.h"

namespace keel::differential {

Step MakeStep(std::string_view word, const google::protobuf::Message& request, int stream) {
  const Method* method = FindMethod(word);
  KEEL_CHECK(method != nullptr) << word;
  KEEL_CHECK(method->request->GetDescriptor() == request.GetDescriptor()) << word;
  std::shared_ptr<google::protobuf::Message> copy(request.New());
  copy->CopyFrom(request);
  return {.method = method, .stream = stream, .request = std::move(copy)};
}

std::string PrintStep(const Step& step) {
  std::string line = step.method->word;
  if (step.method->shape == Shape::kWatch) absl::StrAppend(&line, "#", step.stream);
  if (step.method->shape == Shape::kRaw) return absl::StrCat(line, " \"", absl::CEscape(step.raw), "\"");
  google::protobuf::TextFormat::Printer printer;
  printer.SetSingleLineMode(true);
  std::string text;
  printer.PrintToString(*step.request, &text);
  absl::StripAsciiWhitespace(&text);
  return text.empty() ? line : absl::StrCat(line, " ", NumbersToNames(text));
}

absl::StatusOr<Step> ParseStep(const std::string& line) {
  const size_t space = line.find(' ');
  std::string word = line.substr(0, space);
  const std::string rest = space == std::string::npos ? "" : line.substr(space + 1);
  Step step;
  if (const size_t hash = word.find('#'); hash != std::string::npos) {
    if (!absl::SimpleAtoi(word.substr(hash + 1), &step.stream)) {
      return absl::InvalidArgumentError(absl::StrCat("\"", word, "\" names no stream"));
    }
    word.resize(hash);
  }
  step.method = FindMethod(word);
  if (step.method == nullptr) return absl::InvalidArgumentError(absl::StrCat("there is no method \"", word, "\""));
  if (step.method->shape == Shape::kRaw) {
    if (rest.size() < 2 || rest.front() != '"' || rest.back() != '"' ||
        !absl::CUnescape(rest.substr(1, rest.size() - 2), &step.raw)) {
      return absl::InvalidArgumentError(absl::StrCat(word, " needs a quoted string, not ", rest));
    }
    return step;
  }
  std::shared_ptr<google::protobuf::Message> request(step.method->request->New());
  if (!google::protobuf::TextFormat::ParseFromString(NamesToNumbers(rest), request.get())) {
    return absl::InvalidArgumentError(absl::StrCat("\"", rest, "\" is not a ", request->GetDescriptor()->name()));
  }
  step.request = std::move(request);
  return step;
}

std::string PrintSequence(const Sequence& sequence) {
  std::string text;
  for (const Step& step : sequence.steps) absl::StrAppend(&text, PrintStep(step), "\n");
  return text;
}

absl::StatusOr<Sequence> ParseSequence(const std::string& name, const std::string& text) {
  Sequence sequence{.name = name};
  int number = 0;
  for (absl::string_view piece : absl::StrSplit(text, '\n')) {
    ++number;
    const std::string line(absl::StripAsciiWhitespace(piece));
    if (line.empty() || line[0] == '#') continue;
    absl::StatusOr<Step> step = ParseStep(line);
    if (!step.ok()) {
      return absl::InvalidArgumentError(absl::StrCat(name, ":", number, ": ", step.status().message()));
    }
    sequence.steps.push_back(*std::move(step));
  }
  return sequence;
}

absl::StatusOr<Sequence> ReadSequence(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  std::ostringstream text;
  text << file.rdbuf();
  return ParseSequence(std::filesystem::path(path).stem().string(), text.str());
}

}  // namespace keel::differential
