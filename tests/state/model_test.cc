// Random histories on the store and on a plain model: whatever is asked at whatever revision, both answer the same,
// however entries are grouped, whenever the store is reopened and however far compaction has come.

#include <deque>

#include "base/random.h"
#include "plain_model.h"
#include "storage/state/memory_medium.h"
#include "store_fixture.h"

namespace keel::storage {
namespace {

std::string Text(const google::protobuf::Message& message) { return message.ShortDebugString(); }

void ExpectSameRange(const PlainModel& model, const KeyspaceReader& reader, int64_t at,
                     const etcdserverpb::RangeRequest& request) {
  etcdserverpb::RangeResponse response;
  absl::Status status = reader.Range(request, &response);
  ASSERT_TRUE(status.ok()) << status << " for " << Text(request);
  etcdserverpb::RangeResponse expected = model.Range(request, request.revision() > 0 ? request.revision() : at);
  ASSERT_EQ(Text(response), Text(expected)) << "for " << Text(request) << " at " << at;
}

// The whole keyspace at every revision that can be read, the history, and the leases.
void ExpectSameState(const PlainModel& model, const StateStore& store) {
  ASSERT_EQ(store.current_revision().value(), model.revision());
  ASSERT_EQ(store.compact_revision().value(), model.compact_revision());
  ReadView view = store.View();
  int64_t first = std::max<int64_t>(model.compact_revision(), 1);
  for (int64_t at = first; at <= model.revision(); ++at) {
    ExpectSameRange(model, view, model.revision(), RangeOf(kFromKey, kFromKey, at));
    if (::testing::Test::HasFatalFailure()) return;
  }
  if (first > 1) {
    etcdserverpb::RangeResponse response;
    EXPECT_TRUE(absl::IsOutOfRange(view.Range(RangeOf("a", "", first - 1), &response)));
  }
  auto history = store.History(Revision(first), Revision(model.revision()), size_t{1} << 30);
  ASSERT_TRUE(history.ok()) << history.status();
  size_t next = 0;
  for (int64_t revision = std::max<int64_t>(first, 2); revision <= model.revision(); ++revision, ++next) {
    ASSERT_LT(next, history->size());
    const RevisionEvents& events = *(*history)[next];
    ASSERT_EQ(events.revision.value(), revision);
    const std::vector<ModelEvent>& expected = model.EventsOf(revision);
    ASSERT_EQ(events.events.size(), expected.size()) << "revision " << revision;
    for (size_t i = 0; i < expected.size(); ++i) {
      const Event& event = events.events[i];
      EXPECT_EQ(event.change, (ChangeId{Revision(revision), static_cast<int32_t>(i)}));
      EXPECT_EQ(event.key, expected[i].key);
      EXPECT_EQ(event.previous.revision.value(), expected[i].previous);
      mvccpb::KeyValue kv;
      ASSERT_TRUE(kv.ParseFromString(*event.kv));
      EXPECT_EQ(kv.mod_revision(), revision);
      EXPECT_EQ(event.type == Event::Type::kPut, expected[i].pair.has_value());
      if (expected[i].pair.has_value()) {
        EXPECT_EQ(kv.value(), expected[i].pair->value);
      }
    }
  }
  EXPECT_EQ(next, history->size());
  std::set<int64_t> leases;
  for (const LeaseRecord& lease : store.Leases()) {
    leases.insert(lease.id.value());
    std::vector<std::string> keys;
    for (const auto& [key, pair] : model.KeysAt(model.revision())) {
      if (pair.lease == lease.id.value()) keys.push_back(key);
    }
    EXPECT_EQ(store.LeaseKeys(lease.id), keys);
  }
  EXPECT_EQ(leases, model.leases());
  EXPECT_EQ(store.sizes().live_keys, static_cast<int64_t>(model.KeysAt(model.revision()).size()));
}

// A view taken some time ago, and what it must still show.
struct HeldView {
  ReadView view;
  int64_t at;
  int64_t compact;
};

class Store {
 public:
  explicit Store(std::string dir, std::shared_ptr<StateMedium> medium = nullptr) {
    options_.dir = std::move(dir);
    options_.medium = std::move(medium);
    options_.value_cache_bytes = 16u << 10;  // Small, so that most reads go to the disk.
    options_.write_buffer_bytes = 64u << 10;
    options_.index_checkpoint_changes = 40;
    options_.index_checkpoint_step_bytes = 60;  // A key or two, so that much happens while a file is made.
    Open();
  }
  void Open() {
    auto opened = StateStore::Open(options_);
    ASSERT_TRUE(opened.ok()) << opened.status();
    store = *std::move(opened);
  }
  void Reopen() {
    ASSERT_TRUE(store->Close().ok());
    store.reset();
    Open();
  }

