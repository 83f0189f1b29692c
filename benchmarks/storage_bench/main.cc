// keel-storage-bench: what the keyspace of one member costs at a given number of keys, without network or consensus.
//
//   keel-storage-bench --keys 10000000 --dir /var/tmp/bench
//
// A child process fills the keyspace and rewrites part of it, as an apply thread does, and is killed with SIGKILL; this
// process then opens what it left and reads. Times are CPU times unless they say otherwise, so that a busy machine
// changes little. With --reuse the directory is measured as it is, and with --reuse --rewrite written to first. The
// last part compacts the history away; --keep-history leaves it out, for a directory that is to be measured again.

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "CLI/CLI.hpp"
#include "absl/strings/str_format.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "base/random.h"
#include "meter.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"

namespace keel::bench {
namespace {

using storage::ApplyBatch;
using storage::ReadView;
using storage::Revision;
using storage::StateStore;

constexpr int kBatch = 64;

struct Options {
  uint64_t keys = 1000000;
  uint64_t rewrites = 1000000;
  size_t value_bytes = 256;
  std::string dir;
  bool reuse = false;
  bool rewrite = false;
  bool keep_history = false;
};

// 31 bytes up to a hundred million keys.
std::string KeyOf(uint64_t i) { return absl::StrFormat("/registry/pods/n%03d/pod-%07d", i % 1000, i); }

void Print(const std::string& what, double figure, const std::string& unit) {
  std::printf("%-58s %12.2f %s\n", what.c_str(), figure, unit.c_str());
  std::fflush(stdout);
}

std::unique_ptr<StateStore> Open(const Options& options) {
  storage::StateOptions state;
  state.dir = options.dir + "/state";
  auto store = StateStore::Open(state);
  KEEL_CHECK_OK(store);
  return *std::move(store);
}

// Does in steps what a member's housekeeping thread does.
class Housekeeping {
 public:
  explicit Housekeeping(StateStore* store)
      : thread_([this, store] {
          while (!stop_) {
            auto compacted = store->CompactStep(10000);
            KEEL_CHECK_OK(compacted);
            auto written = store->CheckpointIndexStep();
            KEEL_CHECK_OK(written);
            busy_ = *compacted || *written;
            std::this_thread::sleep_for(std::chrono::milliseconds(10));
          }
        }) {}
  ~Housekeeping() {
    stop_ = true;
    thread_.join();
  }
  bool busy() const { return busy_; }

 private:
  std::atomic<bool> stop_ = false;
  std::atomic<bool> busy_ = true;
  std::thread thread_;
};

class Writer {
 public:
  Writer(const Options& options, StateStore* store) : store_(*store), index_(store->applied().index) {
    Random random(7);
    pool_.resize(1 << 20);
    for (char& c : pool_) c = static_cast<char>('!' + random.Below(90));
    requests_.resize(kBatch);
    value_bytes_ = options.value_bytes;
  }

  // Puts of the keys that `key` names, in batches; the cost of each batch goes to `seconds`, when it is given.
  void Put(uint64_t puts, const std::function<uint64_t()>& key, std::vector<double>* seconds = nullptr) {
    for (uint64_t done = 0; done < puts; done += kBatch) {
      for (auto& request : requests_) {
        request.set_key(KeyOf(key()));
        request.set_value(pool_.data() + random_.Below(pool_.size() - value_bytes_), value_bytes_);
      }
      const Reading before = ReadMeter();
      Apply();
      const Reading cost = ReadMeter() - before;
      thread_cpu_ += cost.thread_cpu;
      if (seconds != nullptr) seconds->push_back(absl::ToDoubleSeconds(cost.wall));
    }
  }
  // Of the batches alone, without making the requests.
  absl::Duration thread_cpu() const { return thread_cpu_; }

