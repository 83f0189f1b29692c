#include "keel/watch.h"

#include <utility>

#include "client/src/watch_stream.h"

namespace keel {

Watcher::Watcher(std::shared_ptr<client::WatchStream> stream) : stream_(std::move(stream)) {}

Watcher::~Watcher() {
  stream_->Cancel();
  stream_->AwaitCallback();
}

absl::StatusOr<WatchResponse> Watcher::Next(absl::Time deadline) { return stream_->Next(deadline); }

absl::Status Watcher::RequestProgress() { return stream_->RequestProgress(); }

void Watcher::Cancel() { stream_->Cancel(); }

Watcher::Connection Watcher::connection() const { return stream_->connection(); }

int64_t Watcher::compact_revision() const { return stream_->compact_revision(); }

int64_t Watcher::next_revision() const { return stream_->next_revision(); }

}  // namespace keel
