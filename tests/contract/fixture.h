#pragma once

// The subtle behaviours of the v3 contract, one test each, named by their numbers in its list: against keeld, or with
// KEEL_TEST_SERVER=etcd against etcd, which must behave so as well (or say from which version on it does).
//
// Requests are lines of a script (tests/differential/sequence.h), answers are compared as text: "3 etcdserver: ..." for
// an error, the message without who answered for a response.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/differential/connection.h"
#include "tests/differential/server_process.h"

namespace keel::contract {

// One watch stream.
class WatchStream {
 public:
  explicit WatchStream(differential::Connection* connection);

  // A WatchRequest in text format.
  void Send(const std::string& request);
  // The next message as text; waits for it. "nothing": it did not come.
  std::string Next();
  etcdserverpb::WatchResponse NextMessage();
  // Nothing is on its way: says what came instead before a watcher of its own, created now, was confirmed.
  std::vector<std::string> UntilFence();
  // The created message's id.
  int64_t Create(const std::string& create);

 private:
  std::unique_ptr<differential::Stream> stream_;
  size_t read_ = 0;
  int fences_ = 0;
};

class Contract : public ::testing::Test {
 protected:
  void SetUp() override;

  // A line that must succeed; its answer.
  template <typename Response>
  Response Ok(const std::string& line) {
    const differential::Answer answer = Call(line);
    EXPECT_TRUE(answer.status.ok()) << line << ": " << answer.status.error_code() << " "
                                    << answer.status.error_message();
    Response response;
    if (answer.status.ok()) response.CopyFrom(*answer.messages.at(0));
    return response;
  }
  // "code text" of a line that must fail, or "ok" and the answer.
  std::string Error(const std::string& line);
  // The answer without ids and term, as text.
  std::string Text(const std::string& line);
  // The keys of a range, joined; more and count behind it: "a b | more | 3".
  std::string Keys(const std::string& range);
  int64_t Put(const std::string& key, const std::string& value = "", int64_t lease = 0);
  int64_t Revision();

  differential::Answer Call(const std::string& line);
  differential::Connection& connection() { return *connection_; }
  WatchStream Watch() { return WatchStream(connection_.get()); }
  bool is_etcd() const { return is_etcd_; }
  // Kills the server and starts it again on its data.
  void Restart();

 private:
  bool is_etcd_ = false;
  std::unique_ptr<differential::ServerProcess> server_;
  std::unique_ptr<differential::Connection> connection_;
};

// For what etcd does since a version that is newer than the one at hand.
#define KEEL_SKIP_ON_OLD_ETCD(version) \
  if (is_etcd()) GTEST_SKIP() << "etcd behaves so since " version

}  // namespace keel::contract
