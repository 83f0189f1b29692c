#include "storage/state/state_store.h"

#include <atomic>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/mutex.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "storage/state/apply_batch_impl.h"
#include "storage/state/compaction.h"
#include "storage/state/generation.h"
#include "storage/state/history.h"
#include "storage/state/medium.h"
#include "storage/state/read_view_impl.h"

namespace keel::storage {
namespace {

class StateStoreImpl final : public StateStore {
 public:
  explicit StateStoreImpl(StateOptions options)
      : options_(std::move(options)), medium_(options_.medium != nullptr ? options_.medium : FileMedium()) {}
  ~StateStoreImpl() override;

  absl::Status Start();

  absl::Status Bootstrap(const Founding& founding) override;
  absl::Status Refound(const Founding& founding) override;
  bool bootstrapped() const override;

  uint64_t cluster_id() const override;
  AppliedPosition applied() const override { return Current()->point().applied; }
  AppliedPosition durable_applied() const override { return Current()->durable_applied(); }
  Revision current_revision() const override { return Current()->point().current; }
  Revision compact_revision() const override { return Current()->point().compact; }
  StateSizes sizes() const override;
  std::vector<MemberRecord> members() const override;
  StoredMembership membership() const override;
  std::vector<uint64_t> removed_members() const override;
  std::vector<etcdserverpb::AlarmMember> alarms() const override;

  ReadView View() const override { return ReadView(std::make_unique<ReadView::Impl>(Current())); }
  absl::StatusOr<std::shared_ptr<const std::string>> RecordAt(ChangeId change) const override;
  absl::StatusOr<std::vector<RevisionEventsPtr>> History(Revision first, Revision last,
                                                         size_t bytes_max) const override {
    return ReadHistory(Pin(Current()), first, last, bytes_max);
  }
  std::optional<LeaseRecord> Lease(LeaseId id) const override;
  std::vector<LeaseRecord> Leases() const override;
  std::vector<std::string> LeaseKeys(LeaseId id) const override;
  absl::StatusOr<HashResult> HashKv(Revision revision) const override { return HashHistory(Pin(Current()), revision); }

  std::vector<HashSample> hash_samples() const override { return Current()->trail().Samples(); }

  ApplyBatch BeginBatch() override {
    return ApplyBatch(std::make_unique<ApplyBatch::Impl>(Current(), &batch_open_, &failed_));
  }

  absl::StatusOr<bool> CompactStep(int64_t revisions_max) override;
  absl::StatusOr<bool> CheckpointIndexStep() override;
  Revision compacted_physically() const override;
  absl::Status Flush() override { return Current()->engine().Flush(); }
  void SetFlushListener(std::function<void()> listener) override { signal_->SetListener(std::move(listener)); }

  absl::StatusOr<AppliedPosition> Checkpoint(const std::string& dir) override;
  absl::Status Install(const std::string& dir) override;
  absl::Status AdvanceRevision(Revision revision) override;
  absl::Status Close() override;

 private:
  absl::Status Found(const Founding& founding, const StatePoint& point);

  std::shared_ptr<Generation> Current() const {
    absl::ReaderMutexLock lock(&mu_);
    KEEL_CHECK(current_ != nullptr) << "used after Close";
    return current_;
  }

  const StateOptions options_;
  const std::shared_ptr<StateMedium> medium_;
  const std::shared_ptr<FlushSignal> signal_ = std::make_shared<FlushSignal>();
  std::unique_ptr<GenerationDir> dir_;
  std::atomic<bool> batch_open_ = false;
  std::atomic<int64_t> compacted_records_ = 0;
  std::atomic<bool> failed_ = false;  // A write failed: what is in memory and what is on disk may differ.

