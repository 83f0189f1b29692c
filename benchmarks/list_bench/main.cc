// keel-list-bench: how much more memory a member takes while a client lists everything it has.
//
//   keel-list-bench --endpoint 127.0.0.1:2379 --pid $(pidof keeld) --keys 1000000
//
// Fills the keyspace (keys of 31 bytes), unless it has so many keys already, and lists it in several ways. The peak is
// the kernel's own high-water mark of the process, reset before each listing; so it must run on the member's machine,
// as its user. For the cost of a cold start, restart the member once it is filled.

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "keel/client.h"

namespace keel::bench {
namespace {

struct Options {
  std::string endpoint = "127.0.0.1:2379";
  int pid = 0;
  int64_t keys = 1000000;
  size_t value_bytes = 256;
  int64_t page = 1000;
  int readers = 4;
};

// 31 bytes up to a hundred million keys.
std::string KeyOf(int64_t i) { return absl::StrFormat("/registry/pods/n%03d/pod-%07d", i % 1000, i); }

// A line of /proc/PID/status, in MiB.
double MemoryOf(int pid, const std::string& name) {
  std::ifstream status(absl::StrFormat("/proc/%d/status", pid));
  for (std::string line; std::getline(status, line);) {
    if (line.rfind(name + ":", 0) == 0) return std::stod(line.substr(name.size() + 1)) / 1024;
  }
  KEEL_CHECK(false) << "process " << pid << " cannot be read; give the member's --pid";
  return 0;
}

void ResetPeak(int pid) {
  std::ofstream reset(absl::StrFormat("/proc/%d/clear_refs", pid));
  reset << "5";
  reset.close();
  KEEL_CHECK(!reset.fail()) << "the peak of process " << pid << " cannot be reset; run this as the member's user";
}

void Fill(Kv& kv, const Options& options) {
  const auto there = kv.Get("", {.prefix = true, .count_only = true});
  KEEL_CHECK(there.ok()) << there.status();
  if (there->count >= options.keys) return;
  constexpr int64_t kAtOnce = 100;
  constexpr int64_t kWriters = 8;
  std::vector<std::thread> writers;
  for (int64_t w = 0; w < kWriters; ++w) {
    writers.emplace_back([&kv, &options, w] {
      for (int64_t first = w * kAtOnce; first < options.keys; first += kWriters * kAtOnce) {
        Txn txn;
        for (int64_t i = first; i < std::min(first + kAtOnce, options.keys); ++i) {
          // Not all alike, or compression would make a smaller keyspace of it.
          std::string value(options.value_bytes, ' ');
          uint64_t state = static_cast<uint64_t>(i) * 0x9e3779b97f4a7c15u + 1;
          for (char& c : value) {
            state = state * 6364136223846793005u + 1442695040888963407u;
            c = static_cast<char>('!' + (state >> 33) % 90);
          }
          txn.Then(PutOp{.key = KeyOf(i), .value = std::move(value)});
        }
        const auto done = kv.Commit(txn, {.timeout = absl::Seconds(60), .repeat = Repeat::kAlways});
        KEEL_CHECK(done.ok()) << done.status();
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
}

// The pairs it saw.
int64_t Stream(Kv& kv) {
  int64_t pairs = 0;
  const auto end = kv.GetStream("", {.prefix = true}, [&](std::vector<KeyValue> kvs) {
    pairs += static_cast<int64_t>(kvs.size());
    return absl::OkStatus();
  });
  KEEL_CHECK(end.ok()) << end.status();
  return pairs;
}

int64_t Pages(Kv& kv, int64_t page) {
  int64_t pairs = 0;
  RangeOptions options{.from_key = true, .limit = page};
  for (std::string key;;) {
    const auto got = kv.Get(key, options, {.timeout = absl::Seconds(60)});
    KEEL_CHECK(got.ok()) << got.status();
    pairs += static_cast<int64_t>(got->kvs.size());
    if (!got->more) return pairs;
    options.revision = options.revision == 0 ? got->header.revision : options.revision;
    key = got->kvs.back().key + '\0';
  }
}

void Measure(const Options& options, const std::string& what, const std::function<int64_t()>& list) {
  const double before = MemoryOf(options.pid, "VmRSS");
  ResetPeak(options.pid);
  const absl::Time start = absl::Now();
  const int64_t pairs = list();
  const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
  const double peak = MemoryOf(options.pid, "VmHWM");
  std::printf("%-38s %9d pairs %7.2f s   resident %7.1f MiB before, peak %+7.1f MiB\n", what.c_str(),
              static_cast<int>(pairs), seconds, before, peak - before);
  std::fflush(stdout);
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("Peak memory of a member while it is listed");
  app.add_option("--endpoint", options.endpoint, "the member's client address");
  app.add_option("--pid", options.pid, "its process")->required();
  app.add_option("--keys", options.keys, "keys to list");
  app.add_option("--value-bytes", options.value_bytes, "size of each value");
  app.add_option("--page", options.page, "pairs of a page");
  app.add_option("--readers", options.readers, "clients of the last figure");
  CLI11_PARSE(app, argc, argv);

  auto client = Client::Create({.endpoints = {options.endpoint}});
  KEEL_CHECK(client.ok()) << client.status();
  Kv& kv = (*client)->kv();
  Fill(kv, options);
  Measure(options, "RangeStream, the first listing", [&] { return Stream(kv); });
  Measure(options, "RangeStream", [&] { return Stream(kv); });
  Measure(options, absl::StrFormat("pages of %d", options.page), [&] { return Pages(kv, options.page); });
  Measure(options, absl::StrFormat("%d clients, RangeStream", options.readers), [&] {
    std::vector<std::thread> readers;
    std::vector<int64_t> pairs(static_cast<size_t>(options.readers));
    for (int64_t& seen : pairs) readers.emplace_back([&kv, &seen] { seen = Stream(kv); });
    for (std::thread& reader : readers) reader.join();
    int64_t total = 0;
    for (const int64_t seen : pairs) total += seen;
    return total;
  });
  return 0;
}

}  // namespace
}  // namespace keel::bench

int main(int argc, char** argv) { return keel::bench::Main(argc, argv); }