 private:
  // What it made of the requests is gone when it returns.
  void Apply() {
    ApplyBatch batch = store_.BeginBatch();
    std::vector<std::string_view> keys;  // A group of entries is there before it is applied.
    keys.reserve(requests_.size());
    for (const auto& request : requests_) keys.push_back(request.key());
    batch.Expect(keys);
    for (const auto& request : requests_) {
      batch.BeginEntry({.index = ++index_, .term = 1});
      KEEL_CHECK_OK(batch.Put(request, nullptr));
      batch.EndEntry();
    }
    KEEL_CHECK_OK(batch.Commit());
  }

  StateStore& store_;
  uint64_t index_;
  Random random_{3};
  std::string pool_;
  size_t value_bytes_;
  std::vector<etcdserverpb::PutRequest> requests_;
  absl::Duration thread_cpu_;
};

double Percentile(std::vector<double> values, double p) {
  std::sort(values.begin(), values.end());
  return values[std::min(values.size() - 1, static_cast<size_t>(p * static_cast<double>(values.size())))];
}

// Puts, with the process's CPU less what making the requests took.
void ReportPuts(const std::string& what, Writer* writer, uint64_t puts, const std::function<uint64_t()>& key) {
  const absl::Duration thread_before = writer->thread_cpu();
  const Reading before = ReadMeter();
  writer->Put(puts, key);
  const Reading cost = ReadMeter() - before;
  const absl::Duration applying = writer->thread_cpu() - thread_before;
  const absl::Duration background = cost.process_cpu - cost.thread_cpu;
  const double n = static_cast<double>(puts);
  Print(what + ": apply thread", absl::ToDoubleMicroseconds(applying) / n, "us CPU a put");
  Print(what + ": with background", absl::ToDoubleMicroseconds(applying + background) / n, "us CPU a put");
}

[[noreturn]] void FillAndDie(const Options& options) {
  auto store = Open(options);
  const uint64_t held = static_cast<uint64_t>(store->sizes().live_keys);
  Writer writer(options, store.get());
  Random random(5);
  Housekeeping housekeeping(store.get());
  if (held < options.keys) {
    // Every key once, in an order that is as good as random: a step without a common divisor with their number.
    uint64_t next = 0;
    ReportPuts("put, new keys in random order", &writer, options.keys, [&] {
      next = (next + 7368787) % options.keys;
      return next;
    });
  }
  ReportPuts("put, uniform over all keys", &writer, options.rewrites, [&] { return random.Below(options.keys); });
  ReportPuts("put, 1000 hot keys", &writer, options.rewrites / 2, [&] { return random.Below(1000); });
  Print("resident after writing", static_cast<double>(ResidentBytes()) / 1e6, "MB");
  std::fflush(stdout);
  kill(getpid(), SIGKILL);
  while (true) pause();
}

// Mean CPU of this thread per call, over `calls`.
double Time(int calls, const std::function<void(int)>& call) {
  const Reading before = ReadMeter();
  for (int i = 0; i < calls; ++i) call(i);
  return absl::ToDoubleMicroseconds((ReadMeter() - before).thread_cpu) / calls;
}

// Reads the files once: what is measured as cold is what the member itself does not have, not how fast the disk is.
void WarmPageCache(const Options& options) {
  std::vector<char> buffer(1 << 20);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(options.dir)) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    while (file.read(buffer.data(), static_cast<std::streamsize>(buffer.size()))) {
    }
  }
}

