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

 private:
  struct Link {
    int client = -1;
    int server = -1;
    bool has_lost = false;  // An answer, so that the rest makes no sense.
  };

  void Run();
  void Accept();
  // False when the connection has ended.
  bool Copy(int from, int to, bool drop);

  int target_port_ = 0;
  int listener_ = -1;
  std::string address_;
  std::atomic<Mode> mode_ = Mode::kPass;
  std::atomic<bool> stop_ = false;
  std::list<Link> links_;  // Owned by the thread.
  std::thread thread_;
};

}  // namespace keel::testing
