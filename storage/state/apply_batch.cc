#include "storage/state/apply_batch.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "storage/state/apply_batch_impl.h"
#include "storage/state/history.h"
#include "storage/state/state_errors.h"

namespace keel::storage {

ApplyBatch::Impl::Impl(std::shared_ptr<Generation> generation, std::atomic<bool>* busy, std::atomic<bool>* failed)
    : generation_(std::move(generation)),
      busy_(busy),
      failed_(failed),
      point_(generation_->point()),
      writes_(generation_->engine().NewBatch()) {
  KEEL_CHECK(!busy_->exchange(true)) << "a second batch while one exists";
}

ApplyBatch::Impl::~Impl() { busy_->store(false); }

// --- Reads.

std::optional<IndexEntry> ApplyBatch::Impl::Latest(std::string_view key) const {
  if (auto it = keys_.find(key); it != keys_.end()) return ChangeAt(it).entry;
  return generation_->Latest(key);
}

ApplyBatch::Impl::Before ApplyBatch::Impl::LookUp(std::string_view key) {
  const KeyIndex::Lookup* const expected = TakeExpected(key);
  if (auto it = keys_.find(key); it != keys_.end()) {
    return {.latest = KeyIndex::Latest{.entry = ChangeAt(it).entry, .lineage = ChangeAt(it).lineage}};
  }
  if (expected != nullptr) return {.latest = expected->latest(), .lookup = expected};
  return {.latest = generation_->LatestWithLineage(key)};
}

const KeyIndex::Lookup* ApplyBatch::Impl::TakeExpected(std::string_view key) {
  // Entries that changed nothing, as expected of them, are passed over.
  constexpr size_t kLookAhead = 8;
  const size_t last = std::min(next_expected_ + kLookAhead, expected_.size());
  for (size_t i = next_expected_; i < last; ++i) {
    if (expected_[i].key() != key) continue;
    next_expected_ = i + 1;
    return &expected_[i];
  }
  return nullptr;
}

bool ApplyBatch::Impl::ReadEntries(const KeyInterval& interval, std::optional<std::string_view> after,
                                   size_t entries_max, EntryChunk* chunk) const {
  if (keys_.empty()) return generation_->ReadEntries(interval, after, entries_max, chunk);
  if (interval.empty()) return true;
  EntryChunk committed;
  bool done = generation_->ReadEntries(interval, after, entries_max, &committed);
  auto it = after.has_value() ? keys_.upper_bound(*after) : keys_.lower_bound(interval.first);
  for (size_t i = 0; i < committed.size(); ++i) {
    for (; it != keys_.end() && it->first < committed.key(i); ++it) chunk->Add(it->first, ChangeAt(it).entry);
    if (it != keys_.end() && it->first == committed.key(i)) {
      chunk->Add(it->first, ChangeAt(it).entry);
      ++it;
    } else {
      chunk->Add(committed.key(i), committed.entry(i));
    }
  }
  if (done) {
    for (; it != keys_.end() && interval.Contains(it->first); ++it) chunk->Add(it->first, ChangeAt(it).entry);
  }
  return done;
}

bool ApplyBatch::Impl::Count(const KeyInterval& interval, Revision at, IndexCount* count) const {
  const Revision committed = generation_->point().current;
  if (keys_.empty() || at <= committed) return generation_->Count(interval, at, count);
  // What is committed, with the batch's own keys in the place of their committed entries.
  if (!generation_->Count(interval, committed, count)) return false;
  for (auto it = keys_.lower_bound(interval.first); it != keys_.end() && interval.Contains(it->first); ++it) {
    const IndexEntry& entry = ChangeAt(it).entry;
    if (ChangeAt(it).committed_live) --count->live;
    if (entry.is_live() && entry.create <= at) {
      ++count->live;
    } else if (entry.mod.revision > at && entry.has_previous) {
      count->unsure.push_back(entry);
    }
  }
  return true;
}

absl::StatusOr<Record> ApplyBatch::Impl::Load(ChangeId change, Caching caching) const {
  auto it = std::lower_bound(records_.begin(), records_.end(), change,
                             [](const auto& record, ChangeId id) { return record.first < id; });
  if (it != records_.end() && it->first == change) return it->second;
  return generation_->Load(change, caching);
}

absl::Status ApplyBatch::Impl::LoadMany(const std::vector<ChangeId>& changes, Caching caching,
                                        std::vector<Record>* records) const {
  if (records_.empty()) return generation_->LoadMany(changes, caching, records);
  records->clear();
  records->reserve(changes.size());
  for (ChangeId change : changes) {
    KEEL_ASSIGN_OR_RETURN(Record record, Load(change, caching));
    records->push_back(std::move(record));
  }
  return absl::OkStatus();
}

// --- Entries.

void ApplyBatch::Impl::Expect(std::span<const std::string_view> keys) {
  KEEL_CHECK(!in_entry_ && !spent_);
  KEEL_CHECK(expected_.empty() && changes_.empty());
  expected_.reserve(keys.size());
  for (std::string_view key : keys) expected_.emplace_back(key);
  generation_->LookUp(expected_);
}

void ApplyBatch::Impl::BeginEntry(AppliedPosition position) {
  KEEL_CHECK(!in_entry_ && !spent_);
  KEEL_CHECK_GT(position.index, point_.applied.index) << "an entry applied twice";
  in_entry_ = true;
  began_ = true;
  point_.applied = position;
  changes_in_entry_ = 0;
}

void ApplyBatch::Impl::EndEntry() {
  KEEL_CHECK(in_entry_);
  point_.current = revision();
  if (HashTrail::IsPlace(point_.applied.index)) hashes_.push_back({.index = point_.applied.index, .hash = point_.hash});
  in_entry_ = false;
  changes_in_entry_ = 0;
  if (entry_events_ != nullptr) events_.push_back(std::exchange(entry_events_, nullptr));
}

ChangeId ApplyBatch::Impl::NextChange() {
  KEEL_CHECK(in_entry_);
  return {.revision = point_.current + 1, .sub = changes_in_entry_++};
}

void ApplyBatch::Impl::Change(std::string_view key, const Before& before, IndexEntry entry, Record record) {
  const KeyIndex::Latest* const latest = before.latest.has_value() ? &*before.latest : nullptr;
  const bool replaced = latest != nullptr && latest->entry.is_live();
  if (latest != nullptr) {
    record.previous = latest->entry.mod;
    record.previous_bytes = latest->entry.stored_bytes;
    record.lineage = latest->lineage.Next(latest->entry.mod);
    entry.has_previous = true;
  }
  entry.stored_bytes = StoredBytes(record);
  stored_bytes_ += entry.stored_bytes;
  writes_->AddRecord(entry.mod, record);
  Hash(record.tombstone ? 'd' : 'p', EncodeRecordKey(entry.mod), *record.kv);

  const std::string_view own_key = KeyOfKeyValue(*record.kv);
  const auto [it, added] = keys_.try_emplace(own_key, static_cast<uint32_t>(changes_.size()));
  if (added) {
    KeyChange& first = changes_.emplace_back();
    first.key = own_key;
    first.lookup = before.lookup;
    if (latest != nullptr) {
      first.committed_lease = latest->entry.lease;
      first.committed_live = replaced;
    }
  }
  KeyChange& here = changes_[it->second];
  here.entry = entry;
  here.lineage = record.lineage;
  leases_touched_ = leases_touched_ || entry.lease.value() != 0 || here.committed_lease.value() != 0;
  if (entry.lease.value() != 0) attached_[entry.lease].emplace(key);

  if (entry_events_ == nullptr) {
    entry_events_ = std::make_shared<RevisionEvents>();
    entry_events_->revision = entry.mod.revision;
  }
  entry_events_->events.push_back({.type = record.tombstone ? Event::Type::kDelete : Event::Type::kPut,
                                   .change = entry.mod,
                                   .key = std::string(key),
                                   .kv = record.kv,
                                   .previous = replaced ? latest->entry.mod : ChangeId()});
  entry_events_->bytes += EventBytes(entry_events_->events.back());
  records_.emplace_back(entry.mod, std::move(record));
}

// --- Keys.

absl::Status ApplyBatch::Impl::Put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) {
  const std::string& key = request.key();
  if (request.lease() != 0 && !Lease(LeaseId(request.lease())).has_value()) return LeaseNotFoundError();
  const Before found = LookUp(key);
  const IndexEntry* const before = found.latest.has_value() ? &found.latest->entry : nullptr;
  const bool exists = before != nullptr && before->is_live();
  if (!exists && (request.ignore_value() || request.ignore_lease())) return KeyNotFoundError();

  std::optional<Record> previous;
  KeyValueFields previous_fields;
  if (exists && (request.prev_kv() || request.ignore_value())) {
    KEEL_ASSIGN_OR_RETURN(previous, Load(before->mod, Caching::kFill));
    std::optional<KeyValueFields> fields = DecodeKeyValue(*previous->kv);
    if (!fields.has_value()) return absl::DataLossError("state: the record of the previous value is damaged");
    previous_fields = *fields;
  }

  ChangeId change = NextChange();
  IndexEntry entry{.mod = change,
                   .create = exists ? before->create : change.revision,
                   .version = exists ? before->version + 1 : 1,
                   .lease = request.ignore_lease() ? before->lease : LeaseId(request.lease())};
  Record record;
  record.kv = std::make_shared<const std::string>(
      EncodeKeyValue({.key = key,
                      .create = entry.create,
                      .mod = change.revision,
                      .version = entry.version,
                      .value = request.ignore_value() ? previous_fields.value : std::string_view(request.value()),
                      .lease = entry.lease}));
  Change(key, found, entry, std::move(record));

  if (response != nullptr) {
    response->mutable_header()->set_revision(revision().value());
    if (exists && request.prev_kv()) FillKeyValue(previous_fields, WithValue::kYes, response->mutable_prev_kv());
  }
  return absl::OkStatus();
}

