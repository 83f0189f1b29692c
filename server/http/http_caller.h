#pragma once

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "server/http/http_handler.h"

namespace keel::server {

// A caller that its connection says has gone. Thread-safe.
class GoneCaller : public HttpCaller {
 public:
  virtual ~GoneCaller() = default;

  void OnGone(std::function<void()> gone) override {
    {
      absl::MutexLock lock(&mu_);
      if (!left_) {
        gone_ = std::move(gone);
        return;
      }
    }
    gone();
  }
  void Leave() {
    std::function<void()> gone;
    {
      absl::MutexLock lock(&mu_);
      left_ = true;
      gone = std::exchange(gone_, nullptr);
    }
    if (gone) gone();
  }

 private:
  absl::Mutex mu_;
  bool left_ ABSL_GUARDED_BY(mu_) = false;
  std::function<void()> gone_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel::server
