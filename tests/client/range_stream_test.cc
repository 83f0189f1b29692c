// Kv::GetStream against a real server: by RangeStream, or by pages where a server has none.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#include "absl/time/clock.h"
#include "client/src/core.h"
#include "client/src/paged_range.h"
#include "keel/client.h"
#include "keel/range_pager.h"
#include "tests/client/test_cluster.h"

namespace keel {
namespace {

constexpr int kKeys = 500;
constexpr size_t kValueBytes = 20000;

class GetStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    auto cluster = testing::TestCluster::Start(1);
    ASSERT_TRUE(cluster.ok()) << cluster.status();
    cluster_ = *std::move(cluster);
    auto client = Client::Create({.endpoints = cluster_->endpoints()});
    ASSERT_TRUE(client.ok());
    client_ = *std::move(client);
    for (int i = 0; i < kKeys; ++i) {
      const auto put = kv().Put(absl::StrCat("k", 1000 + i), std::string(kValueBytes, static_cast<char>('a' + i % 26)));
      ASSERT_TRUE(put.ok()) << put.status();
      revision_ = put->header.revision;
    }
  }

  Kv& kv() { return client_->kv(); }

  std::unique_ptr<testing::TestCluster> cluster_;
  std::unique_ptr<Client> client_;
  int64_t revision_ = 0;
};

TEST_F(GetStreamTest, SaysWhatGetSaysInPieces) {
  for (const int64_t limit : {0, 1, 99, 250, kKeys, kKeys + 1}) {
    for (const bool keys_only : {false, true}) {
      SCOPED_TRACE(absl::StrCat("limit ", limit, keys_only ? " keys only" : ""));
      const RangeOptions options = {.prefix = true, .limit = limit, .keys_only = keys_only};
      const auto whole = kv().Get("k", options);
      ASSERT_TRUE(whole.ok()) << whole.status();
      std::vector<KeyValue> kvs;
      size_t largest = 0;
      const auto end = kv().GetStream("k", options, [&](std::vector<KeyValue> piece) {
        largest = std::max(largest, piece.size());
        for (KeyValue& kv : piece) kvs.push_back(std::move(kv));
        return absl::OkStatus();
      });
      ASSERT_TRUE(end.ok()) << end.status();
      EXPECT_EQ(end->count, whole->count);
      EXPECT_EQ(end->more, whole->more);
      EXPECT_EQ(end->header.revision, whole->header.revision);
      EXPECT_TRUE(end->kvs.empty());
      ASSERT_EQ(kvs.size(), whole->kvs.size());
      for (size_t i = 0; i < kvs.size(); ++i) {
        ASSERT_EQ(kvs[i].key, whole->kvs[i].key);
        ASSERT_EQ(kvs[i].value, whole->kvs[i].value);
        ASSERT_EQ(kvs[i].mod_revision, whole->kvs[i].mod_revision);
      }
      if (!keys_only) {
        EXPECT_LE(largest, 2000000 / kValueBytes);
      }
    }
  }
}

TEST_F(GetStreamTest, ShowsOneRevisionWhateverIsWrittenMeanwhile) {
  int pairs = 0;
  bool first = true;
  const auto end = kv().GetStream("k", {.prefix = true}, [&](std::vector<KeyValue> piece) {
    for (const KeyValue& kv : piece) {
      ++pairs;
      EXPECT_EQ(kv.value.size(), kValueBytes);
    }
    if (!std::exchange(first, false)) return absl::OkStatus();
    for (const char* key : {"k1498", "k1499", "k1499a", "k2"}) EXPECT_TRUE(kv().Put(key, "later").ok());
    return kv().Delete("k1490").status();
  });
  ASSERT_TRUE(end.ok()) << end.status();
  EXPECT_EQ(pairs, kKeys);
  EXPECT_EQ(end->count, kKeys);
  EXPECT_EQ(end->header.revision, revision_);
}

TEST_F(GetStreamTest, TheSinksErrorEndsIt) {
  int calls = 0;
  const auto end = kv().GetStream("k", {.prefix = true}, [&](std::vector<KeyValue>) {
    return ++calls == 2 ? absl::DataLossError("no room") : absl::OkStatus();
  });
  EXPECT_EQ(end.status(), absl::DataLossError("no room"));
  EXPECT_EQ(calls, 2);
  EXPECT_TRUE(kv().Get("k1000").ok());
}

TEST_F(GetStreamTest, RefusalsAndEmptyRangesAreThoseOfGet) {
  auto never = [](std::vector<KeyValue>) { return absl::InternalError("nothing to take"); };
  const auto none = kv().GetStream("nothing", {.prefix = true}, never);
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_EQ(none->count, 0);
  const auto count = kv().GetStream("k", {.prefix = true, .count_only = true}, never);
  ASSERT_TRUE(count.ok()) << count.status();
  EXPECT_EQ(count->count, kKeys);
  EXPECT_EQ(kv().GetStream("k", {.revision = revision_ + 1}, never).status().code(), absl::StatusCode::kOutOfRange);
  EXPECT_EQ(kv().GetStream("k", {.prefix = true, .sort_order = SortOrder::kDescend}, never).status().code(),
            absl::StatusCode::kUnimplemented);
  ASSERT_TRUE(kv().Compact(revision_).ok());
  EXPECT_EQ(kv().GetStream("k", {.prefix = true, .revision = revision_ - 1}, never).status().code(),
            absl::StatusCode::kOutOfRange);
}

