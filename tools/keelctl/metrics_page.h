#pragma once

// What /metrics says: the text format of Prometheus, read back.

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace keel::ctl {

// A value object. Samples keep their labels; the functions below add over them.
class MetricsPage {
 public:
  using Labels = std::map<std::string, std::string>;
  struct Sample {
    Labels labels;
    double value = 0;
  };

  // kInvalidArgument names the line that cannot be read. Comments and empty lines are passed over.
  static absl::StatusOr<MetricsPage> Parse(std::string_view text);

  bool has(const std::string& name) const { return samples_.contains(name); }
  // The sum over all samples of `name` that have the labels of `where`; 0 if there are none.
  double Sum(const std::string& name, const Labels& where = {}) const;
  const std::vector<Sample>& samples(const std::string& name) const;

 private:
  std::map<std::string, std::vector<Sample>> samples_;
};

// What a histogram counted between two pages, or since the start of the process without `before`. Series with different
// labels are added up.
class HistogramDelta {
 public:
  HistogramDelta(const MetricsPage& now, const MetricsPage* before, const std::string& name,
                 const MetricsPage::Labels& where = {});

  double count() const { return count_; }
  double mean() const { return count_ > 0 ? sum_ / count_ : 0; }
  // The bound below which `fraction` of the observations lie, linear inside a bucket; 0 without observations. What lies
  // beyond the last bound counts as that bound.
  double Quantile(double fraction) const;

 private:
  std::map<double, double> buckets_;  // Upper bound -> observations up to it.
  double count_ = 0;
  double sum_ = 0;
};

}  // namespace keel::ctl
