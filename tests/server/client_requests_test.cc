#include "server/metrics/client_requests.h"

#include <gtest/gtest.h>

#include <map>

#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

class ClientRequestsTest : public ::testing::Test {
 protected:
  // By version, unary ones.
  std::map<std::string, double> Counts() const {
    std::map<std::string, double> counts;
    for (const prometheus::MetricFamily& family : registry_.Collect()) {
      for (const prometheus::ClientMetric& metric : family.metric) {
        std::string type;
        std::string version;
        for (const auto& label : metric.label) (label.name == "type" ? type : version) = label.value;
        if (type == "unary") counts[version] = metric.counter.value;
      }
    }
    return counts;
  }

  MetricRegistry registry_;
  ClientRequests requests_{&registry_};
};

TEST_F(ClientRequestsTest, EachVersionIsCountedByItself) {
  requests_.Count(/*unary=*/true, "3.5");
  requests_.Count(/*unary=*/true, "3.6");
  requests_.Count(/*unary=*/true, "3.5");
  requests_.Count(/*unary=*/false, "3.5");
  requests_.Count(/*unary=*/true, "");
  EXPECT_EQ(Counts(), (std::map<std::string, double>{{"3.5", 2}, {"3.6", 1}, {"unknown", 1}}));
}

TEST_F(ClientRequestsTest, AClientThatSaysEverMoreVersionsCostsNoMoreMemory) {
  for (int i = 0; i < 1000; ++i) requests_.Count(/*unary=*/true, absl::StrCat("version ", i));
  for (int i = 0; i < 1000; ++i) requests_.Count(/*unary=*/true, absl::StrCat("v", i));
  const std::map<std::string, double> counts = Counts();
  EXPECT_EQ(counts.size(), 33u);
  EXPECT_EQ(counts.at("unknown"), 2000 - 32);
}

TEST_F(ClientRequestsTest, WhatIsNoVersionIsNoLabel) {
  requests_.Count(/*unary=*/true, std::string(100, '3'));
  requests_.Count(/*unary=*/true, "3.5\n");
  requests_.Count(/*unary=*/true, "3.\xff");
  EXPECT_EQ(Counts(), (std::map<std::string, double>{{"unknown", 3}}));
}

}  // namespace
}  // namespace keel::server
