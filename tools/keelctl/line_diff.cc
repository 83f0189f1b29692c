#include "tools/keelctl/line_diff.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/string_view.h"

namespace keel::ctl {
namespace {

constexpr int kContext = 3;
constexpr int kEditsMax = 3000;  // The trace takes memory of the square of it.

using Lines = std::vector<absl::string_view>;

struct Edit {
  char kind;  // ' ', '-' or '+'.
  absl::string_view line;
  bool cut = false;  // The last line, without an end.
};

Lines Split(std::string_view text) {
  if (text.empty()) return {};
  Lines lines = absl::StrSplit(ToAbsl(text), '\n');
  if (text.back() == '\n') lines.pop_back();
  return lines;
}

// The furthest points on every diagonal after each number of edits; the last one ends at (a.size(), b.size()). Empty:
// more than kEditsMax edits.
std::vector<std::vector<int>> Trace(const Lines& a, const Lines& b) {
  const int n = static_cast<int>(a.size());
  const int m = static_cast<int>(b.size());
  const int most = std::min(n + m, kEditsMax);
  std::vector<std::vector<int>> trace;
  std::vector<int> furthest(2 * static_cast<size_t>(most) + 3, 0);
  const auto at = [&](int diagonal) -> int& { return furthest[static_cast<size_t>(diagonal + most + 1)]; };
  for (int d = 0; d <= most; ++d) {
    trace.push_back(std::vector<int>(furthest.begin() + (most + 1 - d - 1), furthest.begin() + (most + 1 + d + 2)));
    for (int k = -d; k <= d; k += 2) {
      int x = k == -d || (k != d && at(k - 1) < at(k + 1)) ? at(k + 1) : at(k - 1) + 1;
      while (x < n && x - k < m && a[static_cast<size_t>(x)] == b[static_cast<size_t>(x - k)]) ++x;
      at(k) = x;
      if (x >= n && x - k >= m) return trace;
    }
  }
  return {};
}

std::vector<Edit> Script(const Lines& a, const Lines& b) {
  std::vector<Edit> edits;
  const auto trace = Trace(a, b);
  if (trace.empty()) {
    for (const absl::string_view line : a) edits.push_back({'-', line});
    for (const absl::string_view line : b) edits.push_back({'+', line});
    return edits;
  }
  int x = static_cast<int>(a.size());
  int y = static_cast<int>(b.size());
  for (int d = static_cast<int>(trace.size()) - 1; d >= 0; --d) {
    const auto before = [&](int diagonal) {
      return trace[static_cast<size_t>(d)][static_cast<size_t>(diagonal + d + 1)];
    };
    const int k = x - y;
    const bool down = k == -d || (k != d && before(k - 1) < before(k + 1));
    const int from_k = down ? k + 1 : k - 1;
    const int from_x = d == 0 ? 0 : before(from_k);
    const int from_y = d == 0 ? 0 : from_x - from_k;
    while (x > from_x && y > from_y) {
      edits.push_back({' ', a[static_cast<size_t>(--x)]});
      --y;
    }
    if (d == 0) break;
    if (down) {
      edits.push_back({'+', b[static_cast<size_t>(--y)]});
    } else {
      edits.push_back({'-', a[static_cast<size_t>(--x)]});
    }
  }
  std::reverse(edits.begin(), edits.end());
  return edits;
}

// "12,3": as the unified format counts; a range without lines begins before them.
std::string Span(int begin, int count) {
  if (count == 0) return absl::StrCat(begin, ",0");
  return count == 1 ? absl::StrCat(begin + 1) : absl::StrCat(begin + 1, ",", count);
}

// A last line without an end differs from the same line with one.
void MarkCuts(std::string_view before, std::string_view after, std::vector<Edit>* edits) {
  const bool a_cut = !before.empty() && before.back() != '\n';
  const bool b_cut = !after.empty() && after.back() != '\n';
  const auto last = [&](char kind) {
    return std::find_if(edits->rbegin(), edits->rend(), [&](const Edit& e) { return e.kind != kind; });
  };
  const auto a_last = last('+');
  const auto b_last = last('-');
  if (a_cut == b_cut && a_cut && a_last != edits->rend() && a_last == b_last) {
    a_last->cut = true;
    return;
  }
  if (a_last != edits->rend() && a_last == b_last && a_cut != b_cut) {
    // One line to the eye, two to the format.
    const Edit line = *a_last;
    const auto at = edits->erase(std::next(a_last).base());
    edits->insert(edits->insert(at, {'+', line.line, b_cut}), {'-', line.line, a_cut});
    return;
  }
  if (a_cut && a_last != edits->rend()) a_last->cut = true;
  if (b_cut && b_last != edits->rend()) b_last->cut = true;
}

}  // namespace

std::string UnifiedDiff(std::string_view before, std::string_view after, const DiffNames& names, bool colour) {
  if (before == after) return "";
  std::vector<Edit> edits = Script(Split(before), Split(after));
  MarkCuts(before, after, &edits);
  const auto painted = [&](const char* escape, const std::string& text) {
    return colour ? absl::StrCat(escape, text, "\x1b[0m") : text;
  };
  std::string out =
      absl::StrCat(painted("\x1b[1m", "--- " + names.before), "\n", painted("\x1b[1m", "+++ " + names.after), "\n");
  const int size = static_cast<int>(edits.size());
  int a_line = 0;
  int b_line = 0;
  int i = 0;
  while (i < size) {
    // A hunk: from kContext lines before a change until 2 * kContext lines are the same.
    int change = i;
    while (change < size && edits[static_cast<size_t>(change)].kind == ' ') ++change;
    if (change == size) break;
    const int begin = std::max(i, change - kContext);
    a_line += begin - i;
    b_line += begin - i;
    int end = change;
    int same = 0;
    for (int j = change; j < size && same <= 2 * kContext; ++j) {
      same = edits[static_cast<size_t>(j)].kind == ' ' ? same + 1 : 0;
      if (same == 0) end = j + 1;
    }
    end = std::min(size, end + kContext);
    int a_count = 0;
    int b_count = 0;
    std::string body;
    for (int j = begin; j < end; ++j) {
      const Edit& edit = edits[static_cast<size_t>(j)];
      a_count += edit.kind != '+';
      b_count += edit.kind != '-';
      const std::string line = absl::StrCat(std::string(1, edit.kind), edit.line);
      absl::StrAppend(&body, edit.kind == ' ' ? line : painted(edit.kind == '-' ? "\x1b[31m" : "\x1b[32m", line), "\n");
      if (edit.cut) body += "\\ No newline at end of file\n";
    }
    absl::StrAppend(
        &out, painted("\x1b[36m", absl::StrCat("@@ -", Span(a_line, a_count), " +", Span(b_line, b_count), " @@")),
        "\n", body);
    a_line += a_count;
    b_line += b_count;
    i = end;
  }
  return out;
}

}  // namespace keel::ctl
