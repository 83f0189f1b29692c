#pragma once

// The engine on RocksDB: its options, its two column families (`hist`, and the default one as `meta`), and its errors
// as absl::Status. There is no write-ahead log; atomic flush makes a crash come back to exactly some earlier batch of
// writes (facebook/rocksdb, atomic flush without WAL).

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "rocksdb/status.h"
#include "storage/state/engine.h"
#include "storage/state/state_store.h"

namespace keel::storage {

// kNotFound for NotFound; kDataLoss for corruption; kResourceExhausted for a full disk; kFailedPrecondition when
// another process holds it; kInternal else. `what` says what was being done.
absl::Status FromRocks(const rocksdb::Status& status, std::string_view what);

// Creates the database when missing.
absl::StatusOr<std::unique_ptr<Engine>> OpenRocksEngine(const std::string& dir, const StateOptions& options,
                                                        std::shared_ptr<FlushSignal> signal);

// The point that a checkpoint's files stand for; changes nothing there.
absl::StatusOr<StatePoint> ReadRocksPoint(const std::string& dir);

}  // namespace keel::storage
