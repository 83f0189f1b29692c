// Random histories with many watchers, slow and fast, near and far: every stream is compared with what a simple model
// of the keyspace says it must deliver. Ordered, unique, atomic, complete; progress never ahead.

#include <gtest/gtest.h>

#include <deque>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/random.h"
#include "server/watch/watcher.h"
#include "tests/watch/watch_fixture.h"

namespace keel::server {
namespace {

// The keyspace under test: one that is in memory, and the real one.
class Keyspace {
 public:
  virtual ~Keyspace() = default;
  virtual storage::StateStore* store() = 0;
  virtual std::vector<storage::RevisionEventsPtr> Apply(const std::vector<MemoryStore::Change>& changes) = 0;
  virtual void Compact(int64_t revision) = 0;
};

class MemoryKeyspace final : public Keyspace {
 public:
  storage::StateStore* store() override { return &store_; }
  std::vector<storage::RevisionEventsPtr> Apply(const std::vector<MemoryStore::Change>& changes) override {
    auto events = store_.Apply(changes);
    if (events == nullptr) return {};
    return {events};
  }
  void Compact(int64_t revision) override { store_.Compact(revision); }

 private:
  MemoryStore store_;
};

class RealKeyspace final : public Keyspace {
 public:
  RealKeyspace() {
    std::string pattern = (std::filesystem::temp_directory_path() / "keel-watch-XXXXXX").string();
    KEEL_CHECK(mkdtemp(pattern.data()) != nullptr);
    dir_ = pattern;
    auto store = storage::StateStore::Open({.dir = dir_ + "/state"});
    KEEL_CHECK_OK(store);
    store_ = *std::move(store);
    KEEL_CHECK_OK(store_->Bootstrap({.cluster_id = 1}));
  }
  ~RealKeyspace() override {
    store_.reset();
    std::error_code ignored;
    std::filesystem::remove_all(dir_, ignored);
  }

  storage::StateStore* store() override { return store_.get(); }

  std::vector<storage::RevisionEventsPtr> Apply(const std::vector<MemoryStore::Change>& changes) override {
    storage::ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = ++index_, .term = 1});
    for (const MemoryStore::Change& change : changes) {
      if (change.value.has_value()) {
        etcdserverpb::PutRequest request;
        etcdserverpb::PutResponse response;
        request.set_key(change.key);
        request.set_value(*change.value);
        KEEL_CHECK_OK(batch.Put(request, &response));
      } else {
        etcdserverpb::DeleteRangeRequest request;
        etcdserverpb::DeleteRangeResponse response;
        request.set_key(change.key);
        KEEL_CHECK_OK(batch.DeleteRange(request, &response));
      }
    }
    batch.EndEntry();
    auto events = batch.Commit();
    KEEL_CHECK_OK(events);
    return *std::move(events);
  }

  void Compact(int64_t revision) override {
    storage::ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = ++index_, .term = 1});
    KEEL_CHECK_OK(batch.Compact(storage::Revision(revision)));
    batch.EndEntry();
    KEEL_CHECK_OK(batch.Commit());
    while (true) {
      const auto more = store_->CompactStep(3);
      KEEL_CHECK_OK(more);
      if (!*more) return;
    }
  }

 private:
  std::string dir_;
  std::unique_ptr<storage::StateStore> store_;
  uint64_t index_ = 1;  // The bootstrap's.
};

struct ModelEvent {
  int64_t revision = 0;
  bool put = false;
  std::string key;
  std::string value;
  std::optional<std::string> previous;  // Of a key that existed.
};

struct ModelWatcher {
  WatchArgs args;
  KeyRange keys;
  int64_t first = 0;  // Events from here on.
  size_t next = 0;    // Into the model's history: the first event not yet seen.
  int64_t seen = 0;   // Revision of the last event.
};

