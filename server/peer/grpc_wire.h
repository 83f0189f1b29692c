#pragma once

#include <google/protobuf/message_lite.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"

struct nghttp2_session;

namespace keel::server {

// HTTP/2 and gRPC framing of one stream without its connection: bytes come in, bytes go out. What is not a message on
// the one stream (settings, windows, pings) it answers by itself.
//
// Thread-compatible, and beyond that: NextMessage() may run beside everything but Receive().
class GrpcWire {
 public:
  struct Options {
    std::string method;     // "/package.Service/Method". A callee serves nothing else.
    std::string authority;  // A caller's, of whom it calls.
    size_t message_bytes_max = 0;
  };

  // Its first output has the preface, the settings, and the request.
  static std::unique_ptr<GrpcWire> ForCaller(const Options& options);
  static std::unique_ptr<GrpcWire> ForCallee(const Options& options);
  ~GrpcWire();
  GrpcWire(const GrpcWire&) = delete;
  GrpcWire& operator=(const GrpcWire&) = delete;

  // How ForCaller's output begins: the preface and a setting of our own.
  static std::string_view FirstBytes();

  // Not OK: the other side does not speak HTTP/2; nothing more can be done.
  absl::Status Receive(std::string_view bytes);
  // The next message that has come whole; valid until Receive(). nullopt: none. Not OK: what comes is no message, or
  // one that is too large; it stays so.
  absl::Status NextMessage(std::optional<std::string_view>* message);
  // How the other side has ended the stream, once it has, or the stream was reset.
  const std::optional<absl::Status>& end() const { return end_; }

  // REQUIRES: not finished.
  void Send(const google::protobuf::MessageLite& message);
  // A callee's last words.
  void Finish(const absl::Status& status);
  void Ping();
  bool awaits_pong() const { return awaits_pong_; }

  // Appends what is to be sent now, or a good piece of it: all is taken when nothing is added. Not OK: nothing more can
  // be.
  absl::Status TakeOutput(std::string* out);
  // Every message given, and the finish, has become output.
  bool drained() const { return sent_ == sending_.size() && (!finish_.has_value() || finished_); }

 private:
  struct Callbacks;

  GrpcWire(Options options, bool is_caller);
  void OnHeader(std::string_view name, std::string_view value);
  // A callee: the request is there. As nghttp2 wants it: 0 when all is well.
  int Answer(nghttp2_session* session);
  // The stream's last headers are there.
  void OnTrailers();
  void Resume();

  const Options options_;
  const bool is_caller_;
  nghttp2_session* session_ = nullptr;
  int32_t stream_ = -1;  // None yet.

  // From the other side.
  std::string received_;
  size_t taken_ = 0;  // Of received_, by NextMessage().
  std::string path_;
  std::string http_status_;
  std::string grpc_status_;
  std::string grpc_message_;
  std::optional<absl::Status> end_;

  // To the other side, framed.
  std::string sending_;
  size_t sent_ = 0;
  std::optional<absl::Status> finish_;
  bool finished_ = false;  // The trailers have become output.
  bool answered_ = false;  // A callee's response headers have.
  bool awaits_pong_ = false;
};

}  // namespace keel::server
