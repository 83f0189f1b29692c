#include "server/watch/watch_stream.h"

#include <optional>
#include <utility>
#include <variant>

#include "server/watch/watch_hub_impl.h"
#include "server/watch/watch_response.h"

namespace keel::server {
namespace {

// Answers a client leaves unread before it should be asked no more.
constexpr size_t kUnreadAnswersMax = 1000;

}  // namespace

WatchStreamImpl::WatchStreamImpl(WatchHubImpl* hub, size_t buffer_bytes_max, std::function<void()> ready)
    : hub_(*hub), queue_(buffer_bytes_max, std::move(ready)) {}

WatchStreamImpl::~WatchStreamImpl() {
  hub_.CloseStream(this);
  queue_.Close();
}

void WatchStreamImpl::Create(const etcdserverpb::WatchCreateRequest& request) { hub_.CreateWatcher(this, request); }

void WatchStreamImpl::Cancel(int64_t watch_id) { hub_.CancelWatcher(this, watch_id); }

void WatchStreamImpl::RequestProgress() {
  if (congested()) return;  // It would be one more answer that nobody reads.
  hub_.RequestProgress(this);
}

bool WatchStreamImpl::congested() const { return queue_.answers() > kUnreadAnswersMax; }

bool WatchStreamImpl::Next(etcdserverpb::WatchResponse* response) {
  absl::MutexLock lock(&next_mu_);
  if (queue_.closed()) return false;
  if (pieces_.empty()) {
    bool room = false;
    std::optional<QueuedMessage> message = queue_.Pop(&room);
    if (room) hub_.Unblock(this);
    if (!message.has_value()) return false;
    if (auto* answer = std::get_if<etcdserverpb::WatchResponse>(&*message)) {
      *response = std::move(*answer);
      return true;
    }
    const EventBatch& batch = std::get<EventBatch>(*message);
    BuildEvents(batch, hub_.store(), response);
    if (!batch.spec->fragment) return true;
    pieces_ = Fragment(std::move(*response), hub_.options().fragment_bytes);
  }
  *response = std::move(pieces_.front());
  pieces_.pop_front();
  return true;
}

}  // namespace keel::server
