#pragma once

#include <google/protobuf/message_lite.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/url.h"
#include "server/peer/peer_io.h"

namespace keel::server {

// One gRPC stream that has a TCP or Unix connection for itself: gRPC's messages and statuses over HTTP/2 (nghttp2), as
// any gRPC client or server understands them. It exists beside the gRPC library because that costs a wake-up more for
// every message in each direction: a reader that waits announces a few bytes of window in a packet of their own, and a
// completed write wakes a thread that has nothing to do. Here a message is written by the thread that has it, and read
// by one thread that hands it on; windows are wide and seldom renewed.
//
// Thread-safe. Events come on the I/O thread, one at a time; none may block.
class StreamConnection : public std::enable_shared_from_this<StreamConnection> {
 public:
  struct Options {
    size_t message_bytes_max = 64u << 20;              // Of a received one; a larger one ends the stream.
    absl::Duration answer_timeout = absl::Seconds(1);  // Dialling: until the callee's first message.
    absl::Duration ping_interval = absl::Seconds(2);   // After as much silence the other side is asked to answer,
    absl::Duration ping_timeout = absl::Seconds(2);    // and given so long.
  };
  struct Events {
    std::function<void(std::string_view message)> message;
    // A write that was not done at once is done; not ok: it never will be.
    std::function<void(bool ok)> written;
    // Nothing comes after it. As a caller: the callee's status, or kUnavailable with what broke. As a callee: OK when
    // the caller has ended the stream.
    std::function<void(const absl::Status& status)> ended;
  };

  // Calls `method` ("/package.Service/Method") and begins with `first`, which is a write that is not done at once.
  // REQUIRES: `url` has no TLS. `io` outlives the connection.
  static std::shared_ptr<StreamConnection> Dial(PeerIo* io, const Url& url, const std::string& method,
                                                const google::protobuf::MessageLite& first, const Options& options,
                                                Events events);
  // Serves `method` on an accepted connection, which it takes over, and of which `read` has been read. On the I/O
  // thread.
  static std::shared_ptr<StreamConnection> Serve(PeerIo* io, int fd, int family, std::string_view read,
                                                 const std::string& method, const Options& options, Events events);

  // The first bytes of every connection that Dial() makes, by which they are told from others: HTTP/2's preface and a
  // setting that nobody else knows or minds.
  static std::string_view FirstBytes();

  virtual ~StreamConnection() = default;

  enum class Written {
    kDone,    // Taken by the kernel.
    kLater,   // Events::written follows, even after the end.
    kFailed,  // The stream has ended or is about to.
  };
  // REQUIRES: no write is under way.
  virtual Written Write(const google::protobuf::MessageLite& message) = 0;

  // Ends a served stream with this status, behind what has been written.
  virtual void Finish(const absl::Status& status) = 0;

  // Breaks the connection; Events::ended follows unless it has been.
  virtual void Close() = 0;
};

}  // namespace keel::server