void ApplyBatch::Impl::Delete(std::string_view key) {
  const Before before = LookUp(key);
  KEEL_CHECK(before.latest.has_value() && before.latest->entry.is_live()) << "a key to delete that does not exist";
  ChangeId change = NextChange();
  Record record;
  record.tombstone = true;
  record.kv = std::make_shared<const std::string>(EncodeKeyValue({.key = key, .mod = change.revision}));
  Change(key, before, IndexEntry{.mod = change}, std::move(record));
}

absl::Status ApplyBatch::Impl::DeleteRange(const etcdserverpb::DeleteRangeRequest& request,
                                           etcdserverpb::DeleteRangeResponse* response) {
  KEEL_CHECK(in_entry_);
  // First what is to go, then the changes: the scan must not meet its own tombstones.
  std::vector<std::pair<std::string, IndexEntry>> live;
  KeyInterval interval = IntervalOf(request.key(), request.range_end());
  if (interval.single) {
    std::optional<IndexEntry> entry = Latest(request.key());
    if (entry.has_value() && entry->is_live()) live.emplace_back(request.key(), *entry);
  } else {
    EntryChunk chunk;
    std::optional<std::string> after;
    for (bool done = false; !done;) {
      chunk.Clear();
      done = ReadEntries(interval, after, 512, &chunk);
      for (size_t i = 0; i < chunk.size(); ++i) {
        if (chunk.entry(i).is_live()) live.emplace_back(chunk.key(i), chunk.entry(i));
      }
      if (chunk.size() > 0) after = std::string(chunk.key(chunk.size() - 1));
    }
  }

  if (request.prev_kv() && response != nullptr) {
    constexpr size_t kLoadAtOnce = 256;
    std::vector<ChangeId> changes;
    std::vector<Record> records;
    for (size_t first = 0; first < live.size(); first += kLoadAtOnce) {
      changes.clear();
      for (size_t i = first; i < std::min(first + kLoadAtOnce, live.size()); ++i) {
        changes.push_back(live[i].second.mod);
      }
      KEEL_RETURN_IF_ERROR(LoadMany(changes, Caching::kBypass, &records));
      for (const Record& record : records) {
        std::optional<KeyValueFields> fields = DecodeKeyValue(*record.kv);
        if (!fields.has_value()) return absl::DataLossError("state: the record of a deleted value is damaged");
        FillKeyValue(*fields, WithValue::kYes, response->add_prev_kvs());
      }
    }
  }
  for (const auto& [key, entry] : live) Delete(key);
  if (response != nullptr) {
    response->mutable_header()->set_revision(revision().value());
    response->set_deleted(static_cast<int64_t>(live.size()));
  }
  return absl::OkStatus();
}