void ReportReads(const Options& options, StateStore* store) {
  Random random(11);
  etcdserverpb::RangeResponse response;
  const auto get = [&](const std::string& key) {
    etcdserverpb::RangeRequest request;
    request.set_key(key);
    response.Clear();
    KEEL_CHECK_OK(store->View().Range(request, &response));
    KEEL_CHECK(response.kvs_size() == 1);
  };
  // Keys are made before they are timed.
  std::vector<std::string> asked(100000);
  for (std::string& key : asked) key = KeyOf(random.Below(options.keys));
  Print("get, uniform over all keys (cold)", Time(100000, [&](int i) { get(asked[static_cast<size_t>(i)]); }), "us");
  for (std::string& key : asked) key = KeyOf(random.Below(10000) * 17 % options.keys);
  const auto hot = [&](int i) { get(asked[static_cast<size_t>(i) % asked.size()]); };
  Time(100000, hot);
  Print("get, 10000 hot keys (warm)", Time(300000, hot), "us");

  const auto range = [&](uint64_t ns, int64_t limit, int64_t revision) {
    etcdserverpb::RangeRequest request;
    request.set_key(absl::StrFormat("/registry/pods/n%03d/", ns));
    request.set_range_end(absl::StrFormat("/registry/pods/n%03d0", ns));
    request.set_limit(limit);
    request.set_revision(revision);
    response.Clear();
    KEEL_CHECK_OK(store->View().Range(request, &response));
  };
  Print("range of 100, each for the first time (cold)", Time(200, [&](int i) { range(i * 3 % 1000, 100, 0); }), "us");
  Time(1000, [&](int) { range(7, 100, 0); });
  Print("range of 100, again and again (warm)", Time(5000, [&](int) { range(7, 100, 0); }), "us");

  const int64_t now = store->current_revision().value();
  const int64_t oldest = std::max<int64_t>(store->compact_revision().value(), 2);
  // A figure about the past, if the directory still holds that much of it.
  const auto print_past = [&](const std::string& what, int64_t revisions, const std::function<double()>& measure) {
    if (now - revisions >= oldest) return Print(what, measure(), "us");
    std::printf("%-58s %12s of the %d revisions needed, %d are kept\n", what.c_str(), "-", static_cast<int>(revisions),
                static_cast<int>(now - oldest));
  };
  const auto count = [&](uint64_t a, uint64_t b, int64_t revision) {
    etcdserverpb::RangeRequest request;
    request.set_key(KeyOf(std::min(a, b)));
    request.set_range_end(KeyOf(std::max(a, b)));
    request.set_count_only(true);
    request.set_revision(revision);
    response.Clear();
    KEEL_CHECK_OK(store->View().Range(request, &response));
  };
  const auto any = [&] { return random.Below(options.keys); };
  Print("count of a random range", Time(100000, [&](int) { count(any(), any(), 0); }), "us");
  print_past("count of a random range, 1000 revisions ago", 1000,
             [&] { return Time(1000, [&](int) { count(any(), any(), now - 1000); }); });
  print_past("count of a random range, 100000 revisions ago", 100000,
             [&] { return Time(20, [&](int) { count(any(), any(), now - 100000); }); });
  const auto past = static_cast<int64_t>(options.rewrites) / 2 - 1;
  print_past("get of a key of 1000 hot ones, before they were", past, [&] {
    return Time(1000, [&](int i) {
      etcdserverpb::RangeRequest request;
      request.set_key(KeyOf(static_cast<uint64_t>(i)));
      request.set_revision(now - past);
      response.Clear();
      KEEL_CHECK_OK(store->View().Range(request, &response));
    });
  });
  print_past("1000 events of history", 100000, [&] {
    return Time(300, [&](int) {
      const Revision first(oldest + static_cast<int64_t>(random.Below(static_cast<uint64_t>(now - oldest - 1000))));
      auto events = store->History(first, first + 999, size_t{1} << 30);
      KEEL_CHECK_OK(events);
      KEEL_CHECK(events->size() == 1000);
    });
  });

  // A client that lists a million keys, in pages of 10000 pinned to one revision.
  ResetPeak();
  const int64_t before = ResidentBytes();
  uint64_t listed = 0;
  etcdserverpb::RangeRequest page;
  page.set_key("/registry/");
  page.set_range_end("/registry0");
  page.set_limit(10000);
  page.set_revision(now);
  const Reading start = ReadMeter();
  while (listed < 1000000) {
    response.Clear();
    KEEL_CHECK_OK(store->View().Range(page, &response));
    if (response.kvs_size() == 0) break;
    listed += static_cast<uint64_t>(response.kvs_size());
    page.set_key(response.kvs(response.kvs_size() - 1).key() + '\0');
  }
  const double keys = static_cast<double>(listed);
  Print("list of a million keys, per key", absl::ToDoubleMicroseconds((ReadMeter() - start).thread_cpu) / keys, "us");
  Print("memory for it at most", static_cast<double>(PeakResidentBytes() - before) / 1e6, "MB");
}

