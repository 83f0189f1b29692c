#include "server/watch/watch_response.h"

#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/log.h"

namespace keel::server {
namespace {

using google::protobuf::io::CodedOutputStream;

// The header's fields that are filled later, and the fragment flag.
constexpr size_t kHeaderSlack = 64;
// Room for so many events is not given back.
constexpr size_t kEventsKept = 1024;

// Wire tags: field number times eight, plus 2 for bytes and 0 for a varint.
constexpr uint8_t kHeaderTag = 0x0a;
constexpr uint8_t kWatchIdTag = 0x10;
constexpr uint8_t kEventsTag = 0x5a;
constexpr uint8_t kTypeTag = 0x08;
constexpr uint8_t kKvTag = 0x12;
constexpr uint8_t kPrevKvTag = 0x1a;

// With its tag and length.
size_t FieldBytes(size_t size) { return 1 + CodedOutputStream::VarintSize64(size) + size; }

uint8_t* WritePrefix(uint8_t tag, uint64_t value, uint8_t* to) {
  *to++ = tag;
  return CodedOutputStream::WriteVarint64ToArray(value, to);
}

uint8_t* WriteField(uint8_t tag, const std::string& bytes, uint8_t* to) {
  to = WritePrefix(tag, bytes.size(), to);
  std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

// The pair as it was before this revision, however often the revision changes the key: even when it deletes it, makes
// it anew and deletes it again.
storage::ChangeId PreviousOf(const storage::RevisionEvents& revision, const storage::Event& event) {
  if (!event.previous.exists() || event.previous.revision != revision.revision) return event.previous;
  const auto first = std::find_if(revision.events.begin(), revision.events.end(),
                                  [&event](const storage::Event& e) { return e.key == event.key; });
  return first->previous;
}

// Null: there was none, or it has been compacted.
std::shared_ptr<const std::string> PreviousPair(const storage::RevisionEvents& revision, const storage::Event& event,
                                                const storage::StateStore& store) {
  const storage::ChangeId previous = PreviousOf(revision, event);
  // A read at the revision before this one decides, whether or not the bytes are still on disk.
  if (!previous.exists() || revision.revision - 1 < store.compact_revision()) return nullptr;
  auto record = store.RecordAt(previous);
  if (record.ok()) return *std::move(record);
  if (!absl::IsNotFound(record.status())) {
    KEEL_LOG_ERROR("cannot read a previous pair for a watcher",
                   {{"revision", previous.revision}, {"error", record.status()}});
  }
  return nullptr;
}

}  // namespace

void EventsOnWire::Take(const EventBatch& batch, const storage::StateStore& store) {
  watch_id_ = batch.spec->id;
  revision_ = batch.header;
  events_.clear();
  bytes_ = watch_id_ == 0 ? 0 : 1 + CodedOutputStream::VarintSize64(static_cast<uint64_t>(watch_id_));
  for (const EventBatch::Part& part : batch.parts) {
    for (uint32_t position : part.positions) {
      const storage::Event& source = part.revision->events[position];
      Event& event = events_.emplace_back();
      event.type = source.type;
      event.kv = source.kv;
      event.bytes = (source.type == storage::Event::Type::kDelete ? 2 : 0) + FieldBytes(source.kv->size());
      if (batch.spec->prev_kv) event.prev_kv = PreviousPair(*part.revision, source, store);
      if (event.prev_kv != nullptr) event.bytes += FieldBytes(event.prev_kv->size());
      bytes_ += FieldBytes(event.bytes);
    }
  }
}

void EventsOnWire::Write(const etcdserverpb::ResponseHeader& header, absl::FunctionRef<uint8_t*(size_t bytes)> room) {
  etcdserverpb::ResponseHeader filled = header;
  filled.set_revision(revision_.value());
  const size_t header_bytes = filled.ByteSizeLong();
  const size_t size = FieldBytes(header_bytes) + bytes_;
  uint8_t* const begin = room(size);
  uint8_t* at = WritePrefix(kHeaderTag, header_bytes, begin);
  at = filled.SerializeWithCachedSizesToArray(at);
  if (watch_id_ != 0) at = WritePrefix(kWatchIdTag, static_cast<uint64_t>(watch_id_), at);
  for (const Event& event : events_) {
    at = WritePrefix(kEventsTag, event.bytes, at);
    if (event.type == storage::Event::Type::kDelete) at = WritePrefix(kTypeTag, mvccpb::Event::DELETE, at);
    at = WriteField(kKvTag, *event.kv, at);
    if (event.prev_kv != nullptr) at = WriteField(kPrevKvTag, *event.prev_kv, at);
  }
  KEEL_CHECK_EQ(static_cast<size_t>(at - begin), size);
  Clear();
}

void EventsOnWire::Clear() {
  events_.clear();
  if (events_.capacity() > kEventsKept) events_.shrink_to_fit();
}

bool NeedsFragments(const EventsOnWire& events, size_t bytes) {
  return events.events() >= 2 && events.bytes() + kHeaderSlack >= bytes;
}

std::deque<etcdserverpb::WatchResponse> Fragment(const EventsOnWire& events, size_t bytes) {
  std::deque<etcdserverpb::WatchResponse> pieces;
  size_t size = 0;
  for (const EventsOnWire::Event& event : events.events_) {
    const size_t event_bytes = event.bytes + 8;  // With its tag and length.
    if (pieces.empty() || (pieces.back().events_size() > 0 && size + event_bytes >= bytes)) {
      if (!pieces.empty()) pieces.back().set_fragment(true);
      etcdserverpb::WatchResponse& piece = pieces.emplace_back();
      piece.mutable_header()->set_revision(events.revision_.value());
      piece.set_watch_id(events.watch_id_);
      size = piece.ByteSizeLong() + kHeaderSlack;
    }
    size += event_bytes;
    mvccpb::Event* out = pieces.back().add_events();
    out->set_type(event.type == storage::Event::Type::kPut ? mvccpb::Event::PUT : mvccpb::Event::DELETE);
    KEEL_CHECK(out->mutable_kv()->ParseFromString(*event.kv));
    if (event.prev_kv != nullptr) KEEL_CHECK(out->mutable_prev_kv()->ParseFromString(*event.prev_kv));
  }
  return pieces;
}

}  // namespace keel::server
