#include "server/watch/watch_stream.h"

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/check.h"
#include "server/watch/watch_hub_impl.h"
#include "server/watch/watch_response.h"

namespace keel::server {
namespace {

// Answers a client leaves unread before it should be asked no more.
constexpr size_t kUnreadAnswersMax = 1000;

}  // namespace

WatchStreamImpl::WatchStreamImpl(WatchHubImpl* hub, std::function<void()> ready)
    : hub_(*hub),
      queue_(hub->options().stream_buffer_bytes_max, hub->options().stream_backlog_bytes, std::move(ready)) {}

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

bool WatchStream::Next(etcdserverpb::WatchResponse* response) {
  std::string bytes;
  const auto room = [&bytes](size_t size) {
    bytes.resize(size);
    return reinterpret_cast<uint8_t*>(bytes.data());
  };
  if (!NextWire({}, room).any) return false;
  KEEL_CHECK(response->ParseFromString(bytes));
  return true;
}

WatchStream::Taken WatchStreamImpl::NextWire(const etcdserverpb::ResponseHeader& header,
                                             absl::FunctionRef<uint8_t*(size_t)> room) {
  absl::MutexLock lock(&next_mu_);
  if (queue_.closed()) return {};
  if (pieces_.empty()) {
    std::optional<StreamQueue::Popped> popped = queue_.Pop();
    if (!popped.has_value()) return {};
    if (popped->room) hub_.Unblock(this);
    more_follow_pieces_ = popped->more_follows;
    if (auto* answer = std::get_if<etcdserverpb::WatchResponse>(&popped->message)) {
      pieces_.push_back(std::move(*answer));
    } else {
      const EventBatch& batch = std::get<EventBatch>(popped->message);
      events_.Take(batch, hub_.store());
      if (!batch.spec->fragment || !NeedsFragments(events_, hub_.options().fragment_bytes)) {
        const size_t events = events_.events();
        events_.Write(header, room);
        return {.any = true, .more_follows = popped->more_follows, .answer = false, .events = events};
      }
      pieces_ = Fragment(events_, hub_.options().fragment_bytes);
      events_.Clear();
    }
  }
  etcdserverpb::WatchResponse& piece = pieces_.front();
  const int64_t revision = piece.header().revision();
  *piece.mutable_header() = header;
  piece.mutable_header()->set_revision(revision);
  const size_t size = piece.ByteSizeLong();
  piece.SerializeWithCachedSizesToArray(room(size));
  const bool answer = piece.created() || piece.canceled();
  const auto events = static_cast<size_t>(piece.events_size());
  pieces_.pop_front();
  return {.any = true, .more_follows = !pieces_.empty() || more_follow_pieces_, .answer = answer, .events = events};
}

}  // namespace keel::server
