#pragma once

// The client's side of a stream in tests: waits for messages instead of polling.

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "server/watch/watch_hub.h"

namespace keel::server {

// Read by one thread.
class StreamReader {
 public:
  explicit StreamReader(WatchHub* hub)
      : stream_(hub->OpenStream([this] {
          absl::MutexLock lock(&mu_);
          ready_ = true;
        })) {}

  WatchStream& operator*() { return *stream_; }
  WatchStream* operator->() { return stream_.get(); }
  void Close() { stream_.reset(); }

  // The next message; nullopt when none has come within `timeout`.
  std::optional<etcdserverpb::WatchResponse> Next(absl::Duration timeout = absl::Seconds(20)) {
    const absl::Time deadline = absl::Now() + timeout;
    etcdserverpb::WatchResponse response;
    while (!Take(&response)) {
      absl::MutexLock lock(&mu_);
      if (!mu_.AwaitWithDeadline(absl::Condition(&ready_), deadline)) return std::nullopt;
      ready_ = false;
    }
    return response;
  }

  // What is there now, if anything.
  std::optional<etcdserverpb::WatchResponse> TryNext() {
    etcdserverpb::WatchResponse response;
    if (!Take(&response)) return std::nullopt;
    return response;
  }

  // Whether the message taken last was said to be followed by another one.
  bool more_follows() const { return more_follows_; }

 private:
  // Every message, whichever test it is in, must be the bytes that protobuf would make of it, with the header as given.
  bool Take(etcdserverpb::WatchResponse* response) {
    etcdserverpb::ResponseHeader header;
    header.set_cluster_id(uint64_t{0xfedcba9876543210});
    header.set_member_id(1);
    header.set_raft_term(300);
    std::string bytes;
    const WatchStream::Taken taken = stream_->NextWire(header, [&bytes](size_t size) {
      bytes.assign(size, '!');
      return reinterpret_cast<uint8_t*>(bytes.data());
    });
    more_follows_ = taken.more_follows;
    if (!taken.any) return false;
    EXPECT_TRUE(response->ParseFromString(bytes));
    EXPECT_EQ(response->SerializeAsString(), bytes);
    header.set_revision(response->header().revision());
    EXPECT_EQ(response->header().SerializeAsString(), header.SerializeAsString());
    return true;
  }

  absl::Mutex mu_;
  bool ready_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<WatchStream> stream_;
  bool more_follows_ = false;
};

}  // namespace keel::server
