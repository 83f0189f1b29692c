#pragma once

// What the examples in headers and pages take for granted: a cluster, a client, a session, and the application's side.

#include <gtest/gtest.h>

#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/session.h"
#include "tests/client/test_cluster.h"

namespace keel::testing {

// Ends an example well, or is ignored by it.
struct Done {
  operator absl::Status() const { return absl::OkStatus(); }  // NOLINT(google-explicit-constructor)
};

// One cluster for all examples; a client and a session for each. While one runs, somebody else writes "config/change".
class ExamplesTest : public ::testing::Test {
 protected:
  using Example = std::function<absl::Status(Client& client, Session& session)>;

  static void SetUpTestSuite();
  static void TearDownTestSuite();

  // Runs it; it must succeed, and so must the `counts` results that it counts, maybe later.
  void Run(const Example& example, int counts);

  // Names that examples use.
  Done Lead() { return {}; }
  template <typename Value>
  Done Follow(const Value&) {
    return {};
  }
  template <typename Value>
  Done Apply(const Value&) {
    return {};
  }
  template <typename Value>
  static Done Archive(const Value&) {
    return {};
  }
  template <typename Value>
  Done Greet(const Value&) {
    return {};
  }
  template <typename Value>
  Done Index(const Value&) {
    return {};
  }
  template <typename Value>
  Done ReplaceAll(const Value&) {
    return {};
  }
  template <typename Value>
  Done Send(const Value&) {
    return {};
  }
  Done Restart() { return {}; }
  // Three times.
  bool HasWork() { return ++asked_ <= 3; }
  // What no example may come to.
  absl::Status LostTheLock() { return absl::AbortedError("the lock was lost"); }
  absl::Status Gone() { return absl::AbortedError("it is gone"); }
  static void Count(bool ok) {  // From callbacks that capture nothing.
    EXPECT_TRUE(ok);
    absl::MutexLock lock(&mu_);
    ++counted_;
  }
  struct Disk {
    void Write(const std::string&, int64_t token) { EXPECT_GT(token, 0); }
  };

  std::vector<std::string> endpoints;
  LeaseId lease = 0;
  const std::string name = "ann";
  const std::string data = "all is well";
  Disk disk;

 private:
  static TestCluster* cluster_;
  int asked_ = 0;
  static inline absl::Mutex mu_;
  static inline int counted_ ABSL_GUARDED_BY(mu_) = 0;
};

}  // namespace keel::testing
