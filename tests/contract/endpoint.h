#pragma once

// One server as the tests speak to it. Requests are lines of a script (tests/differential/sequence.h), answers are
// compared as text: "3 etcdserver: ..." for an error, the message without who answered for a response.

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/differential/connection.h"

namespace keel::contract {

// How long anything may take on a machine that is busy with something else.
inline constexpr absl::Duration kPatience = absl::Seconds(20);

// Metadata of callers that require a leader.
inline const differential::Metadata kRequireLeader = {{"hasleader", "true"}};

// KEEL_TEST_SERVER=etcd was asked for.
bool is_etcd();

// A response as text, without what is the server's own: ids and the term.
std::string Shown(const google::protobuf::Message& message);
// "ok", or the code and text of an error.
std::string Shown(const grpc::Status& status);

// One watch stream.
class WatchStream {
 public:
  explicit WatchStream(differential::Connection* connection, const differential::Metadata& metadata = {});

  // A WatchRequest in text format.
  void Send(const std::string& request);
  // The next message as text; waits for it. "nothing": it did not come.
  std::string Next();
  etcdserverpb::WatchResponse NextMessage();
  // Nothing is on its way: says what came instead before a watcher of its own, created now, was confirmed.
  std::vector<std::string> UntilFence();
  // The created message's id.
  int64_t Create(const std::string& create);
  differential::Stream& stream() { return *stream_; }

 private:
  std::unique_ptr<differential::Stream> stream_;
  size_t read_ = 0;
  int fences_ = 0;
};

// Thread-compatible.
class Endpoint {
 public:
  void Connect(const std::string& address);  // "127.0.0.1:port"

  // A line that must succeed; its answer.
  template <typename Response>
  Response Ok(const std::string& line) {
    const differential::Answer answer = Call(line);
    EXPECT_TRUE(answer.status.ok()) << line << ": " << Shown(answer.status);
    Response response;
    if (answer.status.ok()) response.CopyFrom(*answer.messages.at(0));
    return response;
  }
  // "code text" of a line that must fail, or "ok" and the answer.
  std::string Error(const std::string& line, absl::Duration timeout = kPatience,
                    const differential::Metadata& metadata = {});
  // The answer without ids and term, as text.
  std::string Text(const std::string& line);
  // The keys of a range, joined; more and count behind it: "a b | more | 3".
  std::string Keys(const std::string& range);
  int64_t Put(const std::string& key, const std::string& value = "", int64_t lease = 0);
  int64_t Revision();

  differential::Answer Call(const std::string& line, absl::Duration timeout = kPatience,
                            const differential::Metadata& metadata = {});
  // Sends a unary line, whose answer is to be waited for later.
  std::unique_ptr<differential::PendingCall> Start(const std::string& line, absl::Duration timeout = kPatience);
  // Opens a stream and sends its first request; of one that only the server speaks on, also the last.
  std::unique_ptr<differential::Stream> Open(const std::string& line, const differential::Metadata& metadata = {});
  WatchStream Watch(const differential::Metadata& metadata = {}) { return WatchStream(connection_.get(), metadata); }
  differential::Connection& connection() { return *connection_; }

 private:
  std::unique_ptr<differential::Connection> connection_;
};

}  // namespace keel::contract
