#include "storage/state/state_builder.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::storage {
namespace {

constexpr size_t kBatchBytes = 1 << 20;

absl::Status Impossible(ChangeId change, std::string_view why) {
  return absl::DataLossError(
      absl::StrCat("change ", change.revision.value(), ".", change.sub, " is impossible: ", ToAbsl(why)));
}

}  // namespace

absl::StatusOr<std::unique_ptr<StateBuilder>> StateBuilder::Create(const std::string& dir,
                                                                   std::shared_ptr<StateMedium> medium) {
  if (medium->Exists(dir)) return absl::FailedPreconditionError(absl::StrCat("state: ", dir, " exists already"));
  std::unique_ptr<StateBuilder> builder(new StateBuilder());
  KEEL_ASSIGN_OR_RETURN(builder->engine_, medium->OpenEngine(dir, {.dir = dir}, nullptr));
  builder->batch_ = builder->engine_->NewBatch();
  builder->batch_->PutMeta(kFormatKey, EncodeFormat(kFormat));
  return builder;
}

absl::Status StateBuilder::Add(ChangeId change, const KeyValueFields& kv) {
  if (change.sub < 0 || change.revision <= Revision(1) || change <= last_) {
    return Impossible(change, absl::StrCat("it comes after change ", last_.revision.value(), ".", last_.sub));
  }
  if (kv.key.empty()) return Impossible(change, "it has no key");
  if (kv.mod != change.revision) {
    return Impossible(change, absl::StrCat("its key says that it was modified at revision ", kv.mod.value()));
  }
  const bool tombstone = kv.version == 0;
  if (tombstone ? kv.create.value() != 0 : kv.version < 0 || kv.create.value() < 1 || kv.create > kv.mod) {
    return Impossible(change,
                      absl::StrCat("version ", kv.version, " of a key created at revision ", kv.create.value()));
  }
  Record record;
  record.tombstone = tombstone;
  record.kv = std::make_shared<const std::string>(EncodeKeyValue(kv));
  Latest& latest = latest_[ToAbsl(kv.key)];
  if (latest.mod.exists()) {
    record.previous = latest.mod;
    record.previous_bytes = latest.stored_bytes;
    record.lineage = latest.lineage.Next(latest.mod);
  }
  latest = {.mod = change, .stored_bytes = StoredBytes(record), .lineage = record.lineage};
  batch_bytes_ += latest.stored_bytes;
  batch_->AddRecord(change, record);
  hash_.Add(tombstone ? 'd' : 'p', EncodeRecordKey(change), *record.kv);
  last_ = change;
  return batch_bytes_ >= kBatchBytes ? WriteOut() : absl::OkStatus();
}

void StateBuilder::AddLease(const LeaseRecord& lease) {
  const std::string key = LeaseKey(lease.id);
  const std::string value = EncodeLease(lease);
  batch_->PutMeta(key, value);
  hash_.Add('l', key, value);
}

absl::Status StateBuilder::WriteOut() {
  KEEL_RETURN_IF_ERROR(engine_->Write(batch_.get()));
  batch_ = engine_->NewBatch();
  batch_bytes_ = 0;
  return absl::OkStatus();
}

absl::Status StateBuilder::Finish(Revision compact) {
  const StatePoint point{
      .applied = {}, .current = std::max(last_.revision, compact), .compact = compact, .hash = hash_.value()};
  batch_->PutMeta(kPointKey, EncodePoint(point));
  if (point.current > last_.revision)
    batch_->PutMeta(kAdvancedKey, EncodeNumber(static_cast<uint64_t>(point.current.value())));
  KEEL_RETURN_IF_ERROR(WriteOut());
  KEEL_RETURN_IF_ERROR(engine_->Flush());
  batch_.reset();
  engine_.reset();
  return absl::OkStatus();
}

}  // namespace keel::storage
