#include "server/watch/watch_response.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace keel::server {
namespace {

// The header's fields that are filled later, and the fragment flag.
constexpr size_t kHeaderSlack = 64;

// The pair as it was before this revision, however often the revision changes the key: even when it deletes it, makes
// it anew and deletes it again.
storage::ChangeId PreviousOf(const storage::RevisionEvents& revision, const storage::Event& event) {
  if (!event.previous.exists() || event.previous.revision != revision.revision) return event.previous;
  const auto first = std::find_if(revision.events.begin(), revision.events.end(),
                                  [&event](const storage::Event& e) { return e.key == event.key; });
  return first->previous;
}

void AddEvent(const storage::RevisionEvents& revision, const storage::Event& event, bool prev_kv,
              const storage::StateStore& store, mvccpb::Event* out) {
  out->set_type(event.type == storage::Event::Type::kPut ? mvccpb::Event::PUT : mvccpb::Event::DELETE);
  KEEL_CHECK(out->mutable_kv()->ParseFromString(*event.kv));
  if (!prev_kv) return;
  const storage::ChangeId previous = PreviousOf(revision, event);
  // A read at the revision before this one decides, whether or not the bytes are still on disk.
  if (!previous.exists() || revision.revision - 1 < store.compact_revision()) return;
  const auto record = store.RecordAt(previous);
  if (record.ok()) {
    KEEL_CHECK(out->mutable_prev_kv()->ParseFromString(**record));
  } else if (!absl::IsNotFound(record.status())) {
    KEEL_LOG_ERROR("cannot read a previous pair for a watcher",
                   {{"revision", previous.revision}, {"error", record.status()}});
  }
}

}  // namespace

void BuildEvents(const EventBatch& batch, const storage::StateStore& store, etcdserverpb::WatchResponse* response) {
  response->Clear();
  response->mutable_header()->set_revision(batch.header.value());
  response->set_watch_id(batch.spec->id);
  for (const EventBatch::Part& part : batch.parts) {
    for (uint32_t position : part.positions) {
      AddEvent(*part.revision, part.revision->events[position], batch.spec->prev_kv, store, response->add_events());
    }
  }
}

std::deque<etcdserverpb::WatchResponse> Fragment(etcdserverpb::WatchResponse whole, size_t bytes) {
  std::deque<etcdserverpb::WatchResponse> pieces;
  if (whole.events_size() < 2 || whole.ByteSizeLong() + kHeaderSlack < bytes) {
    pieces.push_back(std::move(whole));
    return pieces;
  }
  size_t size = 0;
  for (mvccpb::Event& event : *whole.mutable_events()) {
    const size_t event_bytes = event.ByteSizeLong() + 8;  // With its tag and length.
    if (pieces.empty() || (pieces.back().events_size() > 0 && size + event_bytes >= bytes)) {
      if (!pieces.empty()) pieces.back().set_fragment(true);
      etcdserverpb::WatchResponse& piece = pieces.emplace_back();
      *piece.mutable_header() = whole.header();
      piece.set_watch_id(whole.watch_id());
      size = piece.ByteSizeLong() + kHeaderSlack;
    }
    size += event_bytes;
    pieces.back().add_events()->Swap(&event);
  }
  return pieces;
}

}  // namespace keel::server
