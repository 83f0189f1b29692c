// keel-client-bench: what the client library costs by itself, against a running server.
//
//   keel-client-bench puts --endpoint 127.0.0.1:2379 --in-flight 100 --total 100000
//   keel-client-bench cache --endpoint 127.0.0.1:2379 --keys 100000 --puts 1000

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "keel/cached_prefix.h"
#include "keel/client.h"

namespace keel::bench {
namespace {

struct Options {
  std::string endpoint = "127.0.0.1:2379";
  int in_flight = 100;
  int total = 100000;
  int keys = 100000;
  int puts = 1000;
  int value_bytes = 256;
};

// As they are started: the calling thread starts a put whenever fewer than `in_flight` are under way.
class Window {
 public:
  explicit Window(int size) : free_(size), size_(size) {}
  void Enter() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](int* free) { return *free > 0; }, &free_));
    --free_;
  }
  void Leave() {
    absl::MutexLock lock(&mu_);
    ++free_;
  }
  void Drain() {
    absl::MutexLock lock(&mu_);
    mu_.Await(absl::Condition(
        +[](Window* w) ABSL_EXCLUSIVE_LOCKS_REQUIRED(w->mu_) { return w->free_ == w->size_; }, this));
  }

 private:
  absl::Mutex mu_;
  int free_ ABSL_GUARDED_BY(mu_);
  const int size_;
};

// Puts per second from one thread, `total` of them.
double Puts(Client& client, const std::string& prefix, int in_flight, int total, int keys, int value_bytes) {
  Window window(in_flight);
  const std::string value(static_cast<size_t>(value_bytes), 'v');
  const absl::Time start = absl::Now();
  for (int i = 0; i < total; ++i) {
    window.Enter();
    client.kv().PutAsync(absl::StrFormat("%s%08d", prefix, i % keys), value, {}, {.timeout = absl::Seconds(60)},
                         [&window](const absl::StatusOr<PutResponse>& put) {
                           KEEL_CHECK(put.ok()) << put.status();
                           window.Leave();
                         });
  }
  window.Drain();
  return total / absl::ToDoubleSeconds(absl::Now() - start);
}

void MeasureCache(Client& client, const Options& o) {
  const std::string prefix = "keel-client-bench/cache/";
  Puts(client, prefix, 500, o.keys, o.keys, o.value_bytes);
  absl::Time start = absl::Now();
  const auto cache = CachedPrefix::Open(client, prefix);
  KEEL_CHECK(cache.ok()) << cache.status();
  std::printf("open: %d keys in %s\n", static_cast<int>((*cache)->view().size()),
              absl::FormatDuration(absl::Now() - start).c_str());
  // From the put's answer to the view that has it, and from its call.
  std::vector<absl::Duration> after_answer;
  std::vector<absl::Duration> after_call;
  for (int i = 0; i < o.puts; ++i) {
    start = absl::Now();
    const auto put = client.kv().Put(absl::StrFormat("%s%08d", prefix, i * 7919 % o.keys), absl::StrCat(i));
    KEEL_CHECK(put.ok()) << put.status();
    const absl::Time answered = absl::Now();
    KEEL_CHECK((*cache)->WaitUntil(put->header.revision).ok());
    after_answer.push_back(absl::Now() - answered);
    after_call.push_back(absl::Now() - start);
  }
  for (auto* sample : {&after_call, &after_answer}) {
    std::sort(sample->begin(), sample->end());
    std::printf("current after the put's %s: p50 %s, p99 %s, worst %s\n", sample == &after_call ? "call" : "answer",
                absl::FormatDuration((*sample)[sample->size() / 2]).c_str(),
                absl::FormatDuration((*sample)[sample->size() * 99 / 100]).c_str(),
                absl::FormatDuration(sample->back()).c_str());
  }
  start = absl::Now();
  constexpr int kViews = 100000;
  size_t found = 0;
  for (int i = 0; i < kViews; ++i) found += (*cache)->view().size() > 0 ? 1 : 0;
  std::printf("view(): %s each (%d)\n", absl::FormatDuration((absl::Now() - start) / kViews).c_str(),
              static_cast<int>(found));
}

int Main(int argc, char** argv) {
  Options o;
  CLI::App app("What the client library costs by itself", "keel-client-bench");
  app.require_subcommand(1);
  app.fallthrough();  // Inherited by the subcommands made from here on.
  app.add_option("--endpoint", o.endpoint, "the member's client address")->capture_default_str();
  app.add_option("--value-bytes", o.value_bytes, "size of each value")->capture_default_str();
  CLI::App* puts = app.add_subcommand("puts", "asynchronous puts from one thread over one connection");
  puts->add_option("--in-flight", o.in_flight, "puts under way at once")->capture_default_str();
  puts->add_option("--total", o.total, "puts")->capture_default_str();
  CLI::App* cache = app.add_subcommand("cache", "how soon a CachedPrefix has a put");
  cache->add_option("--keys", o.keys, "keys in the cache")->capture_default_str();
  cache->add_option("--puts", o.puts, "puts, one after the other")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  auto client = Client::Create({.endpoints = {o.endpoint}});
  KEEL_CHECK(client.ok()) << client.status();
  if (cache->parsed()) {
    MeasureCache(**client, o);
  } else {
    const double rate = Puts(**client, "keel-client-bench/puts/", o.in_flight, o.total, 10000, o.value_bytes);
    std::printf("%d in flight: %.0f puts/s\n", o.in_flight, rate);
  }
  return 0;
}

}  // namespace
}  // namespace keel::bench

int main(int argc, char** argv) {
  // Debian's abseil looks for lock cycles at every lock, which costs a tenth of the time.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  return keel::bench::Main(argc, argv);
}