  std::unique_ptr<StateStore> store;

 private:
  StateOptions options_;
};

class ModelTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(ModelTest, StoreAnswersAsTheModelDoes) {
  const uint64_t seed = GetParam();
  SCOPED_TRACE(seed);
  Random random(seed);
  TempDir dir;
  Store single(dir.path() + "/single");                         // One batch per entry; RocksDB.
  Store grouped("/grouped", std::make_shared<MemoryMedium>());  // Entries wait and come in groups; memory.
  PlainModel model;
  std::vector<ModelEntry> waiting;
  uint64_t index = 0;
  std::deque<HeldView> views;

  auto catch_up = [&] {
    if (waiting.empty()) return;
    // The keys to come, as far as somebody may know them: some are left out, some do not come.
    std::vector<std::string_view> keys;
    const double known = random.Below(5) / 4.0;
    for (const ModelEntry& entry : waiting) {
      for (const ModelOp& op : entry) {
        if (random.Chance(known)) keys.push_back(op.key);
        if (random.Chance(0.05)) keys.push_back("never there");
      }
    }
    ApplyBatch batch = grouped.store->BeginBatch();
    batch.Expect(keys);
    // What was looked up may go before it is used.
    if (random.Chance(0.5)) {
      ASSERT_TRUE(grouped.store->CompactStep(random.Between(1, 200)).ok());
    }
    uint64_t first = index - waiting.size() + 1;
    for (size_t i = 0; i < waiting.size(); ++i) Execute(waiting[i], first + i, &batch);
    ASSERT_TRUE(batch.Commit().ok());
    waiting.clear();
  };

