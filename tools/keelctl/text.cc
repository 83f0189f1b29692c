#include "tools/keelctl/text.h"

#include <algorithm>
#include <charconv>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/string_view.h"

namespace keel::ctl {
namespace {

// Length of the UTF-8 sequence at the start of `s`, or 0 when it is not one.
size_t Utf8Length(std::string_view s) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  size_t length;
  if (byte(0) < 0x80) return 1;
  if (byte(0) >= 0xc2 && byte(0) < 0xe0) {
    length = 2;
  } else if (byte(0) >= 0xe0 && byte(0) < 0xf0) {
    length = 3;
  } else if (byte(0) >= 0xf0 && byte(0) < 0xf5) {
    length = 4;
  } else {
    return 0;
  }
  if (s.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  // Longer than needed, a surrogate, or beyond U+10FFFF.
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return 0;
  if (byte(0) == 0xed && byte(1) >= 0xa0) return 0;
  if (byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  if (byte(0) == 0xf4 && byte(1) >= 0x90) return 0;
  return length;
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void AppendUtf8(uint32_t rune, std::string* out) {
  if (rune < 0x80) {
    out->push_back(static_cast<char>(rune));
  } else if (rune < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (rune >> 6)));
    out->push_back(static_cast<char>(0x80 | (rune & 0x3f)));
  } else if (rune < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | (rune >> 12)));
    out->push_back(static_cast<char>(0x80 | ((rune >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (rune & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | (rune >> 18)));
    out->push_back(static_cast<char>(0x80 | ((rune >> 12) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | ((rune >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (rune & 0x3f)));
  }
}

constexpr struct {
  char letter;
  char value;
} kEscapes[] = {{'a', '\a'}, {'b', '\b'}, {'f', '\f'}, {'n', '\n'},  {'r', '\r'},
                {'t', '\t'}, {'v', '\v'}, {'"', '"'},  {'\\', '\\'}, {'\'', '\''}};

// The escape that starts after the backslash at s[*i - 1]; advances past it.
bool Unescape(std::string_view s, size_t* i, std::string* out) {
  if (*i >= s.size()) return false;
  const char c = s[(*i)++];
  for (const auto& e : kEscapes) {
    if (e.letter == c) {
      out->push_back(e.value);
      return true;
    }
  }
  int digits = 0;
  int base = 16;
  switch (c) {
    case 'x':
      digits = 2;
      break;
    case 'u':
      digits = 4;
      break;
    case 'U':
      digits = 8;
      break;
    default:
      if (c < '0' || c > '7') return false;
      digits = 3;
      base = 8;
      --*i;
  }
  uint32_t value = 0;
  for (int d = 0; d < digits; ++d) {
    if (*i >= s.size()) return false;
    const int digit = HexDigit(s[(*i)++]);
    if (digit < 0 || digit >= base) return false;
    value = value * static_cast<uint32_t>(base) + static_cast<uint32_t>(digit);
  }
  if (c == 'u' || c == 'U') {
    if (value > 0x10ffff) return false;
    AppendUtf8(value, out);
  } else {
    if (value > 0xff) return false;
    out->push_back(static_cast<char>(value));
  }
  return true;
}

}  // namespace

std::string GoQuote(std::string_view bytes) {
  std::string out = "\"";
  while (!bytes.empty()) {
    const char c = bytes.front();
    const size_t length = Utf8Length(bytes);
    if (length > 1) {
      out.append(bytes.substr(0, length));
      bytes.remove_prefix(length);
      continue;
    }
    bytes.remove_prefix(1);
    bool done = false;
    for (const auto& e : kEscapes) {
      if (e.value == c && c != '\'') {
        out.push_back('\\');
        out.push_back(e.letter);
        done = true;
      }
    }
    if (done) continue;
    if (length == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
    } else {
      out.push_back(c);
    }
  }
  out.push_back('"');
  return out;
}

absl::StatusOr<std::string> GoUnquote(std::string_view literal) {
  const auto bad = [&] { return absl::InvalidArgumentError(absl::StrCat("not a quoted string: ", ToAbsl(literal))); };
  if (literal.size() < 2 || literal.front() != literal.back()) return bad();
  const std::string_view inner = literal.substr(1, literal.size() - 2);
  if (literal.front() == '`') return std::string(inner);
  if (literal.front() != '"') return bad();
  std::string out;
  for (size_t i = 0; i < inner.size();) {
    const char c = inner[i++];
    if (c == '"' || c == '\n') return bad();
    if (c != '\\') {
      out.push_back(c);
    } else if (!Unescape(inner, &i, &out)) {
      return bad();
    }
  }
  return out;
}

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const size_t length = Utf8Length(bytes);
    if (length == 0) return false;
    bytes.remove_prefix(length);
  }
  return true;
}

std::string HexEscape(std::string_view bytes) {
  std::string out;
  for (const char c : bytes) absl::StrAppendFormat(&out, "\\x%02x", static_cast<unsigned char>(c));
  return out;
}

std::string Base64(std::string_view bytes) { return absl::Base64Escape(ToAbsl(bytes)); }

std::string HumanSize(int64_t bytes) {
  constexpr const char* kUnits[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  double value = static_cast<double>(std::max<int64_t>(bytes, 0));
  size_t unit = 0;
  // Rounds up at the border as the digits shown would: 999.95 kB is 1.0 MB.
  while (value >= 999.5 && unit + 1 < std::size(kUnits)) {
    value /= 1000;
    ++unit;
  }
  if (unit == 0 || value >= 10) return absl::StrFormat("%.0f %s", value, kUnits[unit]);
  return absl::StrFormat("%.1f %s", value, kUnits[unit]);
}

absl::StatusOr<uint64_t> ParseHexId(std::string_view text) {
  uint64_t id = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id, 16);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) {
    return absl::InvalidArgumentError(absl::StrCat("bad ID '", ToAbsl(text), "': expected a hexadecimal number"));
  }
  return id;
}

std::string Table::ToString() const {
  std::vector<size_t> widths;
  for (const std::string& header : headers_) widths.push_back(header.size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string border = "+";
  for (const size_t width : widths) border += std::string(width + 2, '-') + "+";
  border += "\n";

  std::string out = border + "|";
  for (size_t i = 0; i < headers_.size(); ++i) {
    const size_t slack = widths[i] - headers_[i].size();
    out += " " + std::string(slack / 2, ' ') + headers_[i] + std::string(slack - slack / 2, ' ') + " |";
  }
  out += "\n" + border;
  for (const auto& row : rows_) {
    out += "|";
    for (size_t i = 0; i < row.size(); ++i) out += " " + std::string(widths[i] - row[i].size(), ' ') + row[i] + " |";
    out += "\n";
  }
  return out + border;
}

absl::StatusOr<std::vector<std::string>> SplitWords(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool in_word = false;
  for (size_t i = 0; i < line.size();) {
    const char c = line[i++];
    if (c == ' ' || c == '\t') {
      if (in_word) words.push_back(std::move(word));
      word.clear();
      in_word = false;
      continue;
    }
    in_word = true;
    if (c == '\'') {
      const size_t end = line.find('\'', i);
      if (end == std::string_view::npos) {
        return absl::InvalidArgumentError(absl::StrCat("unclosed quote in: ", ToAbsl(line)));
      }
      word.append(line.substr(i, end - i));
      i = end + 1;
    } else if (c == '"') {
      while (i < line.size() && line[i] != '"') {
        const char inner = line[i++];
        if (inner != '\\') {
          word.push_back(inner);
        } else if (!Unescape(line, &i, &word)) {
          return absl::InvalidArgumentError(absl::StrCat("bad escape in: ", ToAbsl(line)));
        }
      }
      if (i == line.size()) return absl::InvalidArgumentError(absl::StrCat("unclosed quote in: ", ToAbsl(line)));
      ++i;
    } else {
      word.push_back(c);
    }
  }
  if (in_word) words.push_back(std::move(word));
  return words;
}

}  // namespace keel::ctl
