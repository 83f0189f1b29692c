#pragma once

// Stands between a client and a server of this machine, and does to their connections what networks do.

#include <atomic>
#include <list>
#include <string>
#include <thread>

namespace keel::testing {

// Thread-safe. The destructor ends every connection and joins its thread.
class FaultyProxy {
 public:
  enum class Mode {
    kPass,
    kLoseReplies,  // Requests arrive, answers vanish. Ends, for what is connected by then, with a broken connection.
    kCut,          // Nothing arrives, in either direction, and nobody is told; connections stay as they are.
  };

  explicit FaultyProxy(const std::string& target);  // "127.0.0.1:port"
  ~FaultyProxy();
  FaultyProxy(const FaultyProxy&) = delete;
  FaultyProxy& operator=(const FaultyProxy&) = delete;

  const std::string& address() const { return address_; }
  void Set(Mode mode) { mode_ = mode; }

  // The next request on a connection that is idle now does not arrive, and the connection breaks for the client.
  void KeepBackNextRequest() { keep_back_ = true; }
  // It arrives after all; returns when the server has answered it. REQUIRES: one has been kept back.
  void DeliverLate();

 private:
  struct Link {
    int client = -1;
    int server = -1;
    bool has_lost = false;  // An answer, so that the rest makes no sense.
    std::string late;       // What was kept back,
    std::string answer;     // and what the server has sent since.
  };

  // What has become of the request that was kept back.
  enum class Late { kNone, kKept, kDelivering, kAnswered };

  void Run();
  // Keeps what comes from the client until it is a whole request. False when the connection has ended.
  bool KeepBack(Link& link);
  // The link of a request that was kept back: it has no client any more.
  bool ServeLate(Link& link, bool is_readable);
  void Accept();
  // False when the connection has ended.
  bool Copy(int from, int to, bool drop);

  int target_port_ = 0;
  int listener_ = -1;
  std::string address_;
  std::atomic<Mode> mode_ = Mode::kPass;
  std::atomic<bool> keep_back_ = false;
  std::atomic<Late> late_ = Late::kNone;
  std::atomic<bool> stop_ = false;
  std::list<Link> links_;  // Owned by the thread.
  std::thread thread_;
};

}  // namespace keel::testing