  absl::Mutex compacting_;  // One slice, or one piece of the index file, at a time.
  mutable absl::Mutex mu_;  // Not held while anything else is called.
  std::shared_ptr<Generation> current_ ABSL_GUARDED_BY(mu_);
};

StateStoreImpl::~StateStoreImpl() {
  signal_->SetListener(nullptr);
  absl::MutexLock lock(&mu_);
  current_.reset();
}

absl::Status StateStoreImpl::Start() {
  KEEL_ASSIGN_OR_RETURN(dir_, medium_->OpenDir(options_.dir));
  KEEL_ASSIGN_OR_RETURN(std::shared_ptr<Generation> generation,
                        Generation::Open(dir_->current(), medium_, options_, signal_));
  // The first one was made just now.
  KEEL_RETURN_IF_ERROR(medium_->SyncNames(options_.dir));
  KEEL_RETURN_IF_ERROR(dir_->RemoveLeftovers());
  absl::MutexLock lock(&mu_);
  current_ = std::move(generation);
  return absl::OkStatus();
}

absl::Status StateStoreImpl::Bootstrap(const Founding& founding) {
  KEEL_CHECK(!bootstrapped());
  StatePoint point = Current()->point();
  point.applied = {.index = 1, .term = 1};
  return Found(founding, point);
}

absl::Status StateStoreImpl::Refound(const Founding& founding) {
  KEEL_CHECK(bootstrapped() && !batch_open_);
  return Found(founding, Current()->point());
}

absl::Status StateStoreImpl::Found(const Founding& founding, const StatePoint& point) {
  std::shared_ptr<Generation> generation = Current();
  const MemberBook members = MemberBook::Found(founding, point.applied.index);
  Engine& engine = generation->engine();
  const std::unique_ptr<EngineBatch> batch = engine.NewBatch();
  {
    absl::ReaderMutexLock lock(&generation->mu);
    AddWrites(members.WritesAfter(generation->published.members), batch.get());
    for (const Alarm& alarm : generation->published.alarms) batch->DeleteMeta(AlarmKey(alarm));
  }
  batch->PutMeta(kPointKey, EncodePoint(point));
  KEEL_RETURN_IF_ERROR(engine.Write(batch.get()));
  KEEL_RETURN_IF_ERROR(engine.Flush());
  absl::MutexLock lock(&generation->mu);
  generation->published.point = point;
  generation->published.members = members;
  generation->published.alarms.clear();
  return absl::OkStatus();
}

bool StateStoreImpl::bootstrapped() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  return generation->published.members.cluster_id().has_value();
}

uint64_t StateStoreImpl::cluster_id() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  return generation->published.members.cluster_id().value_or(0);
}

StateSizes StateStoreImpl::sizes() const {
  std::shared_ptr<Generation> generation = Current();
  StateSizes sizes{.allocated_bytes = generation->engine().AllocatedBytes(),
                   .cached_bytes = static_cast<int64_t>(generation->cache().bytes()),
                   .open_views = generation->floors().views(),
                   .compacted_records = compacted_records_.load(std::memory_order_relaxed)};
  absl::ReaderMutexLock lock(&generation->mu);
  sizes.in_use_bytes = generation->published.stored_bytes;
  sizes.live_keys = static_cast<int64_t>(generation->published.index.live_keys());
  sizes.index_bytes = static_cast<int64_t>(generation->published.index.memory_bytes());
  return sizes;
}

std::vector<MemberRecord> StateStoreImpl::members() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  return generation->published.members.All();
}

StoredMembership StateStoreImpl::membership() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  return generation->published.members.membership();
}

std::vector<uint64_t> StateStoreImpl::removed_members() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  const std::set<uint64_t>& removed = generation->published.members.removed();
  return {removed.begin(), removed.end()};
}

std::vector<etcdserverpb::AlarmMember> StateStoreImpl::alarms() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  std::vector<etcdserverpb::AlarmMember> alarms;
  for (const Alarm& alarm : generation->published.alarms) {
    alarms.emplace_back();
    alarms.back().set_memberid(alarm.member_id);
    alarms.back().set_alarm(static_cast<etcdserverpb::AlarmType>(alarm.type));
  }
  return alarms;
}

absl::StatusOr<std::shared_ptr<const std::string>> StateStoreImpl::RecordAt(ChangeId change) const {
  std::shared_ptr<Generation> generation = Current();
  // A batch's records are written a moment before they count.
  if (change.revision > generation->point().current) return absl::NotFoundError("state: no such change yet");
  KEEL_ASSIGN_OR_RETURN(Record record, generation->Load(change, Caching::kFill));
  return std::move(record.kv);
}

std::optional<LeaseRecord> StateStoreImpl::Lease(LeaseId id) const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  const LeaseRecord* lease = generation->published.leases.Find(id);
  return lease == nullptr ? std::nullopt : std::optional<LeaseRecord>(*lease);
}

std::vector<LeaseRecord> StateStoreImpl::Leases() const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  return generation->published.leases.All();
}

std::vector<std::string> StateStoreImpl::LeaseKeys(LeaseId id) const {
  std::shared_ptr<Generation> generation = Current();
  absl::ReaderMutexLock lock(&generation->mu);
  const LeaseBook::Keys& keys = generation->published.leases.KeysOf(id);
  return {keys.begin(), keys.end()};
}

