#include "storage/state/engine.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/string_view.h"

namespace keel::storage {

void FlushSignal::SetListener(std::function<void()> listener) {
  absl::MutexLock lock(&mu_);
  listener_ = std::move(listener);
}

void FlushSignal::Notify() {
  absl::MutexLock lock(&mu_);
  if (listener_) listener_();
}

void EngineBatch::AddRecord(ChangeId change, const Record& record) {
  Put(Family::kHist, EncodeRecordKey(change), EncodeRecordHeader(record), *record.kv);
}

void EngineBatch::DeleteRecord(ChangeId change) { Delete(Family::kHist, EncodeRecordKey(change)); }

absl::StatusOr<Record> ParseRecord(ChangeId change, std::string_view stored) {
  std::optional<RecordView> view = DecodeRecord(stored);
  if (!view.has_value()) {
    return absl::DataLossError(absl::StrCat("state: the record of change ", change.revision.value(), ".", change.sub,
                                            " is damaged; restore this member from a snapshot"));
  }
  return Record{.tombstone = view->tombstone,
                .previous = view->previous,
                .previous_bytes = view->previous_bytes,
                .lineage = view->lineage,
                .kv = std::make_shared<const std::string>(view->kv)};
}

std::string ReadOf(ChangeId change) {
  return absl::StrCat("read of change ", change.revision.value(), ".", change.sub);
}

absl::StatusOr<StatePoint> ParsePoint(std::string_view stored, std::string_view place) {
  std::optional<StatePoint> point = DecodePoint(stored);
  if (!point.has_value()) {
    return absl::DataLossError(absl::StrCat("state: ", ToAbsl(place), ": the stored applied position is damaged"));
  }
  return *point;
}

}  // namespace keel::storage