// --- Leases.

std::optional<LeaseRecord> ApplyBatch::Impl::Lease(LeaseId id) const {
  if (auto it = leases_.find(id); it != leases_.end()) return it->second;
  absl::ReaderMutexLock lock(&generation_->mu);
  const LeaseRecord* lease = generation_->published.leases.Find(id);
  return lease == nullptr ? std::nullopt : std::optional<LeaseRecord>(*lease);
}

void ApplyBatch::Impl::Hash(char kind, std::string_view first, std::string_view second) {
  RunningHash hash(point_.hash);
  hash.Add(kind, first, second);
  point_.hash = hash.value();
}

void ApplyBatch::Impl::SetLease(const LeaseRecord& lease) {
  leases_[lease.id] = lease;
  const std::string lease_key = LeaseKey(lease.id);
  const std::string stored = EncodeLease(lease);
  writes_->PutMeta(lease_key, stored);
  Hash('l', lease_key, stored);
}

absl::Status ApplyBatch::Impl::LeaseGrant(LeaseId id, int64_t ttl) {
  KEEL_CHECK(in_entry_);
  if (Lease(id).has_value()) return LeaseExistsError();
  SetLease({.id = id, .granted_ttl = ttl, .remaining_ttl = 0, .grant_index = point_.applied.index});
  return absl::OkStatus();
}