TEST(GetStreamErrorTest, AServerThatIsNotThereIsUnavailable) {
  auto client = Client::Create({.endpoints = {"127.0.0.1:1"}, .timeout = absl::Milliseconds(300)});
  ASSERT_TRUE(client.ok());
  const auto end =
      (*client)->kv().GetStream("k", {}, [](std::vector<KeyValue>) { return absl::InternalError("nothing to take"); });
  EXPECT_EQ(end.status().code(), absl::StatusCode::kUnavailable) << end.status();
}

// The asynchronous form, by a stream, and by pages as from a server that has none.
class GetStreamAsyncTest : public GetStreamTest, public ::testing::WithParamInterface<bool> {
 protected:
  // What one read has brought so far. Thread-safe.
  struct Read {
    absl::Mutex mu;
    std::vector<KeyValue> kvs;
    int pieces = 0;
    Taken taken;  // Of the last piece.
    bool ended = false;
    absl::Notification done;  // Said last of all, when nothing here is used by others any more.
    absl::StatusOr<RangeResponse> end = absl::UnknownError("");

    Taken AwaitPiece(int number) {
      number_ = number;
      absl::MutexLock lock(&mu);
      mu.Await(absl::Condition(this, &Read::HasPiece));
      return taken;
    }

   private:
    bool HasPiece() const { return pieces >= number_ || ended; }
    int number_ = 0;
  };

  void Start(Read& read, const CallOptions& call = {}) {
    const AsyncRangeSink sink = [&read](std::vector<KeyValue> kvs, Taken taken) {
      absl::MutexLock lock(&read.mu);
      EXPECT_FALSE(read.ended);
      for (KeyValue& kv : kvs) read.kvs.push_back(std::move(kv));
      ++read.pieces;
      read.taken = std::move(taken);
    };
    const Callback<RangeResponse> done = [&read](absl::StatusOr<RangeResponse> end) {
      {
        absl::MutexLock lock(&read.mu);
        read.end = std::move(end);
        read.ended = true;
      }
      read.done.Notify();
    };
    if (GetParam()) {
      kv().GetStreamAsync("k", {.prefix = true}, sink, call, done);
    } else {
      client::ReadByPages(client_->core().shared_from_this(), "k", {.prefix = true}, sink, call, absl::InfiniteFuture(),
                          done);
    }
  }
};

INSTANTIATE_TEST_SUITE_P(, GetStreamAsyncTest, ::testing::Bool(),
                         [](const auto& form) { return form.param ? "Stream" : "Pages"; });

TEST_P(GetStreamAsyncTest, ThePiecesAreWhatGetSaysAndNoneComesBeforeTheLastIsTaken) {
  const auto whole = kv().Get("k", {.prefix = true});
  ASSERT_TRUE(whole.ok());
  Read read;
  Start(read);
  for (int piece = 1;; ++piece) {
    const Taken taken = read.AwaitPiece(piece);
    {
      absl::MutexLock lock(&read.mu);
      if (read.ended) break;
    }
    absl::SleepFor(absl::Milliseconds(piece < 3 ? 50 : 0));  // In which another might come.
    {
      absl::MutexLock lock(&read.mu);
      ASSERT_EQ(read.pieces, piece);
    }
    taken(absl::OkStatus());
    taken(absl::OkStatus());  // Said twice, it counts once.
  }
  read.done.WaitForNotification();
  ASSERT_TRUE(read.end.ok()) << read.end.status();
  EXPECT_GT(read.pieces, 3);
  EXPECT_EQ(read.end->count, whole->count);
  EXPECT_EQ(read.end->header.revision, whole->header.revision);
  EXPECT_FALSE(read.end->more);
  ASSERT_EQ(read.kvs.size(), whole->kvs.size());
  for (size_t i = 0; i < read.kvs.size(); ++i) {
    ASSERT_EQ(read.kvs[i].key, whole->kvs[i].key);
    ASSERT_EQ(read.kvs[i].value, whole->kvs[i].value);
  }
}

TEST_P(GetStreamAsyncTest, AnErrorOfTheSinkEndsIt) {
  Read read;
  Start(read);
  read.AwaitPiece(1)(absl::OkStatus());
  read.AwaitPiece(2)(absl::DataLossError("no room"));
  read.done.WaitForNotification();
  EXPECT_EQ(read.end.status(), absl::DataLossError("no room"));
  EXPECT_EQ(read.pieces, 2);
  EXPECT_TRUE(kv().Get("k1000").ok());
}

