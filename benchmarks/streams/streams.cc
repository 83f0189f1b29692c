#include "benchmarks/streams/streams.h"

#include "absl/time/clock.h"

namespace keel::bench {

std::shared_ptr<grpc::Channel> NewChannel(const std::string& endpoint) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // A connection of its own.
  return grpc::CreateCustomChannel(endpoint, grpc::InsecureChannelCredentials(), arguments);
}

std::unique_ptr<Watchers> Watchers::Open(const std::string& endpoint, int connections, int count,
                                         const std::function<void(int, etcdserverpb::WatchCreateRequest*)>& request) {
  auto watchers = std::make_unique<Watchers>();
  Watchers* const self = watchers.get();
  for (int c = 0; c < connections; ++c) {
    watchers->stubs_.push_back(etcdserverpb::Watch::NewStub(NewChannel(endpoint)));
    watchers->streams_.push_back(std::make_unique<WatchStream>([self](const etcdserverpb::WatchResponse& response) {
      if (response.created() && !response.canceled()) self->created_.fetch_add(1, std::memory_order_relaxed);
      self->events_.fetch_add(static_cast<uint64_t>(response.events_size()), std::memory_order_relaxed);
    }));
    watchers->stubs_.back()->async()->Watch(watchers->streams_.back()->context(), watchers->streams_.back().get());
    watchers->streams_.back()->Start();
  }
  for (int i = 0; i < count; ++i) {
    etcdserverpb::WatchRequest create;
    request(i, create.mutable_create_request());
    watchers->streams_[static_cast<size_t>(i % connections)]->Send(std::move(create));
  }
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (watchers->created_.load(std::memory_order_relaxed) < count) {
    if (absl::Now() > deadline) return nullptr;
    absl::SleepFor(absl::Milliseconds(5));
  }
  return watchers;
}

Renewals::Renewals(const std::string& endpoint, int connections) {
  for (int c = 0; c < connections; ++c) {
    stubs_.push_back(etcdserverpb::Lease::NewStub(NewChannel(endpoint)));
    streams_.push_back(std::make_unique<KeepAliveStream>([this](const etcdserverpb::LeaseKeepAliveResponse& response) {
      answered_.fetch_add(1, std::memory_order_relaxed);
      if (response.ttl() <= 0) lost_.fetch_add(1, std::memory_order_relaxed);
    }));
    stubs_.back()->async()->LeaseKeepAlive(streams_.back()->context(), streams_.back().get());
    streams_.back()->Start();
  }
}

void Renewals::Send(int64_t lease) {
  etcdserverpb::LeaseKeepAliveRequest request;
  request.set_id(lease);
  streams_[turn_.fetch_add(1, std::memory_order_relaxed) % streams_.size()]->Send(std::move(request));
}

}  // namespace keel::bench
