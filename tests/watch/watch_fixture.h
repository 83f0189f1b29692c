#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "server/watch/watch_hub.h"
#include "tests/watch/memory_store.h"
#include "tests/watch/stream_reader.h"

namespace keel::server {

// Moves when told; may be read by the hub's thread meanwhile.
class SteppedClock final : public Clock {
 public:
  absl::Time Now() const override { return absl::FromUnixMicros(micros_.load()); }
  void Advance(absl::Duration by) { micros_ += absl::ToInt64Microseconds(by); }

 private:
  std::atomic<int64_t> micros_{0};
};

struct WatchArgs {
  std::string key;
  std::string end;
  int64_t start = 0;
  int64_t id = 0;
  bool prev_kv = false;
  bool progress = false;
  bool fragment = false;
  std::vector<etcdserverpb::WatchCreateRequest::FilterType> filters;

  etcdserverpb::WatchCreateRequest Request() const {
    etcdserverpb::WatchCreateRequest request;
    request.set_key(key);
    request.set_range_end(end);
    request.set_start_revision(start);
    request.set_watch_id(id);
    request.set_prev_kv(prev_kv);
    request.set_progress_notify(progress);
    request.set_fragment(fragment);
    for (auto filter : filters) request.add_filters(filter);
    return request;
  }
};

// "PUT k=v @mod", "DELETE k @mod", with " prev=v" when there is one.
inline std::string Text(const mvccpb::Event& event) {
  std::string text = event.type() == mvccpb::Event::PUT
                         ? absl::StrCat("PUT ", event.kv().key(), "=", event.kv().value())
                         : absl::StrCat("DELETE ", event.kv().key());
  absl::StrAppend(&text, " @", event.kv().mod_revision());
  if (event.has_prev_kv()) absl::StrAppend(&text, " prev=", event.prev_kv().value());
  return text;
}

// "id=0 rev=5 [PUT a=1 @5; DELETE b @5]", "id=0 rev=1 created", ...
inline std::string Text(const std::optional<etcdserverpb::WatchResponse>& response) {
  if (!response.has_value()) return "nothing";
  std::string text = absl::StrCat("id=", response->watch_id(), " rev=", response->header().revision());
  if (response->created()) absl::StrAppend(&text, " created");
  if (response->canceled()) absl::StrAppend(&text, " canceled");
  if (response->compact_revision() != 0) absl::StrAppend(&text, " compact=", response->compact_revision());
  if (!response->cancel_reason().empty()) absl::StrAppend(&text, " reason=", response->cancel_reason());
  if (response->fragment()) absl::StrAppend(&text, " fragment");
  if (response->events_size() == 0) return text;
  absl::StrAppend(&text, " [");
  for (int i = 0; i < response->events_size(); ++i) {
    absl::StrAppend(&text, i == 0 ? "" : "; ", Text(response->events(i)));
  }
  return absl::StrCat(text, "]");
}

class WatchHubTest : public ::testing::Test {
 protected:
  void Open(WatchHub::Options options = {}) {
    hub_ = WatchHub::Create(options, &store_, &clock_);
    hub_->Start();
  }

  storage::Revision Publish(const storage::RevisionEventsPtr& revision) {
    if (revision == nullptr) return store_.current_revision();
    hub_->Publish({revision});
    return revision->revision;
  }
  int64_t Put(const std::string& key, const std::string& value) { return Publish(store_.Put(key, value)).value(); }
  int64_t Delete(const std::string& key) { return Publish(store_.Delete(key)).value(); }
  int64_t Txn(const std::vector<MemoryStore::Change>& changes) { return Publish(store_.Apply(changes)).value(); }

  // A progress answer says that every watcher of the stream is caught up. Asks until it comes; other messages on the
  // way are a failure.
  void AwaitSynced(StreamReader* reader) {
    const absl::Time deadline = absl::Now() + absl::Seconds(20);
    while (absl::Now() < deadline) {
      (*reader)->RequestProgress();
      const auto response = reader->Next(absl::Milliseconds(5));
      if (!response.has_value()) continue;
      EXPECT_EQ(response->watch_id(), -1) << Text(response);
      return;
    }
    FAIL() << "never caught up";
  }

  MemoryStore store_;
  SteppedClock clock_;
  std::unique_ptr<WatchHub> hub_;
};

}  // namespace keel::server
