#pragma once

// How keelctl writes bytes, sizes and tables: the conventions of etcdctl, which scripts parse.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::ctl {

// In double quotes, with the escapes of a Go string literal: "a\nb", "\x00".
std::string GoQuote(std::string_view bytes);
// The reverse, for txn scripts: a double-quoted literal with escapes, or a raw one in back quotes.
absl::StatusOr<std::string> GoUnquote(std::string_view literal);
// Well-formed UTF-8 as of RFC 3629: no overlong forms, no surrogates.
bool IsUtf8(std::string_view bytes);
// Every byte as \x66.
std::string HexEscape(std::string_view bytes);
// Standard alphabet with padding.
std::string Base64(std::string_view bytes);
// Decimal units: "25 kB", "2.1 GB".
std::string HumanSize(int64_t bytes);
// A lease or member id: lower-case hexadecimal without 0x. kInvalidArgument names the text.
absl::StatusOr<uint64_t> ParseHexId(std::string_view text);

// Rows under upper-case headers in an ASCII grid, columns as wide as they need.
class Table {
 public:
  explicit Table(std::vector<std::string> headers) : headers_(std::move(headers)) {}
  void AddRow(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  std::string ToString() const;

 private:
  std::vector<std::string> headers_;
  std::vector<std::vector<std::string>> rows_;
};

// Splits a line into words as a shell would: blanks separate, 'raw', "with \" escapes". kInvalidArgument: open quote.
absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view line);

}  // namespace keel::ctl