struct ModelStream {
  std::unique_ptr<StreamReader> reader;
  double appetite = 1;             // Chance to be read from, each step.
  std::deque<WatchArgs> creating;  // Answered in order.
  std::map<int64_t, ModelWatcher> watchers;
  std::set<int64_t> cancelling;
  std::set<int64_t> compacted;                      // Ended by a compaction; the id is taken until it is cancelled.
  std::vector<etcdserverpb::WatchResponse> pieces;  // Of a fragmented response.
};

class RandomRun {
 public:
  RandomRun(uint64_t seed, std::unique_ptr<Keyspace> keyspace) : random_(seed), keyspace_(std::move(keyspace)) {
    const size_t rings[] = {0, 3000, 1u << 20};
    const size_t buffers[] = {1, 400, 4000, 1u << 20};
    WatchHub::Options options;
    options.ring_bytes_max = rings[random_.Below(3)];
    options.stream_buffer_bytes_max = buffers[random_.Below(4)];
    options.stream_backlog_bytes = random_.Chance(0.5) ? random_.Below(300) : options.stream_backlog_bytes;
    options.fragment_bytes = 250;
    hub_ = WatchHub::Create(options, keyspace_->store(), &clock_);
    hub_->Start();
    revision_ = keyspace_->store()->current_revision().value();
    const double appetites[] = {1.0, 0.3, 0.02, 0.6};
    for (double appetite : appetites) {
      streams_.emplace_back();
      streams_.back().reader = std::make_unique<StreamReader>(hub_.get());
      streams_.back().appetite = appetite;
    }
  }