  for (int step = 0; step < 1500; ++step) {
    ModelEntry entry = RandomEntry(model, &random);
    model.Apply(entry);
    ++index;
    {
      ApplyBatch batch = single.store->BeginBatch();
      Execute(entry, index, &batch);
      // The batch itself answers as the state it will make.
      ASSERT_EQ(batch.revision().value(), model.revision());
      ExpectSameRange(model, batch, model.revision(), RandomRange(model.compact_revision(), model.revision(), &random));
      ASSERT_TRUE(batch.Commit().ok());
    }
    waiting.push_back(entry);

    {
      ReadView view = single.store->View();
      for (int i = 0; i < 3; ++i) {
        ExpectSameRange(model, view, model.revision(),
                        RandomRange(model.compact_revision(), model.revision(), &random));
      }
    }
    if (random.Chance(0.05)) {
      views.push_back({.view = single.store->View(), .at = model.revision(), .compact = model.compact_revision()});
    }
    if (!views.empty() && random.Chance(0.2)) {
      const HeldView& held = views[random.Below(views.size())];
      ExpectSameRange(model, held.view, held.at, RandomRange(held.compact, held.at, &random));
    }
    if (views.size() > 5) views.pop_front();
    if (random.Chance(0.1)) {
      ASSERT_TRUE(single.store->CompactStep(random.Between(1, 40)).ok());
    }
    if (random.Chance(0.5)) {
      ASSERT_TRUE(single.store->CheckpointIndexStep().ok());
    }
    if (random.Chance(0.05)) {
      ASSERT_TRUE(grouped.store->CheckpointIndexStep().ok());
    }
    if (random.Chance(0.05)) catch_up();
    if (random.Chance(0.05)) {
      ASSERT_TRUE(grouped.store->CompactStep(random.Between(1, 200)).ok());
    }
    if (random.Chance(0.01)) {
      ASSERT_TRUE(single.store->Flush().ok());
    }
    if (random.Chance(0.006)) {
      views.clear();
      const int64_t in_use = single.store->sizes().in_use_bytes;
      single.Reopen();
      EXPECT_EQ(single.store->sizes().in_use_bytes, in_use);
    }
    if (random.Chance(0.002)) grouped.Reopen();
    if (random.Chance(0.01)) {
      catch_up();
      ExpectSameState(model, *single.store);
      ExpectSameState(model, *grouped.store);
      int64_t at = random.Between(std::max<int64_t>(model.compact_revision(), 1), model.revision());
      auto a = single.store->HashKv(Revision(at));
      auto b = grouped.store->HashKv(Revision(at));
      ASSERT_TRUE(a.ok() && b.ok());
      EXPECT_EQ(a->hash, b->hash) << "at " << at;
      EXPECT_EQ(a->hash_revision.value(), at);
      EXPECT_EQ(a->compact_revision, b->compact_revision);
    }
    if (HasFatalFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, ModelTest, ::testing::Values(1, 2, 3, 4, Random::EntropySeed() % 1000000));

// A history with every kind of succession of one key, compacted at each of its revisions in turn.
TEST(CompactionModelTest, CompactionAtEveryRevisionKeepsEveryReadAboveIt) {
  std::vector<ModelEntry> script;
  auto put = [](const std::string& key, const std::string& value) {
    return ModelOp{.kind = ModelOp::Kind::kPut, .key = key, .end = {}, .value = value};
  };
  auto del = [](const std::string& key, const std::string& end = "") {
    return ModelOp{.kind = ModelOp::Kind::kDelete, .key = key, .end = end, .value = {}};
  };
  script = {{put("a", "1")},
            {put("b", "1"), put("c", "1")},
            {put("a", "2")},
            {del("a")},
            {put("a", "3"), put("d", "1")},
            {del("a"), put("a", "4")},       // A life ends and another begins in one revision.
            {put("e", "1"), del("d", "f")},  // Born and dead in one revision.
            {del("b", "d")},
            {put("b", "2")},
            {del("a"), del("b")}};
  for (int64_t compact = 1; compact <= static_cast<int64_t>(script.size()) + 1; ++compact) {
    for (int64_t slice : {1, 3, 1000}) {
      SCOPED_TRACE(absl::StrCat("compacted at ", compact, " in slices of ", slice));
      TempDir dir;
      Store store(dir.path() + "/state");
      PlainModel model;
      std::vector<ModelEntry> entries = script;
      entries.push_back({ModelOp{
          .kind = ModelOp::Kind::kCompact, .key = {}, .end = {}, .value = {}, .lease = 0, .revision = compact}});
      uint64_t index = 0;
      for (const ModelEntry& entry : entries) {
        model.Apply(entry);
        ApplyBatch batch = store.store->BeginBatch();
        Execute(entry, ++index, &batch);
        ASSERT_TRUE(batch.Commit().ok());
      }
      auto before = store.store->HashKv(Revision(0));
      int steps = 0;
      while (true) {
        auto more = store.store->CompactStep(slice);
        ASSERT_TRUE(more.ok()) << more.status();
        ExpectSameState(model, *store.store);
        if (!*more) break;
        ASSERT_LT(++steps, 100);
      }
      EXPECT_EQ(store.store->compacted_physically().value(), compact);
      EXPECT_EQ(store.store->HashKv(Revision(0))->hash, before->hash);
      int64_t in_use = store.store->sizes().in_use_bytes;
      store.Reopen();
      EXPECT_EQ(store.store->compacted_physically().value(), compact);
      EXPECT_EQ(store.store->sizes().in_use_bytes, in_use) << "what was freed was counted wrongly";
      ExpectSameState(model, *store.store);
      EXPECT_EQ(store.store->HashKv(Revision(0))->hash, before->hash);
    }
  }
}

}  // namespace
}  // namespace keel::storage
