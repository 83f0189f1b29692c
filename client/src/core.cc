#include "client/src/core.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/status_macros.h"
#include "client/src/tls_credentials.h"

namespace keel::client {
namespace {

// Endpoints that calls have named and that are not in the list; beyond it their channels are made anew.
constexpr size_t kNamedEndpointsMax = 64;
// Of what a client asks the members by itself.
constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);

}  // namespace

absl::StatusOr<std::shared_ptr<Core>> Core::Create(const ClientOptions& options) {
  if (options.endpoints.empty()) return absl::InvalidArgumentError("a client needs at least one endpoint");
  if (options.connections_per_endpoint < 1 || options.io_threads < 1) {
    return absl::InvalidArgumentError("connections_per_endpoint and io_threads must be at least 1");
  }
  if (std::min(options.leader_refresh, options.sync_interval) < kShortestInterval) {
    return absl::InvalidArgumentError(
        absl::StrCat("leader_refresh and sync_interval must be at least ", absl::FormatDuration(kShortestInterval)));
  }
  if (options.in_flight_max < 1) return absl::InvalidArgumentError("in_flight_max must be at least 1");
  if (!options.user.empty() || !options.password.empty()) {
    return absl::UnimplementedError(absl::StrCat("user '", options.user,
                                                 "': this release cannot log in; leave user and password empty and use "
                                                 "a client certificate where the servers ask for one"));
  }
  std::shared_ptr<grpc::ChannelCredentials> tls;
  KEEL_ASSIGN_OR_RETURN(tls, TlsCredentials(options.tls.value_or(TlsOptions{})));
  std::shared_ptr<Core> core(new Core(options));
  core->tls_ = std::move(tls);
  if (absl::Status status = core->SetEndpoints(options.endpoints); !status.ok()) {
    core->Shutdown();
    return status;
  }
  return core;
}

Core::Core(const ClientOptions& options)
    : options_(options), key_prefix_(options.key_prefix), random_(Random::EntropySeed()) {
  for (int i = 0; i < options.io_threads; ++i) {
    auto io = std::make_unique<IoThread>();
    io->thread = std::thread([queue = &io->queue] {
      void* tag = nullptr;
      bool ok = false;
      while (queue->Next(&tag, &ok)) static_cast<QueueTag*>(tag)->Done(ok);
    });
    io_threads_.push_back(std::move(io));
  }
}

Core::~Core() { Shutdown(); }

void Core::Shutdown() {
  {
    absl::MutexLock lock(&registry_mu_);
    stopping_.store(true, std::memory_order_release);
    for (Activity* a = activities_; a != nullptr; a = a->next_) a->CancelFromCore();
  }
  timers_.Stop();  // Calls that wait for a retry end here.
  {
    absl::MutexLock lock(&registry_mu_);
    registry_mu_.Await(absl::Condition(this, &Core::NoActivity));
  }
  for (auto& io : io_threads_) {
    if (!io->thread.joinable()) continue;
    io->queue.Shutdown();
    io->thread.join();
  }
  callbacks_.Stop();
}

bool Core::Register(Activity* activity) {
  absl::MutexLock lock(&registry_mu_);
  if (stopping()) return false;
  activity->previous_ = nullptr;
  activity->next_ = activities_;
  if (activities_ != nullptr) activities_->previous_ = activity;
  activities_ = activity;
  return true;
}

void Core::Unregister(Activity* activity) {
  absl::MutexLock lock(&registry_mu_);
  if (activity->previous_ != nullptr) {
    activity->previous_->next_ = activity->next_;
  } else {
    KEEL_CHECK(activities_ == activity);
    activities_ = activity->next_;
  }
  if (activity->next_ != nullptr) activity->next_->previous_ = activity->previous_;
}

Route Core::Pick(std::span<const size_t> avoid) {
  const uint64_t turn = next_connection_.fetch_add(1, std::memory_order_relaxed);
  absl::MutexLock lock(&mu_);
  // Only calls that have somewhere else to go look at the clock.
  const absl::Time now = picker_->size() > 1 ? Clock::Real().Now() : absl::InfiniteFuture();
  const size_t index = picker_->Pick(now, avoid);
  const auto& connections = (*endpoints_)[index].connections;
  // Divided, or endpoints and connections that both go round would meet in the same pairs for ever.
  return Route{.connection = connections[turn / endpoints_->size() % connections.size()],
               .endpoints = endpoints_,
               .endpoint = index};
}