  void Run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE(absl::StrCat("step ", step));
      Step();
    }
    Publish();
    for (ModelStream& stream : streams_) Drain(&stream);
  }

 private:
  std::string Key() { return std::string(1, static_cast<char>('a' + random_.Below(8))); }

  void Step() {
    const uint64_t dice = random_.Below(100);
    ModelStream& stream = streams_[random_.Below(streams_.size())];
    if (dice < 50) {
      Change();
    } else if (dice < 58) {
      Create(&stream);
    } else if (dice < 61) {
      std::vector<int64_t> ids(stream.compacted.begin(), stream.compacted.end());
      for (const auto& [id, watcher] : stream.watchers) ids.push_back(id);
      if (!ids.empty()) {
        const int64_t id = ids[random_.Below(ids.size())];
        stream.cancelling.insert(id);
        (*stream.reader)->Cancel(id);
      }
    } else if (dice < 63 && revision_ > compacted_ + 20) {
      compacted_ = random_.Between(compacted_ + 1, revision_);
      keyspace_->Compact(compacted_);
    } else if (dice < 67) {
      (*stream.reader)->RequestProgress();
    } else if (dice < 68) {
      // As if a snapshot had brought what is committed: never published, read from history.
      unpublished_.clear();
      hub_->OnStateReplaced();
    } else if (dice < 69) {
      stream.reader = std::make_unique<StreamReader>(hub_.get());
      stream = ModelStream{.reader = std::move(stream.reader), .appetite = stream.appetite};
    }
    if (random_.Chance(0.6)) Publish();
    for (ModelStream& s : streams_) {
      while (random_.Chance(s.appetite * 0.9)) {
        const auto response = s.reader->TryNext();
        if (!response.has_value()) break;
        Check(&s, *response);
      }
    }
  }

  void Change() {
    std::vector<MemoryStore::Change> changes;
    std::set<std::string> keys;
    const uint64_t count = random_.Chance(0.7) ? 1 : random_.Between(2, 5);
    for (uint64_t i = 0; i < count; ++i) {
      const std::string key = Key();
      if (!keys.insert(key).second) continue;
      if (random_.Chance(0.3)) {
        changes.push_back({key, std::nullopt});
      } else {
        changes.push_back({key, absl::StrCat("v", next_value_++, std::string(random_.Below(80), '.'))});
      }
    }
    bool changed = false;
    for (const MemoryStore::Change& change : changes) {
      const auto live = live_.find(change.key);
      if (live == live_.end() && !change.value.has_value()) continue;
      changed = true;
      ModelEvent event{.revision = revision_ + 1,
                       .put = change.value.has_value(),
                       .key = change.key,
                       .value = change.value.value_or(""),
                       .previous = std::nullopt};
      if (live != live_.end()) event.previous = live->second;
      history_.push_back(std::move(event));
      if (change.value.has_value()) {
        live_[change.key] = *change.value;
      } else {
        live_.erase(live);
      }
    }
    if (changed) ++revision_;
    for (auto& events : keyspace_->Apply(changes)) unpublished_.push_back(std::move(events));
    ASSERT_EQ(keyspace_->store()->current_revision().value(), revision_);
  }

  void Publish() {
    hub_->Publish(unpublished_);
    unpublished_.clear();
  }

  void Create(ModelStream* stream) {
    WatchArgs args{.key = Key(), .end = ""};
    if (random_.Chance(0.4)) args.end = args.key + "zz";
    if (random_.Chance(0.2)) args.end = std::string(1, '\0');
    if (random_.Chance(0.5)) args.start = random_.Between(std::max<int64_t>(1, compacted_ - 2), revision_ + 3);
    args.prev_kv = random_.Chance(0.5);
    args.fragment = random_.Chance(0.3);
    if (random_.Chance(0.15)) args.filters.push_back(etcdserverpb::WatchCreateRequest::NOPUT);
    if (random_.Chance(0.15)) args.filters.push_back(etcdserverpb::WatchCreateRequest::NODELETE);
    stream->creating.push_back(args);
    (*stream->reader)->Create(args.Request());
  }

  bool Wanted(const ModelWatcher& watcher, const ModelEvent& event) const {
    for (auto filter : watcher.args.filters) {
      if (filter ==
          (event.put ? etcdserverpb::WatchCreateRequest::NOPUT : etcdserverpb::WatchCreateRequest::NODELETE)) {
        return false;
      }
    }
    return event.revision >= watcher.first && watcher.keys.Contains(event.key);
  }
  // The next event that `watcher` has to get, or null.
  const ModelEvent* Expected(ModelWatcher* watcher) const {
    while (watcher->next < history_.size() && !Wanted(*watcher, history_[watcher->next])) ++watcher->next;
    return watcher->next < history_.size() ? &history_[watcher->next] : nullptr;
  }

  void Check(ModelStream* stream, const etcdserverpb::WatchResponse& response) {
    SCOPED_TRACE(Text(response));
    if (response.created()) {
      ASSERT_FALSE(response.canceled());
      ASSERT_FALSE(stream->creating.empty());
      ModelWatcher watcher{.args = stream->creating.front(), .keys = {}};
      stream->creating.pop_front();
      watcher.keys.begin = watcher.args.key;
      watcher.keys.end = watcher.args.end;
      watcher.keys.kind = watcher.args.end.empty()                   ? KeyRange::Kind::kKey
                          : watcher.args.end == std::string(1, '\0') ? KeyRange::Kind::kFromKey
                                                                     : KeyRange::Kind::kHalfOpen;
      watcher.first = watcher.args.start != 0 ? watcher.args.start : response.header().revision() + 1;
      ASSERT_TRUE(stream->watchers.emplace(response.watch_id(), watcher).second);
      return;
    }
    if (response.watch_id() == -1) {  // Progress.
      ASSERT_EQ(response.events_size(), 0);
      for (auto& [id, watcher] : stream->watchers) {
        const ModelEvent* missing = Expected(&watcher);
        ASSERT_TRUE(missing == nullptr || missing->revision > response.header().revision())
            << "watcher " << id << " has not got revision " << missing->revision;
      }
      return;
    }
    if (response.canceled() && stream->compacted.erase(response.watch_id()) == 1) {
      ASSERT_EQ(response.compact_revision(), 0);
      ASSERT_EQ(stream->cancelling.erase(response.watch_id()), 1u) << "nobody cancelled it";
      return;
    }
    const auto found = stream->watchers.find(response.watch_id());
    ASSERT_NE(found, stream->watchers.end()) << "unknown, or cancelled before";
    ModelWatcher& watcher = found->second;
    if (response.canceled()) {
      if (response.compact_revision() != 0) {
        ASSERT_EQ(response.header().revision(), 0);
        ASSERT_LE(response.compact_revision(), compacted_);
        ASSERT_LT(std::max(watcher.seen, watcher.first), response.compact_revision());
        // A cancellation that is on its way is confirmed all the same.
        stream->compacted.insert(response.watch_id());
      } else {
        ASSERT_EQ(stream->cancelling.erase(response.watch_id()), 1u);
      }
      ASSERT_TRUE(stream->pieces.empty());
      stream->watchers.erase(found);
      return;
    }
    ASSERT_GT(response.events_size(), 0);
    if (!stream->pieces.empty()) {
      ASSERT_EQ(stream->pieces.back().watch_id(), response.watch_id());
      ASSERT_EQ(stream->pieces.back().header().revision(), response.header().revision());
    }
    if (response.fragment()) {
      ASSERT_TRUE(watcher.args.fragment);
      stream->pieces.push_back(response);
    } else {
      stream->pieces.clear();
    }
    for (const mvccpb::Event& event : response.events()) CheckEvent(&watcher, event);
    ASSERT_GE(response.header().revision(), watcher.seen);
    if (response.fragment()) return;
    const ModelEvent* rest = Expected(&watcher);
    ASSERT_TRUE(rest == nullptr || rest->revision > watcher.seen) << "a revision was split";
  }

  void CheckEvent(ModelWatcher* watcher, const mvccpb::Event& event) {
    SCOPED_TRACE(Text(event));
    const ModelEvent* expected = Expected(watcher);
    ASSERT_NE(expected, nullptr) << "one too many";
    ASSERT_EQ(event.kv().mod_revision(), expected->revision) << "expected key " << expected->key;
    ASSERT_EQ(event.kv().key(), expected->key);
    ASSERT_EQ(event.type() == mvccpb::Event::PUT, expected->put);
    ASSERT_EQ(event.kv().value(), expected->value);
    if (event.has_prev_kv()) {
      ASSERT_TRUE(watcher->args.prev_kv);
      ASSERT_TRUE(expected->previous.has_value());
      ASSERT_EQ(event.prev_kv().value(), *expected->previous);
    } else if (watcher->args.prev_kv && expected->previous.has_value()) {
      ASSERT_LT(expected->revision - 1, compacted_);
    }
    watcher->seen = expected->revision;
    ++watcher->next;
  }

  void Drain(ModelStream* stream) {
    while (!::testing::Test::HasFailure()) {
      bool complete = stream->creating.empty() && stream->cancelling.empty();
      for (auto& [id, watcher] : stream->watchers) complete = complete && Expected(&watcher) == nullptr;
      if (complete) break;
      const auto response = stream->reader->Next();
      ASSERT_TRUE(response.has_value()) << "something never comes";
      Check(stream, *response);
    }
    // What is left, if anything, must still be right: cancellations of watchers that wanted nothing.
    while (const auto response = stream->reader->TryNext()) Check(stream, *response);
  }

  Random random_;
  SteppedClock clock_;
  std::unique_ptr<Keyspace> keyspace_;
  std::unique_ptr<WatchHub> hub_;
  std::vector<ModelEvent> history_;
  std::map<std::string, std::string> live_;
  std::vector<storage::RevisionEventsPtr> unpublished_;
  std::vector<ModelStream> streams_;
  int64_t revision_ = 0;
  int64_t compacted_ = -1;
  int next_value_ = 0;
};

TEST(WatchRandomTest, StreamsDeliverExactlyWhatTheModelSays) {
  for (uint64_t seed = 1; seed <= 150 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomRun(seed, std::make_unique<MemoryKeyspace>()).Run(1200);
  }
}

TEST(WatchRandomTest, StreamsDeliverExactlyWhatTheModelSaysOverTheRealStore) {
  for (uint64_t seed = 1001; seed <= 1012 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(absl::StrCat("seed ", seed));
    RandomRun(seed, std::make_unique<RealKeyspace>()).Run(1200);
  }
}

}  // namespace
}  // namespace keel::server
