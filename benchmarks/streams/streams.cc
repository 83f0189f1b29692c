#include "benchmarks/streams/streams.h"

#include <poll.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "proto/etcdserver_lease.pb.h"

namespace keel::bench {
namespace {

constexpr absl::Duration kStopCheck = absl::Milliseconds(50);
constexpr int kRenewalsAtOnce = 100;
constexpr std::string_view kKeepAlive = "/etcdserverpb.Lease/LeaseKeepAlive";

// Takes a number off the front.
std::optional<uint64_t> TakeVarint(std::string_view* bytes) {
  uint64_t value = 0;
  for (size_t i = 0; i < bytes->size() && i < 10; ++i) {
    const auto byte = static_cast<uint8_t>((*bytes)[i]);
    value |= static_cast<uint64_t>(byte & 0x7f) << (7 * i);
    if (byte < 0x80) {
      bytes->remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

struct WatchResponseFacts {
  bool created = false;
  bool canceled = false;
  uint64_t events = 0;
};

// What a WatchResponse says, by its bytes: parsing what nobody looks at would cost more than the rest of the client.
absl::StatusOr<WatchResponseFacts> ReadWatchResponse(std::string_view response) {
  constexpr uint64_t kCreated = 3;
  constexpr uint64_t kCanceled = 4;
  constexpr uint64_t kEvents = 11;
  WatchResponseFacts facts;
  while (!response.empty()) {
    const std::optional<uint64_t> tag = TakeVarint(&response);
    const std::optional<uint64_t> value = tag.has_value() ? TakeVarint(&response) : std::nullopt;
    if (!value.has_value()) return absl::DataLossError("a response that is no message");
    const uint64_t field = *tag >> 3;
    if ((*tag & 7) == 2) {
      if (*value > response.size()) return absl::DataLossError("a response that is cut short");
      response.remove_prefix(static_cast<size_t>(*value));
      if (field == kEvents) ++facts.events;
    } else if ((*tag & 7) != 0) {
      return absl::DataLossError("a response with a field of an unknown kind");
    }
    facts.created |= field == kCreated && *value != 0;
    facts.canceled |= field == kCanceled && *value != 0;
  }
  return facts;
}

// Waits for one of the streams, not longer than `timeout`, and gives what they bring to `receive`. False: one has
// failed; whoever waits for more waits in vain, and says so.
bool ExchangeAll(const std::vector<std::unique_ptr<RawStream>>& streams, absl::Duration timeout,
                 RawStream::Receiver receive) {
  std::vector<pollfd> ready;
  ready.reserve(streams.size());
  for (const auto& stream : streams) {
    const int events = POLLIN | (stream->wants_to_write() ? POLLOUT : 0);
    ready.push_back({.fd = stream->socket(), .events = static_cast<short>(events), .revents = 0});
  }
  const timespec wait = absl::ToTimespec(std::max(timeout, absl::ZeroDuration()));
  ppoll(ready.data(), ready.size(), &wait, nullptr);
  for (size_t i = 0; i < ready.size(); ++i) {
    if (ready[i].revents == 0) continue;
    if (const absl::Status status = streams[i]->Exchange(receive); !status.ok()) {
      absl::FPrintF(stderr, "keel-streams: %s\n", status.ToString());
      return false;
    }
  }
  return true;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Watchers>> Watchers::Open(
    const std::vector<std::string>& endpoints, int connections, int count,
    const std::function<void(int, etcdserverpb::WatchCreateRequest*)>& request) {
  auto watchers = std::make_unique<Watchers>();
  for (int c = 0; c < connections; ++c) {
    KEEL_ASSIGN_OR_RETURN(
        std::unique_ptr<RawStream> stream,
        RawStream::Open(endpoints[static_cast<size_t>(c) % endpoints.size()], "/etcdserverpb.Watch/Watch"));
    for (int i = c; i < count; i += connections) {
      etcdserverpb::WatchRequest create;
      request(i, create.mutable_create_request());
      stream->Queue(create.SerializeAsString());
    }
    watchers->streams_.push_back(std::move(stream));
  }
  watchers->thread_ = std::thread([self = watchers.get()] { self->Run(); });
  const absl::Time deadline = absl::Now() + absl::Minutes(1);
  while (watchers->created_.load(std::memory_order_relaxed) < static_cast<uint64_t>(count)) {
    if (absl::Now() > deadline) return absl::DeadlineExceededError("the watchers are not confirmed");
    absl::SleepFor(absl::Milliseconds(5));
  }
  return watchers;
}

Watchers::~Watchers() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

void Watchers::Run() {
  uint64_t created = 0;
  uint64_t events = 0;
  uint64_t responses = 0;
  const auto receive = [&](std::string_view message) {
    KEEL_ASSIGN_OR_RETURN(const WatchResponseFacts facts, ReadWatchResponse(message));
    created += facts.created && !facts.canceled;
    events += facts.events;
    ++responses;
    return absl::OkStatus();
  };
  while (!stop_.load(std::memory_order_relaxed) && ExchangeAll(streams_, kStopCheck, receive)) {
    created_.store(created, std::memory_order_relaxed);
    responses_.store(responses, std::memory_order_relaxed);
    events_.store(events, std::memory_order_relaxed);
  }
}

absl::StatusOr<RenewalLoopResult> RenewInALoop(const std::vector<std::string>& endpoints, int connections, int leases,
                                               absl::Duration duration, Histogram* took) {
  std::vector<std::unique_ptr<RawStream>> streams;
  for (int c = 0; c < connections; ++c) {
    KEEL_ASSIGN_OR_RETURN(std::unique_ptr<RawStream> stream,
                          RawStream::Open(endpoints[static_cast<size_t>(c) % endpoints.size()], kKeepAlive));
    streams.push_back(std::move(stream));
  }
  std::vector<absl::Time> sent(static_cast<size_t>(leases));
  const auto renew = [&](size_t lease) {
    etcdserverpb::LeaseKeepAliveRequest request;
    request.set_id(static_cast<int64_t>(lease) + 1);
    sent[lease] = absl::Now();
    streams[lease % streams.size()]->Queue(request.SerializeAsString());
  };
  RenewalLoopResult result;
  const auto receive = [&](std::string_view message) {
    etcdserverpb::LeaseKeepAliveResponse response;
    if (!response.ParseFromArray(message.data(), static_cast<int>(message.size())) || response.id() < 1 ||
        response.id() > leases) {
      return absl::DataLossError("a renewal's answer that is none");
    }
    const auto lease = static_cast<size_t>(response.id() - 1);
    took->Add(absl::Now() - sent[lease]);
    ++result.answered;
    if (response.ttl() <= 0) ++result.lost;
    renew(lease);
    return absl::OkStatus();
  };
  const absl::Time begin = absl::Now();
  for (size_t lease = 0; lease < sent.size(); ++lease) renew(lease);
  while (absl::Now() < begin + duration) {
    if (!ExchangeAll(streams, kStopCheck, receive)) return absl::UnavailableError("a stream of renewals has ended");
  }
  result.elapsed = absl::Now() - begin;
  return result;
}

absl::StatusOr<std::unique_ptr<Renewals>> Renewals::Start(const std::string& endpoint, int connections, int leases,
                                                          int per_second) {
  auto renewals = std::make_unique<Renewals>();
  for (int c = 0; c < connections; ++c) {
    KEEL_ASSIGN_OR_RETURN(std::unique_ptr<RawStream> stream, RawStream::Open(endpoint, kKeepAlive));
    renewals->streams_.push_back(std::move(stream));
  }
  renewals->thread_ =
      std::thread([self = renewals.get(), leases, interval = absl::Seconds(1) * kRenewalsAtOnce / per_second] {
        self->Run(leases, interval);
      });
  return renewals;
}

Renewals::~Renewals() {
  stop_.store(true, std::memory_order_relaxed);
  if (thread_.joinable()) thread_.join();
}

void Renewals::Run(int leases, absl::Duration interval) {
  const auto receive = [this](std::string_view message) {
    etcdserverpb::LeaseKeepAliveResponse response;
    if (!response.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
      return absl::DataLossError("a renewal's answer that is no message");
    }
    answered_.fetch_add(1, std::memory_order_relaxed);
    if (response.ttl() <= 0) lost_.fetch_add(1, std::memory_order_relaxed);
    return absl::OkStatus();
  };
  int64_t next = 0;
  absl::Time due = absl::Now();
  do {
    for (; due <= absl::Now(); due += interval) {
      for (int i = 0; i < kRenewalsAtOnce; ++i, ++next) {
        etcdserverpb::LeaseKeepAliveRequest request;
        request.set_id(1 + next % leases);
        streams_[static_cast<size_t>(next) % streams_.size()]->Queue(request.SerializeAsString());
      }
    }
  } while (!stop_.load(std::memory_order_relaxed) &&
           ExchangeAll(streams_, std::min(due - absl::Now(), kStopCheck), receive));
}

}  // namespace keel::bench