absl::StatusOr<Route> Core::PickExactly(std::string_view endpoint) {
  const std::string text(endpoint);
  std::shared_ptr<Connection> known;
  {
    absl::MutexLock lock(&mu_);
    for (const Endpoint& e : *endpoints_) {
      if (e.text == text) known = e.connections[0];
    }
    if (auto it = named_.find(text); it != named_.end()) known = it->second;
  }
  // A channel that has failed refuses calls until its own pause is over. Whoever names an endpoint wants to know about
  // now, so it gets a new one.
  if (known == nullptr || known->channel->GetState(false) == GRPC_CHANNEL_TRANSIENT_FAILURE) {
    KEEL_ASSIGN_OR_RETURN(Endpoint made, MakeEndpoint(text, 1));
    known = made.connections[0];
    absl::MutexLock lock(&mu_);
    if (named_.size() >= kNamedEndpointsMax) named_.clear();
    named_[text] = known;
  }
  return Route{.connection = std::move(known), .endpoints = nullptr, .endpoint = std::nullopt};
}

void Core::Succeeded(const Route& route) {
  NoteConnected();
  if (!route.endpoint || !has_failures_.load(std::memory_order_relaxed)) return;
  absl::MutexLock lock(&mu_);
  if (route.endpoints == endpoints_) picker_->Succeeded(*route.endpoint);
  has_failures_.store(picker_->has_failures(), std::memory_order_relaxed);
}

void Core::Failed(const Route& route) {
  if (!route.endpoint) return;
  {
    absl::MutexLock lock(&mu_);
    if (route.endpoints == endpoints_) picker_->Failed(*route.endpoint, Clock::Real().Now());
    has_failures_.store(picker_->has_failures(), std::memory_order_relaxed);
  }
  if (on_failure_ != nullptr) on_failure_();
}

void Core::SetLeader(std::string_view endpoint) {
  absl::MutexLock lock(&mu_);
  std::optional<size_t> leader;
  for (size_t i = 0; i < endpoints_->size(); ++i) {
    if ((*endpoints_)[i].text == endpoint) leader = i;
  }
  picker_->set_leader(leader);
}

absl::Duration Core::Patience(const CallOptions& call) const {
  if (call.wait_for_ready) return absl::InfiniteDuration();
  if (call.fail_fast || !has_connected()) return absl::ZeroDuration();
  return options_.reconnect_patience;
}

std::vector<std::string> Core::endpoints() const {
  absl::MutexLock lock(&mu_);
  std::vector<std::string> texts;
  for (const Endpoint& e : *endpoints_) texts.push_back(e.text);
  return texts;
}

bool Core::HasEndpoints(const std::vector<std::string>& texts) const {
  absl::MutexLock lock(&mu_);
  return endpoints_ != nullptr && std::equal(endpoints_->begin(), endpoints_->end(), texts.begin(), texts.end(),
                                             [](const Endpoint& e, const std::string& text) { return e.text == text; });
}

absl::Status Core::SetEndpoints(const std::vector<std::string>& texts) {
  if (texts.empty()) return absl::InvalidArgumentError("a client needs at least one endpoint");
  if (HasEndpoints(texts)) return absl::OkStatus();  // What is known of them stays known.
  auto made = std::make_shared<std::vector<Endpoint>>();
  for (const std::string& text : texts) {
    std::optional<Endpoint> kept;  // Open connections stay.
    {
      absl::MutexLock lock(&mu_);
      if (endpoints_ != nullptr) {
        for (const Endpoint& e : *endpoints_) {
          if (e.text == text) kept = e;
        }
      }
    }
    if (!kept) {
      KEEL_ASSIGN_OR_RETURN(kept, MakeEndpoint(text, options_.connections_per_endpoint));
    }
    made->push_back(*std::move(kept));
  }
  absl::MutexLock lock(&mu_);
  has_failures_.store(false, std::memory_order_relaxed);
  picker_.emplace(made->size(), options_.balance, random_.Next());
  endpoint_count_.store(made->size(), std::memory_order_relaxed);
  endpoints_ = std::move(made);
  return absl::OkStatus();
}

absl::StatusOr<Endpoint> Core::MakeEndpoint(const std::string& text, int connections) {
  KEEL_ASSIGN_OR_RETURN(const Url url, ParseEndpoint(text));
  Endpoint endpoint{.text = text, .connections = {}};
  for (int i = 0; i < connections; ++i) {
    const uint64_t turn = next_queue_.fetch_add(1, std::memory_order_relaxed);
    grpc::CompletionQueue* queue = &io_threads_[turn % io_threads_.size()]->queue;
    endpoint.connections.push_back(MakeConnection(text, url, options_, tls_, queue));
  }
  return endpoint;
}

double Core::Jitter() {
  absl::MutexLock lock(&mu_);
  return static_cast<double>(random_.Below(1 << 20)) / (1 << 20);
}

}  // namespace keel::client
