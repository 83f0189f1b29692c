#pragma once

// Tells a peer whose process has ended from one that is slow or cut off: a host whose process is gone refuses
// connections at once, a partition answers nothing.

#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/url.h"

namespace keel::server {

enum class Liveness {
  kEnded,    // Its host says that nobody listens.
  kAlive,    // Somebody does.
  kUnknown,  // No answer in time, or no way to ask.
};

// Asks one address. Blocks for `patience` at most, and for the resolver when the host is a name.
Liveness ProbeAddress(const Url& url, absl::Duration patience);
// All addresses of a peer: ended when each says so.
Liveness ProbePeer(const std::vector<Url>& urls, absl::Duration patience);

// Probes in the background, one after the other. Thread-safe.
class PeerProbe {
 public:
  PeerProbe();
  ~PeerProbe() { Stop(); }
  PeerProbe(const PeerProbe&) = delete;
  PeerProbe& operator=(const PeerProbe&) = delete;

  // `ended` is called on the probe's thread when the peer turns out to have ended. Dropped when too many wait.
  void Ask(std::vector<Url> urls, std::function<void()> ended);
  // Drops what waits; idempotent, blocks for the probe under way.
  void Stop();

 private:
  struct Question {
    std::vector<Url> urls;
    std::function<void()> ended;
  };

  void Run();

  absl::Mutex mu_;
  std::deque<Question> questions_ ABSL_GUARDED_BY(mu_);
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace keel::server