std::vector<std::string> ApplyBatch::Impl::KeysOf(LeaseId id) const {
  std::set<std::string> keys;
  {
    absl::ReaderMutexLock lock(&generation_->mu);
    const LeaseBook::Keys& committed = generation_->published.leases.KeysOf(id);
    keys.insert(committed.begin(), committed.end());
  }
  if (auto it = attached_.find(id); it != attached_.end()) keys.insert(it->second.begin(), it->second.end());
  std::vector<std::string> attached;
  for (const std::string& key : keys) {
    auto it = keys_.find(key);
    if (it == keys_.end() || ChangeAt(it).entry.lease == id) attached.push_back(key);
  }
  return attached;
}

absl::Status ApplyBatch::Impl::LeaseRevoke(LeaseId id) {
  KEEL_CHECK(in_entry_);
  if (!Lease(id).has_value()) return LeaseNotFoundError();
  for (const std::string& key : KeysOf(id)) Delete(key);
  leases_[id] = std::nullopt;
  writes_->DeleteMeta(LeaseKey(id));
  Hash('r', LeaseKey(id));
  return absl::OkStatus();
}

void ApplyBatch::Impl::LeaseCheckpoint(LeaseId id, int64_t remaining_ttl) {
  KEEL_CHECK(in_entry_);
  std::optional<LeaseRecord> lease = Lease(id);
  if (!lease.has_value()) return;
  lease->remaining_ttl = remaining_ttl;
  SetLease(*lease);
}

// --- The rest.

absl::Status ApplyBatch::Impl::Compact(Revision revision_to) {
  KEEL_CHECK(in_entry_);
  if (revision_to <= point_.compact) return CompactedError();
  if (revision_to > revision()) return FutureRevisionError();
  point_.compact = revision_to;
  Hash('f', EncodeNumber(static_cast<uint64_t>(revision_to.value())));
  return absl::OkStatus();
}

