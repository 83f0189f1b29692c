#pragma once

// Everything there is, then everything that happens, and everything again when history has been lost.
//
//   keel::ListWatcher config(client, "config/", {.prefix = true});
//   while (HasWork()) {
//     auto next = config.Next();
//     if (!next.ok()) return next.status();
//     if (next->is_list) ReplaceAll(next->kvs);  // At first, and after a compaction that it fell behind.
//     for (const keel::Event& event : next->events) Apply(event);
//   }

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "keel/types.h"
#include "keel/watch.h"

namespace keel {

class Client;

// Keys as in RangeOptions.
struct ListWatchOptions {
  std::string range_end = {};
  bool prefix = false;
  bool from_key = false;
  bool prev_kv = false;                       // As in WatchOptions.
  size_t list_bytes_max = 0;                  // Of the keys and values of one list; 0: no limit.
  size_t buffer_bytes_max = 8 * 1024 * 1024;  // As in WatchOptions.
};

struct ListWatchResponse {
  // Everything up to and including this revision is known after this response.
  int64_t revision = 0;
  // `kvs` is all there is at `revision`, in the order of the keys; what is not in it is gone.
  bool is_list = false;
  std::vector<KeyValue> kvs = {};
  // A list because history below this revision was gone; 0: the first one.
  int64_t compact_revision = 0;
  // What happened since the response before; both this and `kvs` empty: nothing did (progress).
  std::vector<Event> events = {};
};

// A watch that begins with what is there, and that a compaction cannot end. Thread-safe, though only one Next() at a
// time makes sense. The Client must outlive it; the destructor does not wait for the network.
class ListWatcher {
 public:
  ListWatcher(Client& client, std::string_view key, const ListWatchOptions& options = {});
  ~ListWatcher();
  ListWatcher(const ListWatcher&) = delete;
  ListWatcher& operator=(const ListWatcher&) = delete;

  // Blocks for the next response. After an error it may be called again and goes on without a gap, but not after
  //   kCancelled           Cancel() was called, or the Client is gone
  //   kResourceExhausted   the list is larger than list_bytes_max
  // kUnavailable, kDeadlineExceeded: as Kv::Get, while it reads the list. kDeadlineExceeded also: nothing until
  // `deadline`.
  absl::StatusOr<ListWatchResponse> Next(absl::Time deadline = absl::InfiniteFuture());

  // Asks the member how far the watch has come; see Watcher::RequestProgress. kUnavailable also while a list is read.
  absl::Status RequestProgress();
  void Cancel();

  // See Watcher::connection. Not OK either before the first list, and while a list is read anew.
  Watcher::Connection connection() const;

 private:
  absl::StatusOr<ListWatchResponse> List(absl::Time deadline);

  Client& client_;
  const std::string key_;
  const ListWatchOptions options_;
  std::stop_source stop_;

  mutable absl::Mutex mu_;
  std::shared_ptr<Watcher> watcher_ ABSL_GUARDED_BY(mu_);  // Null while a list is to be read; shared with Next().
  int64_t compact_revision_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Status list_error_ ABSL_GUARDED_BY(mu_);
  absl::Time down_since_ ABSL_GUARDED_BY(mu_);
};

}  // namespace keel
