#pragma once

// Writers that run while something happens to the cluster, and what must be there afterwards.

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "keel/client.h"

namespace keel::test {

// Writers that note every acknowledged key with the revision they were told.
class Writers {
 public:
  Writers(Client& client, int count) : client_(client) {
    for (int w = 0; w < count; ++w) threads_.emplace_back([this, w] { Run(w); });
  }
  ~Writers() { Stop(); }

  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  // Blocks until `count` more writes are acknowledged than now. False: they were not within a minute.
  bool AwaitMore(size_t count) {
    const size_t wanted = acknowledged_count() + count;
    const absl::Time deadline = absl::Now() + absl::Seconds(60);
    while (acknowledged_count() < wanted) {
      if (absl::Now() > deadline) return false;
      absl::SleepFor(absl::Milliseconds(5));
    }
    return true;
  }
  // The longest time in which no write was acknowledged, up to now.
  absl::Duration longest_gap() const {
    absl::MutexLock lock(&mu_);
    return std::max(longest_gap_, absl::Now() - last_);
  }
  void ForgetGaps() {
    absl::MutexLock lock(&mu_);
    longest_gap_ = absl::ZeroDuration();
    last_ = absl::Now();
  }
  size_t acknowledged_count() const {
    absl::MutexLock lock(&mu_);
    return acknowledged_.size();
  }
  std::map<std::string, int64_t> acknowledged() const {
    absl::MutexLock lock(&mu_);
    return acknowledged_;
  }

 private:
  void Run(int writer) {
    for (int i = 0; !stop_; ++i) {
      const std::string key = absl::StrCat("w", writer, "/", i);
      auto put = client_.kv().Put(key, absl::StrCat("value of ", key));
      if (!put.ok()) continue;  // Not acknowledged: nothing is promised.
      absl::MutexLock lock(&mu_);
      acknowledged_[key] = put->header.revision;
      const absl::Time now = absl::Now();
      longest_gap_ = std::max(longest_gap_, now - last_);
      last_ = now;
    }
  }

  Client& client_;
  std::atomic<bool> stop_ = false;
  std::vector<std::thread> threads_;
  mutable absl::Mutex mu_;
  std::map<std::string, int64_t> acknowledged_ ABSL_GUARDED_BY(mu_);
  absl::Duration longest_gap_ ABSL_GUARDED_BY(mu_);
  absl::Time last_ ABSL_GUARDED_BY(mu_) = absl::Now();
};

inline void ExpectAllPresent(Client& client, const std::map<std::string, int64_t>& acknowledged) {
  auto all = client.kv().Get("w", {.prefix = true});
  ASSERT_TRUE(all.ok()) << all.status();
  std::map<std::string, const KeyValue*> stored;
  for (const KeyValue& kv : all->kvs) stored[kv.key] = &kv;
  for (const auto& [key, revision] : acknowledged) {
    ASSERT_TRUE(stored.contains(key)) << key << " was acknowledged at revision " << revision << " and is gone";
    EXPECT_EQ(stored[key]->mod_revision, revision) << key;
    EXPECT_EQ(stored[key]->value, "value of " + key);
  }
}

}  // namespace keel::test
