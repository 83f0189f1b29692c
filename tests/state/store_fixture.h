#pragma once

// A store in a directory of its own, and short ways to drive it one entry at a time.

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "storage/state/apply_batch.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// Removed with everything in it at the end.
class TempDir {
 public:
  TempDir() {
    std::string pattern = ::testing::TempDir() + "/keel-state-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline etcdserverpb::PutRequest PutOf(const std::string& key, const std::string& value, int64_t lease = 0) {
  etcdserverpb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  request.set_lease(lease);
  return request;
}

inline etcdserverpb::DeleteRangeRequest DeleteOf(const std::string& key, const std::string& end = "") {
  etcdserverpb::DeleteRangeRequest request;
  request.set_key(key);
  request.set_range_end(end);
  return request;
}

inline etcdserverpb::RangeRequest RangeOf(const std::string& key, const std::string& end = "", int64_t revision = 0) {
  etcdserverpb::RangeRequest request;
  request.set_key(key);
  request.set_range_end(end);
  request.set_revision(revision);
  return request;
}

inline const std::string kFromKey("\0", 1);

// "key=value" of each pair, in the order of the answer.
inline std::vector<std::string> Pairs(const etcdserverpb::RangeResponse& response) {
  std::vector<std::string> pairs;
  for (const auto& kv : response.kvs()) pairs.push_back(absl::StrCat(kv.key(), "=", kv.value()));
  return pairs;
}

inline etcdserverpb::RangeResponse Read(const KeyspaceReader& reader, const etcdserverpb::RangeRequest& request) {
  etcdserverpb::RangeResponse response;
  absl::Status status = reader.Range(request, &response);
  EXPECT_TRUE(status.ok()) << status;
  return response;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() { Open(); }

  StateOptions Options() const {
    StateOptions options;
    options.dir = dir_.path() + "/state";
    options.value_cache_bytes = 1u << 20;
    options.write_buffer_bytes = 1u << 20;
    return options;
  }

  void Open() {
    auto store = StateStore::Open(Options());
    ASSERT_TRUE(store.ok()) << store.status();
    store_ = *std::move(store);
  }
  void Reopen() {
    ASSERT_TRUE(store_->Close().ok());
    store_.reset();
    Open();
  }

  // One entry in a batch of its own.
  std::vector<RevisionEventsPtr> Apply(const std::function<void(ApplyBatch&)>& change) {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = store_->applied().index + 1, .term = 1});
    change(batch);
    batch.EndEntry();
    auto events = batch.Commit();
    EXPECT_TRUE(events.ok()) << events.status();
    return events.ok() ? *events : std::vector<RevisionEventsPtr>();
  }
  void Put(const std::string& key, const std::string& value, int64_t lease = 0) {
    Apply([&](ApplyBatch& batch) { EXPECT_TRUE(batch.Put(PutOf(key, value, lease), nullptr).ok()); });
  }
  void Delete(const std::string& key, const std::string& end = "") {
    Apply([&](ApplyBatch& batch) { EXPECT_TRUE(batch.DeleteRange(DeleteOf(key, end), nullptr).ok()); });
  }
  void Compact(int64_t revision) {
    Apply([&](ApplyBatch& batch) { EXPECT_TRUE(batch.Compact(Revision(revision)).ok()); });
  }
  void CompactPhysically(int64_t at_once = 1000) {
    while (true) {
      auto more = store_->CompactStep(at_once);
      ASSERT_TRUE(more.ok()) << more.status();
      if (!*more) return;
    }
  }
  etcdserverpb::RangeResponse Range(const etcdserverpb::RangeRequest& request) { return Read(store_->View(), request); }
  absl::Status RangeStatus(const etcdserverpb::RangeRequest& request) {
    etcdserverpb::RangeResponse response;
    return store_->View().Range(request, &response);
  }

  TempDir dir_;
  std::unique_ptr<StateStore> store_;
};

}  // namespace keel::storage
