#pragma once

// How long each peer takes to answer, measured now and then: for dashboards, nothing decides by it.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "raft/types.h"

namespace keel::server {

// Asks one peer after the other whether it is well (grpc.health.v1), on a thread of its own. Thread-safe.
class PeerPing {
 public:
  struct Peer {
    raft::MemberId id;
    std::shared_ptr<grpc::Channel> channel;
  };

  // `peers` says whom to ask; `answered` hears of those that did. Both on the ping's thread.
  PeerPing(absl::Duration interval, std::function<std::vector<Peer>()> peers,
           std::function<void(raft::MemberId peer, absl::Duration took)> answered);
  ~PeerPing() { Stop(); }
  PeerPing(const PeerPing&) = delete;
  PeerPing& operator=(const PeerPing&) = delete;

  // Cancels the question under way. Idempotent, blocks.
  void Stop();

 private:
  void Run();
  bool Ask(const Peer& peer);

  const absl::Duration interval_;
  const std::function<std::vector<Peer>()> peers_;
  const std::function<void(raft::MemberId, absl::Duration)> answered_;

  absl::Mutex mu_;
  bool stopping_ ABSL_GUARDED_BY(mu_) = false;
  grpc::ClientContext* asking_ ABSL_GUARDED_BY(mu_) = nullptr;
  std::thread thread_;
};

}  // namespace keel::server
