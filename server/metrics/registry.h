#pragma once

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

#include <string>
#include <vector>

namespace keel::server {

// The library's registry, and the short words for what it holds. Thread-safe, as the library is.
class MetricRegistry {
 public:
  using Bounds = prometheus::Histogram::BucketBoundaries;

  prometheus::Counter& AddCounter(const std::string& name, const std::string& help) {
    return Counters(name, help).Add({});
  }
  prometheus::Gauge& AddGauge(const std::string& name, const std::string& help) { return Gauges(name, help).Add({}); }
  prometheus::Histogram& AddHistogram(const std::string& name, const std::string& help, const Bounds& bounds) {
    return Histograms(name, help).Add({}, bounds);
  }

  // With labels, which are given to Add().
  prometheus::Family<prometheus::Counter>& Counters(const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry_);
  }
  prometheus::Family<prometheus::Gauge>& Gauges(const std::string& name, const std::string& help) {
    return prometheus::BuildGauge().Name(name).Help(help).Register(registry_);
  }
  prometheus::Family<prometheus::Histogram>& Histograms(const std::string& name, const std::string& help) {
    return prometheus::BuildHistogram().Name(name).Help(help).Register(registry_);
  }

  std::vector<prometheus::MetricFamily> Collect() const { return registry_.Collect(); }

 private:
  prometheus::Registry registry_;
};

// start, start * 2, ... : the notation E(start, 2, count) of the contract.
inline MetricRegistry::Bounds Exponential(double start, int count) {
  MetricRegistry::Bounds bounds;
  for (int i = 0; i < count; ++i, start *= 2) bounds.push_back(start);
  return bounds;
}

// Makes a counter follow a total that is kept elsewhere.
inline void Follow(prometheus::Counter& counter, double total) {
  if (total > counter.Value()) counter.Increment(total - counter.Value());
}

}  // namespace keel::server