void ReportCompaction(const Options& options, StateStore* store) {
  Writer writer(options, store);
  Random random(13);
  const auto key = [&] { return random.Below(options.keys); };
  std::vector<double> without;
  writer.Put(200000, key, &without);
  const Revision now = store->current_revision();
  Print("1000 events of history, written last",
        Time(300, [&](int) { KEEL_CHECK_OK(store->History(now - 999, now, size_t{1} << 30)); }), "us");
  {
    ApplyBatch batch = store->BeginBatch();
    batch.BeginEntry({.index = store->applied().index + 1, .term = 1});
    KEEL_CHECK_OK(batch.Compact(store->current_revision()));
    batch.EndEntry();
    KEEL_CHECK_OK(batch.Commit());
  }
  Writer after(options, store);
  std::vector<double> with;
  Housekeeping housekeeping(store);
  while (housekeeping.busy() && with.size() < 5000) after.Put(kBatch, key, &with);
  Print("batch of 64 puts, wall time, p99", Percentile(without, 0.99) * 1e6, "us");
  Print("the same while history is compacted", Percentile(with, 0.99) * 1e6, "us");
}

int Main(int argc, char** argv) {
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);  // As members do.
  Options options;
  CLI::App app("What the keyspace of one member costs, without network or consensus.");
  app.add_option("--keys", options.keys, "keys of 31 bytes")->capture_default_str();
  app.add_option("--rewrites", options.rewrites, "puts over existing keys")->capture_default_str();
  app.add_option("--value-bytes", options.value_bytes)->capture_default_str();
  app.add_option("--dir", options.dir, "a directory of its own; what is there is removed unless --reuse")->required();
  CLI::Option* const reuse = app.add_flag("--reuse", options.reuse, "measure what is there already");
  app.add_flag("--rewrite", options.rewrite, "with --reuse: put over existing keys first")->needs(reuse);
  app.add_flag("--keep-history", options.keep_history, "leave out the part that compacts the history");
  CLI11_PARSE(app, argc, argv);
  if (!options.reuse) {
    std::filesystem::remove_all(options.dir);
    std::filesystem::create_directories(options.dir);
  }
  if (!options.reuse || options.rewrite) {
    const pid_t child = fork();
    KEEL_CHECK(child >= 0);
    if (child == 0) FillAndDie(options);
    int status = 0;
    KEEL_CHECK(waitpid(child, &status, 0) == child);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL) {
      std::fprintf(stderr, "the writing process ended by itself\n");
      return 1;
    }
  }
  const int64_t empty = ResidentBytes();
  const Reading before = ReadMeter();
  auto store = Open(options);
  const Reading opening = ReadMeter() - before;
  Print("open after kill -9, wall time", absl::ToDoubleSeconds(opening.wall), "s");
  Print("open after kill -9", absl::ToDoubleSeconds(opening.process_cpu), "s CPU");
  const storage::StateSizes sizes = store->sizes();
  Print("keys", static_cast<double>(sizes.live_keys), "");
  Print("resident after opening", static_cast<double>(ResidentBytes() - empty) / 1e6, "MB");
  Print("index", static_cast<double>(sizes.index_bytes) / static_cast<double>(sizes.live_keys), "bytes a key");
  Print("on disk", static_cast<double>(sizes.allocated_bytes) / 1e6, "MB");
  WarmPageCache(options);
  ReportReads(options, store.get());
  if (!options.keep_history) ReportCompaction(options, store.get());
  Print("resident at the end, caches full", static_cast<double>(ResidentBytes()) / 1e6, "MB");
  return 0;
}

}  // namespace
}  // namespace keel::bench

int main(int argc, char** argv) { return keel::bench::Main(argc, argv); }
