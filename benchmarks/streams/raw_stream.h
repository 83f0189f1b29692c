#pragma once

// One streaming call with next to no work in it, so that what is measured is the server: the few frames of HTTP/2 that
// the call needs, on a socket of its own, without gRPC.

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace keel::bench {

// Owned by one thread.
class RawStream {
 public:
  // `endpoint`: "address:port"; `method`: "/package.Service/Method". Connects, and opens the call.
  static absl::StatusOr<std::unique_ptr<RawStream>> Open(std::string_view endpoint, std::string_view method);
  ~RawStream();
  RawStream(const RawStream&) = delete;
  RawStream& operator=(const RawStream&) = delete;

  // A message's bytes, to be sent by Exchange() when the server's windows allow it.
  void Queue(std::string_view message);

  int socket() const { return socket_; }
  bool wants_to_write() const { return !output_.empty(); }

  // Gets a message's bytes.
  using Receiver = absl::FunctionRef<absl::Status(std::string_view)>;
  // Reads what is there and writes what may leave; does not block.
  absl::Status Exchange(Receiver receive);

 private:
  explicit RawStream(int socket) : socket_(socket) {}

  absl::Status Read(Receiver receive);
  absl::Status Write();
  absl::Status OnFrame(uint8_t type, uint8_t flags, uint32_t stream, std::string_view payload, Receiver receive);
  absl::Status OnData(std::string_view data, Receiver receive);
  void OnSettings(std::string_view payload);
  void SendRequests();

  const int socket_;
  std::vector<char> input_ = std::vector<char>(256u << 10);
  size_t kept_ = 0;       // Of a frame that is not complete, at the beginning of input_.
  std::string messages_;  // The stream's bytes, from the first message that is not complete.
  std::string output_;    // Frames on their way.
  std::string requests_;  // The stream's bytes that wait for a window.
  int64_t stream_window_ = 65535;
  int64_t connection_window_ = 65535;
  int64_t initial_window_ = 65535;
  uint32_t unacknowledged_ = 0;  // Bytes received since the last update of our windows.
};

}  // namespace keel::bench
