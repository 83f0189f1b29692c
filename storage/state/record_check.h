#pragma once

// What must be true of a record that the index or another record points to at a readable revision.

#include <optional>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "base/string_view.h"
#include "storage/state/record.h"

namespace keel::storage {

inline absl::Status DamagedRecord(ChangeId change, std::string_view how) {
  return absl::DataLossError(absl::StrCat("state: the record of change ", change.revision.value(), ".", change.sub, " ",
                                          ToAbsl(how), "; restore this member from a snapshot"));
}

// It must be there.
inline absl::Status MustExist(absl::Status status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::DataLossError(absl::StrCat(status.message(), "; restore this member from a snapshot"));
}

// It must be a pair; the views point into `kv`.
inline absl::StatusOr<KeyValueFields> PairOf(ChangeId change, std::string_view kv) {
  std::optional<KeyValueFields> fields = DecodeKeyValue(kv);
  if (!fields.has_value()) return DamagedRecord(change, "cannot be decoded");
  return *fields;
}

}  // namespace keel::storage
