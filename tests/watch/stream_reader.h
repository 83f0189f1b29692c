#pragma once

// The client's side of a stream in tests: waits for messages instead of polling.

#include <functional>
#include <memory>
#include <optional>
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
    while (!stream_->Next(&response)) {
      absl::MutexLock lock(&mu_);
      if (!mu_.AwaitWithDeadline(absl::Condition(&ready_), deadline)) return std::nullopt;
      ready_ = false;
    }
    return response;
  }

  // What is there now, if anything.
  std::optional<etcdserverpb::WatchResponse> TryNext() {
    etcdserverpb::WatchResponse response;
    if (!stream_->Next(&response)) return std::nullopt;
    return response;
  }

 private:
  absl::Mutex mu_;
  bool ready_ ABSL_GUARDED_BY(mu_) = false;
  std::unique_ptr<WatchStream> stream_;
};

}  // namespace keel::server
