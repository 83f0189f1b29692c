#include "tools/keelctl/txn_script.h"

#include <CLI/CLI.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "base/status_macros.h"
#include "tools/keelctl/kv_flags.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

absl::Status Malformed(const std::string& line, const std::string& why = "") {
  return absl::InvalidArgumentError(absl::StrCat("malformed comparison: ", line, why.empty() ? "" : " (" + why + ")"));
}

// The lines up to the next empty one. Null: the input ended first.
absl::StatusOr<std::vector<std::string>> ReadPart(std::istream& in) {
  std::vector<std::string> lines;
  std::string line;
  while (std::getline(in, line)) {
    const std::string stripped(absl::StripAsciiWhitespace(line));
    if (stripped.empty()) return lines;
    lines.push_back(stripped);
  }
  return absl::OutOfRangeError("EOF");
}

}  // namespace

absl::StatusOr<Compare> ParseCompare(const std::string& line) {
  const size_t open = line.find('(');
  const size_t quote = open == std::string::npos ? open : line.find('"', open);
  if (quote == std::string::npos) return Malformed(line);
  // The key may hold anything, brackets and quotes too: find the end of its literal first.
  size_t end = quote + 1;
  while (end < line.size() && line[end] != '"') end += line[end] == '\\' ? 2 : 1;
  if (end >= line.size()) return Malformed(line);
  auto key = GoUnquote(std::string_view(line).substr(quote, end - quote + 1));
  if (!key.ok()) return Malformed(line);

  absl::string_view rest = absl::StripLeadingAsciiWhitespace(absl::string_view(line).substr(end + 1));
  if (!absl::ConsumePrefix(&rest, ")")) return Malformed(line);
  rest = absl::StripLeadingAsciiWhitespace(rest);
  Compare compare{.key = *key};
  if (absl::ConsumePrefix(&rest, "!=")) {
    compare.relation = Compare::Relation::kNotEqual;
  } else if (absl::ConsumePrefix(&rest, "=")) {
    compare.relation = Compare::Relation::kEqual;
  } else if (absl::ConsumePrefix(&rest, "<")) {
    compare.relation = Compare::Relation::kLess;
  } else if (absl::ConsumePrefix(&rest, ">")) {
    compare.relation = Compare::Relation::kGreater;
  } else {
    return Malformed(line);
  }
  const absl::string_view literal = absl::StripAsciiWhitespace(rest);
  auto operand = GoUnquote({literal.data(), literal.size()});
  if (!operand.ok()) return Malformed(line);

  const absl::string_view target = absl::StripAsciiWhitespace(absl::string_view(line).substr(0, open));
  if (target == "val" || target == "value") {
    compare.target = Compare::Target::kValue;
    compare.value = *operand;
    return compare;
  }
  if (target == "lease") {
    compare.target = Compare::Target::kLease;
    auto id = ParseHexId(*operand);
    if (!id.ok()) return Malformed(line, std::string(id.status().message()));
    compare.number = static_cast<int64_t>(*id);
    return compare;
  }
  if (target == "ver" || target == "version") {
    compare.target = Compare::Target::kVersion;
  } else if (target == "c" || target == "create") {
    compare.target = Compare::Target::kCreateRevision;
  } else if (target == "m" || target == "mod") {
    compare.target = Compare::Target::kModRevision;
  } else {
    return Malformed(line, absl::StrCat("unknown target ", target));
  }
  if (!absl::SimpleAtoi(*operand, &compare.number)) {
    return Malformed(line, absl::StrCat("'", *operand, "' is not a whole number"));
  }
  return compare;
}

absl::StatusOr<Op> ParseOperation(const std::string& line) {
  const absl::Status invalid = absl::InvalidArgumentError(absl::StrCat("invalid txn request: ", line));
  auto words = SplitWords(line);
  if (!words.ok() || words->empty()) return invalid;
  CLI::App app;
  app.require_subcommand(1);
  PutFlags put;
  GetFlags get;
  DelFlags del;
  put.AddTo(*app.add_subcommand("put"));
  get.AddTo(*app.add_subcommand("get"));
  del.AddTo(*app.add_subcommand("del"));
  try {  // CLI11 reports by exceptions; they stop here.
    app.parse(std::vector<std::string>(words->rbegin(), words->rend()));
  } catch (const CLI::Error& e) {
    return absl::InvalidArgumentError(absl::StrCat("invalid txn request: ", line, " (", e.what(), ")"));
  }
  if (words->front() == "put") {
    if (!put.has_value() && !put.ignore_value) return invalid;
    KEEL_ASSIGN_OR_RETURN(PutOp op, put.Resolve());
    return Op(std::move(op));
  }
  if (words->front() == "get") {
    KEEL_ASSIGN_OR_RETURN(GetOp op, get.Resolve());
    return Op(std::move(op));
  }
  KEEL_ASSIGN_OR_RETURN(DeleteOp op, del.Resolve());
  return Op(std::move(op));
}

absl::StatusOr<Txn> ReadTxn(std::istream& in, std::ostream* prompts) {
  const auto prompt = [&](const char* text) {
    if (prompts != nullptr) *prompts << text << std::endl;
  };
  Txn txn;
  prompt("compares:");
  KEEL_ASSIGN_OR_RETURN(const std::vector<std::string> compares, ReadPart(in));
  for (const std::string& line : compares) {
    KEEL_ASSIGN_OR_RETURN(Compare compare, ParseCompare(line));
    txn.If(std::move(compare));
  }
  prompt("success requests (get, put, del):");
  KEEL_ASSIGN_OR_RETURN(const std::vector<std::string> success, ReadPart(in));
  for (const std::string& line : success) {
    KEEL_ASSIGN_OR_RETURN(Op op, ParseOperation(line));
    txn.Then(std::move(op));
  }
  prompt("failure requests (get, put, del):");
  KEEL_ASSIGN_OR_RETURN(const std::vector<std::string> failure, ReadPart(in));
  for (const std::string& line : failure) {
    KEEL_ASSIGN_OR_RETURN(Op op, ParseOperation(line));
    txn.Else(std::move(op));
  }
  return txn;
}

}  // namespace keel::ctl