bool ApplyBatch::Impl::RaiseAlarm(const Alarm& alarm) {
  KEEL_CHECK(in_entry_);
  auto it = alarms_.find(alarm);
  if (it != alarms_.end() && it->second) return false;
  if (it == alarms_.end()) {
    absl::ReaderMutexLock lock(&generation_->mu);
    if (generation_->published.alarms.contains(alarm)) return false;
  }
  alarms_[alarm] = true;
  writes_->PutMeta(AlarmKey(alarm), "");
  Hash('a', AlarmKey(alarm));
  return true;
}

bool ApplyBatch::Impl::DisarmAlarm(const Alarm& alarm) {
  KEEL_CHECK(in_entry_);
  auto it = alarms_.find(alarm);
  if (it != alarms_.end() && !it->second) return false;
  if (it == alarms_.end()) {
    absl::ReaderMutexLock lock(&generation_->mu);
    if (!generation_->published.alarms.contains(alarm)) return false;
  }
  alarms_[alarm] = false;
  writes_->DeleteMeta(AlarmKey(alarm));
  Hash('c', AlarmKey(alarm));
  return true;
}

// --- Members.

const MemberBook& ApplyBatch::Impl::members() const {
  if (members_.has_value()) return *members_;
  // Changed by the apply thread alone, which is this one.
  absl::ReaderMutexLock lock(&generation_->mu);
  return generation_->published.members;
}

MemberBook* ApplyBatch::Impl::EditMembers() {
  KEEL_CHECK(in_entry_);
  if (!members_.has_value()) members_ = members();
  return &*members_;
}

// --- Commit.

absl::StatusOr<std::vector<RevisionEventsPtr>> ApplyBatch::Impl::Commit() {
  KEEL_CHECK(!in_entry_ && !spent_);
  spent_ = true;
  if (!began_) return std::vector<RevisionEventsPtr>();
  if (failed_->load()) return absl::InternalError("state: an earlier write failed; restart this member");
  AddWrites(member_writes_, writes_.get());
  point_.written_bytes += stored_bytes_;
  writes_->PutMeta(kPointKey, EncodePoint(point_));
  if (absl::Status status = generation_->engine().Write(writes_.get()); !status.ok()) {
    failed_->store(true);
    return status;
  }
  const size_t changes = records_.size();
  generation_->cache().Append(std::move(records_));
  Publish(changes);
  keys_.clear();  // Their bytes go with the events.
  changes_.clear();
  return std::move(events_);
}

void ApplyBatch::Impl::Publish(size_t changes) {
  // An entry that is newer than a reader's point leads it to the older records, so the index may run ahead of the
  // point; and no lock is held for longer than some dozens of entries take.
  constexpr size_t kSetAtOnce = 64;
  for (size_t first = 0; first < changes_.size(); first += kSetAtOnce) {
    absl::MutexLock lock(&generation_->mu);
    KeyIndex& index = generation_->published.index;
    for (size_t i = first; i < std::min(first + kSetAtOnce, changes_.size()); ++i) {
      const KeyChange& change = changes_[i];
      if (change.lookup != nullptr) {
        index.Set(*change.lookup, change.entry, change.lineage);
      } else {
        index.Set(change.key, change.entry, change.lineage);
      }
    }
  }
  generation_->trail().Extend(hashes_, {.index = point_.applied.index, .hash = point_.hash});
  absl::MutexLock lock(&generation_->mu);
  PublishedState& state = generation_->published;
  state.point = point_;
  state.stored_bytes += stored_bytes_;
  state.changes_since_index += static_cast<int64_t>(changes);
  // Detach, then change the leases, then attach: a lease may have been revoked and granted anew in between.
  for (size_t i = 0; leases_touched_ && i < changes_.size(); ++i) {
    const KeyChange& change = changes_[i];
    if (change.committed_lease.value() != 0) state.leases.Move(change.key, change.committed_lease, LeaseId(0));
  }
  for (const auto& [id, lease] : leases_) {
    if (lease.has_value()) {
      state.leases.Put(*lease);
    } else {
      state.leases.Remove(id);
    }
  }
  for (size_t i = 0; leases_touched_ && i < changes_.size(); ++i) {
    const KeyChange& change = changes_[i];
    if (change.entry.lease.value() != 0) state.leases.Move(change.key, LeaseId(0), change.entry.lease);
  }
  if (members_.has_value()) state.members = *std::move(members_);
  for (const auto& [alarm, raised] : alarms_) {
    if (raised) {
      state.alarms.insert(alarm);
    } else {
      state.alarms.erase(alarm);
    }
  }
}