TEST_P(GetStreamAsyncTest, ACancellationNeedNotWaitForTheSink) {
  Read read;
  std::stop_source stop;
  Start(read, {.cancel = stop.get_token()});
  const Taken taken = read.AwaitPiece(1);
  stop.request_stop();
  read.done.WaitForNotification();
  EXPECT_EQ(read.end.status(), absl::CancelledError("cancelled by the caller"));
  taken(absl::OkStatus());  // Nobody is there any more.
  EXPECT_EQ(read.pieces, 1);
}

TEST_P(GetStreamAsyncTest, TheClientsDestructorWaitsForNoSink) {
  Read read, untouched;
  Start(read);
  const Taken taken = read.AwaitPiece(1);
  Start(untouched);  // Perhaps opening, perhaps reading.
  client_ = nullptr;
  ASSERT_TRUE(read.done.HasBeenNotified());
  ASSERT_TRUE(untouched.done.HasBeenNotified());
  EXPECT_EQ(read.end.status().code(), absl::StatusCode::kCancelled);
  EXPECT_EQ(untouched.end.status().code(), absl::StatusCode::kCancelled);
  taken(absl::OkStatus());
}

TEST_F(GetStreamTest, ManyAtOnceAreTakenOnManyThreads) {
  constexpr int kReads = 8;
  std::atomic<int> pairs = 0;
  std::vector<std::thread> takers;
  absl::Mutex mu;
  absl::Notification done[kReads];
  for (absl::Notification& n : done) {
    kv().GetStreamAsync(
        "k", {.prefix = true},
        [&](const std::vector<KeyValue>& kvs, Taken taken) {
          pairs += static_cast<int>(kvs.size());
          absl::MutexLock lock(&mu);
          takers.emplace_back([taken = std::move(taken)] { taken(absl::OkStatus()); });
        },
        {},
        [&n](const absl::StatusOr<RangeResponse>& end) {
          EXPECT_TRUE(end.ok()) << end.status();
          n.Notify();
        });
  }
  for (absl::Notification& n : done) n.WaitForNotification();
  absl::MutexLock lock(&mu);
  for (std::thread& taker : takers) taker.join();
  EXPECT_EQ(pairs, kReads * kKeys);
}

TEST_F(GetStreamTest, PagesAreOfOneRevisionWhateverIsWrittenMeanwhile) {
  RangePager pages(*client_, "k", {.prefix = true}, /*page_keys=*/64);
  std::vector<std::string> keys;
  while (pages.Next()) {
    EXPECT_LE(pages.page().size(), 64u);
    for (const KeyValue& kv : pages.page()) keys.push_back(kv.key);
    // Behind and ahead of the page.
    ASSERT_TRUE(kv().Put("k0", "new").ok());
    ASSERT_TRUE(kv().Delete(absl::StrCat("k", 1000 + kKeys - 1)).ok());
  }
  ASSERT_TRUE(pages.status().ok()) << pages.status();
  EXPECT_EQ(keys.size(), static_cast<size_t>(kKeys));
  EXPECT_EQ(pages.count(), kKeys);
  EXPECT_EQ(pages.revision(), revision_);
  EXPECT_FALSE(pages.more());
}

TEST_F(GetStreamTest, PagesSayThatTheirRevisionHasBeenCompacted) {
  RangePager pages(*client_, "k", {.prefix = true}, /*page_keys=*/100);
  ASSERT_TRUE(pages.Next());
  const auto put = kv().Put("k0", "new");
  ASSERT_TRUE(put.ok());
  ASSERT_TRUE(kv().Compact(put->header.revision).ok());
  EXPECT_FALSE(pages.Next());
  EXPECT_EQ(pages.status().code(), absl::StatusCode::kOutOfRange) << pages.status();
}

TEST_F(GetStreamTest, PagesCanBeReadWithoutWaiting) {
  RangePager pages(*client_, "k", {.prefix = true, .limit = 150}, /*page_keys=*/100);
  std::vector<size_t> sizes;
  absl::Notification done;
  std::function<void(bool)> take = [&](bool got) {
    if (!got) return done.Notify();
    sizes.push_back(pages.page().size());
    pages.NextAsync({}, take);
  };
  pages.NextAsync({}, take);
  done.WaitForNotification();
  EXPECT_TRUE(pages.status().ok()) << pages.status();
  EXPECT_THAT(sizes, ::testing::ElementsAre(100, 50));
  EXPECT_TRUE(pages.more());
}

TEST_F(GetStreamTest, PagesComeInTheOrderOfKeysOnly) {
  RangePager pages(*client_, "k", {.prefix = true, .sort_order = SortOrder::kDescend});
  EXPECT_FALSE(pages.Next());
  EXPECT_EQ(pages.status().code(), absl::StatusCode::kUnimplemented);
}

}  // namespace
}  // namespace keel
