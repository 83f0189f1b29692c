#include "tools/keelctl/metrics_page.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/string_view.h"

namespace keel::ctl {
namespace {

// Reads `{a="b",c="d"}` at the start of `*rest`; false if it is malformed.
bool TakeLabels(absl::string_view* rest, MetricsPage::Labels* labels) {
  rest->remove_prefix(1);
  while (true) {
    *rest = absl::StripLeadingAsciiWhitespace(*rest);
    if (absl::ConsumePrefix(rest, "}")) return true;
    const size_t equals = rest->find("=\"");
    if (equals == absl::string_view::npos) return false;
    const std::string name(absl::StripAsciiWhitespace(rest->substr(0, equals)));
    rest->remove_prefix(equals + 2);
    std::string value;
    while (!rest->empty() && rest->front() != '"') {
      char c = rest->front();
      rest->remove_prefix(1);
      if (c == '\\') {
        if (rest->empty()) return false;
        c = rest->front() == 'n' ? '\n' : rest->front();
        rest->remove_prefix(1);
      }
      value.push_back(c);
    }
    if (!absl::ConsumePrefix(rest, "\"")) return false;
    (*labels)[name] = std::move(value);
    absl::ConsumePrefix(rest, ",");
  }
}

bool TakeValue(absl::string_view text, double* value) {
  if (text == "+Inf") {
    *value = std::numeric_limits<double>::infinity();
    return true;
  }
  if (text == "-Inf") {
    *value = -std::numeric_limits<double>::infinity();
    return true;
  }
  return absl::SimpleAtod(text, value);
}

bool Matches(const MetricsPage::Labels& labels, const MetricsPage::Labels& where) {
  return std::all_of(where.begin(), where.end(), [&](const auto& wanted) {
    const auto it = labels.find(wanted.first);
    return it != labels.end() && it->second == wanted.second;
  });
}

}  // namespace

absl::StatusOr<MetricsPage> MetricsPage::Parse(std::string_view text) {
  MetricsPage page;
  for (const absl::string_view line : absl::StrSplit(ToAbsl(text), '\n')) {
    absl::string_view rest = absl::StripAsciiWhitespace(line);
    if (rest.empty() || rest.front() == '#') continue;
    const size_t end = rest.find_first_of("{ \t");
    const auto bad = [&] { return absl::InvalidArgumentError(absl::StrCat("not a line of metrics: ", line)); };
    if (end == absl::string_view::npos || end == 0) return bad();
    const std::string name(rest.substr(0, end));
    rest.remove_prefix(end);
    Sample sample;
    if (rest.front() == '{' && !TakeLabels(&rest, &sample.labels)) return bad();
    // A timestamp may follow the value.
    const std::vector<absl::string_view> words = absl::StrSplit(rest, absl::ByAnyChar(" \t"), absl::SkipEmpty());
    if (words.empty() || words.size() > 2 || !TakeValue(words[0], &sample.value)) return bad();
    page.samples_[name].push_back(std::move(sample));
  }
  return page;
}

double MetricsPage::Sum(const std::string& name, const Labels& where) const {
  double sum = 0;
  for (const Sample& sample : samples(name)) {
    if (Matches(sample.labels, where)) sum += sample.value;
  }
  return sum;
}

const std::vector<MetricsPage::Sample>& MetricsPage::samples(const std::string& name) const {
  static const auto* none = new std::vector<Sample>;
  const auto it = samples_.find(name);
  return it == samples_.end() ? *none : it->second;
}

HistogramDelta::HistogramDelta(const MetricsPage& now, const MetricsPage* before, const std::string& name,
                               const MetricsPage::Labels& where)
    : count_(now.Sum(name + "_count", where)), sum_(now.Sum(name + "_sum", where)) {
  const auto add = [&](const MetricsPage& page, double sign) {
    for (const MetricsPage::Sample& sample : page.samples(name + "_bucket")) {
      double bound = 0;
      const auto le = sample.labels.find("le");
      if (le == sample.labels.end() || !TakeValue(le->second, &bound) || !Matches(sample.labels, where)) continue;
      buckets_[bound] += sign * sample.value;
    }
  };
  add(now, 1);
  // A member that has started again counts from zero.
  if (before == nullptr || before->Sum(name + "_count", where) > count_) return;
  add(*before, -1);
  count_ -= before->Sum(name + "_count", where);
  sum_ -= before->Sum(name + "_sum", where);
}

double HistogramDelta::Quantile(double fraction) const {
  if (count_ <= 0) return 0;
  const double rank = fraction * count_;
  double lower_bound = 0;
  double lower_count = 0;
  for (const auto& [bound, count] : buckets_) {
    if (count >= rank) {
      if (std::isinf(bound) || count <= lower_count) return lower_bound;
      return lower_bound + (bound - lower_bound) * (rank - lower_count) / (count - lower_count);
    }
    if (!std::isinf(bound)) lower_bound = bound;
    lower_count = count;
  }
  return lower_bound;
}

}  // namespace keel::ctl
