#pragma once

// Transactions as plain code: read and write keys one by one; all of it happens at once, or again.
//
//   auto paid = keel::Atomically(client, [](keel::Stm& tx) {
//     const int ann = std::stoi(tx.Get("accounts/ann").value_or("100"));
//     const int bob = std::stoi(tx.Get("accounts/bob").value_or("100"));
//     if (ann < 10) return absl::FailedPreconditionError("ann cannot pay");  // Nothing is written.
//     tx.Put("accounts/ann", std::to_string(ann - 10));
//     tx.Put("accounts/bob", std::to_string(bob + 10));
//     return absl::OkStatus();
//   });
//   return paid.status();

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "keel/client.h"
#include "keel/types.h"

namespace keel {

namespace client {
class StmRun;
}  // namespace client

// What may have happened between the reads and the writes of a transaction that succeeds.
enum class StmIsolation {
  // Nothing to any key read or written: as if it ran alone, at one moment. All reads see one revision.
  kSerializableSnapshot,
  // Nothing to any key read; a key that is only written may have been written by others meanwhile. All reads see one
  // revision.
  kSerializable,
  // Nothing to any key read. Each read sees the newest value, so that they may disagree while the function runs; if
  // they do, it is run again.
  kRepeatableReads,
  // Anything; but it wrote all or nothing, and read only what was committed.
  kReadCommitted,
};

struct StmOptions {
  StmIsolation isolation = StmIsolation::kSerializableSnapshot;
  // How often the function may be run. Between runs that met conflicts there is a pause that grows, from about 1 ms up
  // to 100 ms, by chance.
  int attempts_max = 100;
  absl::Time deadline = absl::InfiniteFuture();
};

struct StmResponse {
  ResponseHeader header = {};  // Of the commit; for one without writes, of the reads.
  int attempts = 0;
};

// One run of a transaction; owned by one thread. A read that fails returns nullopt and ends the transaction with its
// error, whatever the function does then: see status().
class Stm {
 public:
  // The value as this transaction sees it, its own writes included. nullopt: the key does not exist. A key is read from
  // the server once.
  std::optional<std::string> Get(std::string_view key);
  // Of what is stored, whatever this transaction has written. 0: the key does not exist.
  int64_t ModRevision(std::string_view key);
  void Put(std::string_view key, std::string_view value, LeaseId lease = 0);
  void Delete(std::string_view key);

  // Not OK: a read has failed, and nothing will be written.
  const absl::Status& status() const { return status_; }

 private:
  friend class client::StmRun;
  struct Write {
    std::optional<std::string> value;  // nullopt: delete.
    LeaseId lease = 0;
  };

  explicit Stm(client::StmRun& run) : run_(run) {}
  // Null if the key does not exist, or on an error.
  const KeyValue* Fetch(std::string_view key);

  client::StmRun& run_;
  absl::Status status_;
  int64_t snapshot_ = 0;                                               // Revision of the first read; 0: none yet.
  std::map<std::string, std::optional<KeyValue>, std::less<>> reads_;  // nullopt: it did not exist.
  std::map<std::string, Write, std::less<>> writes_;
  ResponseHeader read_header_;
};

namespace client {
absl::StatusOr<StmResponse> RunStm(Client& client, const std::function<absl::Status(Stm&)>& function,
                                   const StmOptions& options);
}  // namespace client

// Runs `function`, which takes a Stm& and returns a Status or nothing, and commits what it wrote, provided that what it
// read is still so; else runs it again. It may be run many times, so it must not do anything but read and write through
// its Stm. Its error ends the transaction without a write and is returned.
//   kAborted            conflicts in all of attempts_max runs; nothing was written
//   kDeadlineExceeded   the deadline passed before a commit was sent; nothing was written
//   kUnknown            the answer to the commit was lost: it may have been executed, or may still be. Put a key of
//                       your own among the writes to find out by reading it
//   others              as Kv::Commit. At most 128 keys may be read and written, by default of the server
template <typename Function>
absl::StatusOr<StmResponse> Atomically(Client& client, Function&& function, const StmOptions& options = {}) {
  if constexpr (std::is_void_v<std::invoke_result_t<Function&, Stm&>>) {
    return client::RunStm(
        client,
        [&](Stm& tx) {
          function(tx);
          return absl::OkStatus();
        },
        options);
  } else {
    return client::RunStm(client, std::ref(function), options);
  }
}

}  // namespace keel