absl::StatusOr<bool> StateStoreImpl::CompactStep(int64_t revisions_max) {
  absl::MutexLock lock(&compacting_);
  int64_t removed = 0;
  absl::StatusOr<bool> more = CompactSlice(Current().get(), revisions_max, &removed);
  compacted_records_.fetch_add(removed, std::memory_order_relaxed);
  return more;
}

absl::StatusOr<bool> StateStoreImpl::CheckpointIndexStep() {
  absl::MutexLock lock(&compacting_);
  return Current()->index_checkpoint().Step();
}

Revision StateStoreImpl::compacted_physically() const {
  std::shared_ptr<Generation> generation = Current();
  absl::MutexLock lock(&generation->compaction_mu);
  return generation->compaction.finished;
}

absl::StatusOr<AppliedPosition> StateStoreImpl::Checkpoint(const std::string& dir) {
  if (medium_->Exists(dir)) {
    return absl::FailedPreconditionError(absl::StrCat("state: ", dir, " exists already"));
  }
  KEEL_RETURN_IF_ERROR(Current()->engine().Checkpoint(dir));
  KEEL_ASSIGN_OR_RETURN(StatePoint point, medium_->ReadPoint(dir));
  return point.applied;
}

absl::Status StateStoreImpl::Install(const std::string& dir) {
  KEEL_CHECK(!batch_open_) << "a batch is open";
  // An unreadable directory is refused where it is, before anything moves.
  KEEL_RETURN_IF_ERROR(medium_->ReadPoint(dir).status());
  KEEL_RETURN_IF_ERROR(medium_->Sync(dir));
  const std::string target = dir_->next();
  KEEL_RETURN_IF_ERROR(medium_->Move(dir, target));
  absl::StatusOr<std::shared_ptr<Generation>> next = Generation::Open(target, medium_, options_, signal_);
  absl::Status status = next.status();
  // The engine is at work in there already, and removes files as it compacts what it found.
  if (status.ok()) status = medium_->SyncNames(target);
  if (status.ok()) status = dir_->Switch();
  if (!status.ok()) {
    // As before the call: the old state counts, and the directory is back for whoever wants to look at it.
    if (next.ok()) next->reset();
    (void)medium_->Move(target, dir);
    return status;
  }
  std::shared_ptr<Generation> old = *std::move(next);
  {
    absl::MutexLock lock(&mu_);
    std::swap(current_, old);
  }
  old->MarkObsolete();
  failed_ = false;
  return absl::OkStatus();
}

absl::Status StateStoreImpl::AdvanceRevision(Revision revision) {
  KEEL_CHECK(!batch_open_) << "a batch is open";
  std::shared_ptr<Generation> generation = Current();
  StatePoint point = generation->point();
  if (revision <= point.current) {
    return absl::InvalidArgumentError(
        absl::StrCat("state: revision ", revision.value(), " is not above the current one, ", point.current.value()));
  }
  point.current = revision;
  point.compact = revision;
  RunningHash hash(point.hash);
  hash.Add('A', EncodeNumber(static_cast<uint64_t>(revision.value())));
  point.hash = hash.value();
  Engine& engine = generation->engine();
  std::unique_ptr<EngineBatch> batch = engine.NewBatch();
  batch->PutMeta(kPointKey, EncodePoint(point));
  batch->PutMeta(kAdvancedKey, EncodeNumber(static_cast<uint64_t>(revision.value())));
  KEEL_RETURN_IF_ERROR(engine.Write(batch.get()));
  KEEL_RETURN_IF_ERROR(engine.Flush());
  generation->trail().Extend({}, {.index = point.applied.index, .hash = point.hash});
  absl::MutexLock lock(&generation->mu);
  generation->published.point = point;
  return absl::OkStatus();
}

absl::Status StateStoreImpl::Close() {
  signal_->SetListener(nullptr);
  std::shared_ptr<Generation> last;
  {
    absl::MutexLock lock(&mu_);
    last = std::exchange(current_, nullptr);
  }
  if (last == nullptr) return absl::OkStatus();
  KEEL_RETURN_IF_ERROR(last->engine().Flush());
  absl::MutexLock lock(&compacting_);
  return last->index_checkpoint().Finish();
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateStore>> StateStore::Open(const StateOptions& options) {
  auto store = std::make_unique<StateStoreImpl>(options);
  KEEL_RETURN_IF_ERROR(store->Start());
  return store;
}

}  // namespace keel::storage
