#pragma once

#include <grpcpp/channel.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <vector>

#include "base/url.h"

namespace keel::server {

// A channel to a peer with its own connection: quick, capped reconnects, pings that notice a dead machine, no proxy.
std::shared_ptr<grpc::Channel> DialPeer(const Url& url, size_t message_bytes_max);

// The channels to one peer's URLs for everything but the raft stream, so that bulk data never stands before a
// heartbeat. Thread-safe.
class PeerChannels {
 public:
  // REQUIRES: not empty.
  PeerChannels(const std::vector<Url>& urls, size_t message_bytes_max);

  const std::shared_ptr<grpc::Channel>& current() const {
    return channels_[next_.load(std::memory_order_relaxed) % channels_.size()];
  }
  // The current one did not reach the peer: the next call tries another.
  void Rotate() { next_.fetch_add(1, std::memory_order_relaxed); }

 private:
  std::vector<std::shared_ptr<grpc::Channel>> channels_;
  std::atomic<size_t> next_{0};
};

}  // namespace keel::server
