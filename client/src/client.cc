#include "keel/client.h"

#include <utility>

#include "base/status_macros.h"
#include "client/src/core.h"
#include "client/src/housekeeping.h"
#include "client/src/watch_stream.h"

namespace keel {

absl::StatusOr<std::unique_ptr<Client>> Client::Create(const ClientOptions& options) {
  KEEL_ASSIGN_OR_RETURN(std::shared_ptr<client::Core> core, client::Core::Create(options));
  client::StartHousekeeping(*core);
  return std::unique_ptr<Client>(new Client(std::move(core)));
}

Client::Client(std::shared_ptr<client::Core> core)
    : core_(std::move(core)), kv_(*core_), leases_(*core_), cluster_(*core_), maintenance_(*core_) {}

Client::~Client() { core_->Shutdown(); }

std::unique_ptr<Watcher> Client::Watch(std::string_view key, const WatchOptions& options) {
  return Watch(key, options, nullptr);
}

std::unique_ptr<Watcher> Client::Watch(std::string_view key, const WatchOptions& options, WatchCallback callback) {
  return std::make_unique<Watcher>(client::WatchStream::Start(core_, key, options, std::move(callback)));
}

int64_t Client::in_flight() const { return core_->in_flight(); }

std::vector<std::string> Client::endpoints() const { return core_->endpoints(); }

absl::Status Client::Sync(const CallOptions& call) {
  KEEL_ASSIGN_OR_RETURN(const MembersResponse members, cluster_.List({}, call));
  return client::TakeEndpoints(*core_, members);
}

void Client::SyncAsync(const CallOptions& call, std::function<void(absl::Status)> done) {
  cluster_.ListAsync({}, call, [core = core_, done = std::move(done)](const absl::StatusOr<MembersResponse>& members) {
    done(members.ok() ? client::TakeEndpoints(*core, *members) : members.status());
  });
}

}  // namespace keel
