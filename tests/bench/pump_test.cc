#include "benchmarks/keel_bench/pump.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>
#include <vector>

#include "benchmarks/keel_bench/key_source.h"

namespace keel::bench {
namespace {

constexpr absl::Duration kStall = absl::Milliseconds(200);

// A server that answers at once, but the first request after a stall.
class StallingServer {
 public:
  ~StallingServer() { thread_.join(); }
  Send AsSend() {
    return [this](const Request& request, Done done) {
      if (request.number > 0) return done(absl::OkStatus());
      thread_ = std::thread([done = std::move(done)] {
        std::this_thread::sleep_for(absl::ToChronoMilliseconds(kStall));
        done(absl::OkStatus());
      });
    };
  }

 private:
  std::thread thread_;
};

// Coordinated omission: whoever waits for the stalled request sends none of those that would have met the stall too.
TEST(PumpTest, WithARateAStallIsChargedToEveryRequestThatWasDueMeanwhile) {
  const WorkloadOptions options{.clients = 1, .rate = 1000, .total = 50};
  WorkloadResult result;
  Tally tally(options, &result);
  {
    StallingServer server;
    Pump(options, &tally, server.AsSend());
  }
  EXPECT_EQ(tally.succeeded(), 50u);
  // The last one was due after 49 ms.
  EXPECT_GE(result.latency.Quantile(0.02), kStall - absl::Milliseconds(50));
  EXPECT_GE(result.latency.max(), kStall);
}

TEST(PumpTest, WithoutARateOnlyTheRequestThatMetAStallIsChargedForIt) {
  const WorkloadOptions options{.clients = 1, .total = 50};
  WorkloadResult result;
  Tally tally(options, &result);
  {
    StallingServer server;
    Pump(options, &tally, server.AsSend());
  }
  EXPECT_EQ(tally.succeeded(), 50u);
  EXPECT_GE(result.latency.max(), kStall);
  EXPECT_LT(result.latency.Quantile(0.5), kStall / 2);
}

TEST(PumpTest, EachClientHasOneRequestUnderWay) {
  for (const double rate : {0.0, 100000.0}) {
    const WorkloadOptions options{.clients = 3, .rate = rate, .total = 100};
    WorkloadResult result;
    Tally tally(options, &result);
    std::vector<bool> busy(3, false);
    std::vector<std::pair<int, Done>> waiting;
    // Answers the requests of three clients when all have sent one; then the rest, one by one.
    Pump(options, &tally, [&](const Request& request, Done done) {
      EXPECT_FALSE(busy[static_cast<size_t>(request.client)]);
      busy[static_cast<size_t>(request.client)] = true;
      waiting.emplace_back(request.client, std::move(done));
      if (waiting.size() < 3 && request.number + 1 < 100) return;
      std::vector<std::pair<int, Done>> answered;
      answered.swap(waiting);
      for (auto& [client, answer] : answered) {
        busy[static_cast<size_t>(client)] = false;
        answer(absl::OkStatus());
      }
    });
    EXPECT_EQ(tally.succeeded(), 100u);
  }
}

TEST(KeySourceTest, ARangeHoldsAsManyNeighboursAsWereAskedFor) {
  const KeySource keys({.key_size = 6, .key_space = 1000});
  for (uint64_t n = 0; n < 100; ++n) {
    const auto [begin, end] = keys.RangeAt(n, 100);
    EXPECT_EQ(std::stoul(end) - std::stoul(begin), 100u);
    EXPECT_LE(std::stoul(end), 1000u);
  }
}

}  // namespace
}  // namespace keel::bench