// --- The public face.

ApplyBatch::ApplyBatch(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ApplyBatch::ApplyBatch(ApplyBatch&&) noexcept = default;
ApplyBatch::~ApplyBatch() = default;

void ApplyBatch::Expect(std::span<const std::string_view> keys) { impl_->Expect(keys); }

void ApplyBatch::BeginEntry(AppliedPosition position) { impl_->BeginEntry(position); }
void ApplyBatch::EndEntry() { impl_->EndEntry(); }

absl::Status ApplyBatch::Put(const etcdserverpb::PutRequest& request, etcdserverpb::PutResponse* response) {
  return impl_->Put(request, response);
}

absl::Status ApplyBatch::DeleteRange(const etcdserverpb::DeleteRangeRequest& request,
                                     etcdserverpb::DeleteRangeResponse* response) {
  return impl_->DeleteRange(request, response);
}

bool ApplyBatch::LeaseExists(LeaseId id) const { return impl_->Lease(id).has_value(); }
std::optional<LeaseRecord> ApplyBatch::Lease(LeaseId id) const { return impl_->Lease(id); }
absl::Status ApplyBatch::LeaseGrant(LeaseId id, int64_t ttl) { return impl_->LeaseGrant(id, ttl); }
absl::Status ApplyBatch::LeaseRevoke(LeaseId id) { return impl_->LeaseRevoke(id); }
void ApplyBatch::LeaseCheckpoint(LeaseId id, int64_t remaining_ttl) { impl_->LeaseCheckpoint(id, remaining_ttl); }

absl::Status ApplyBatch::Compact(Revision revision) { return impl_->Compact(revision); }

bool ApplyBatch::RaiseAlarm(uint64_t member_id, etcdserverpb::AlarmType alarm) {
  return impl_->RaiseAlarm({.member_id = member_id, .type = alarm});
}

bool ApplyBatch::DisarmAlarm(uint64_t member_id, etcdserverpb::AlarmType alarm) {
  return impl_->DisarmAlarm({.member_id = member_id, .type = alarm});
}

std::optional<MemberRecord> ApplyBatch::Member(uint64_t id) const { return impl_->members().Find(id); }

void ApplyBatch::SetMembership(StoredMembership membership, const std::vector<MemberRecord>& upserts) {
  membership.index = impl_->applied().index;
  impl_->EditMembers()->SetMembership(membership, upserts, impl_->member_writes());
}

absl::Status ApplyBatch::SetMemberAttributes(uint64_t member_id, std::string_view name,
                                             std::vector<std::string> client_urls, const DirectoryRecord& directory) {
  return impl_->EditMembers()->SetAttributes(member_id, name, std::move(client_urls), directory,
                                             impl_->member_writes());
}

absl::StatusOr<RangeTotals> ApplyBatch::ReadRange(const etcdserverpb::RangeRequest& request, RangeSink* sink) const {
  return impl_->Query().ReadRange(request, sink);
}

absl::StatusOr<std::optional<KeyFacts>> ApplyBatch::Find(std::string_view key) const {
  return impl_->Query().Find(key);
}

absl::StatusOr<std::string> ApplyBatch::Value(std::string_view key) const { return impl_->Query().Value(key); }

absl::Status ApplyBatch::ForEach(std::string_view key, std::string_view range_end,
                                 const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const {
  return impl_->Query().ForEach(key, range_end, visit);
}

Revision ApplyBatch::revision() const { return impl_->revision(); }
Revision ApplyBatch::compact_revision() const { return impl_->compact_revision(); }

absl::StatusOr<std::vector<RevisionEventsPtr>> ApplyBatch::Commit() { return impl_->Commit(); }

}  // namespace keel::storage
