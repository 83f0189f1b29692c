#include "keel/list_watcher.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "keel/client.h"

namespace keel {

ListWatcher::ListWatcher(Client& client, std::string_view key, const ListWatchOptions& options)
    : client_(client),
      key_(key),
      options_(options),
      list_error_(absl::UnavailableError("nothing has been read yet")),
      down_since_(absl::Now()) {}

ListWatcher::~ListWatcher() { Cancel(); }

void ListWatcher::Cancel() {
  stop_.request_stop();
  absl::MutexLock lock(&mu_);
  if (watcher_ != nullptr) watcher_->Cancel();
}

absl::StatusOr<ListWatchResponse> ListWatcher::Next(absl::Time deadline) {
  while (true) {
    std::shared_ptr<Watcher> watcher;
    {
      absl::MutexLock lock(&mu_);
      watcher = watcher_;
    }
    if (stop_.stop_requested()) return absl::CancelledError("the list-watch was cancelled");
    if (watcher == nullptr) {
      absl::StatusOr<ListWatchResponse> list = List(deadline);
      // The revision was compacted while it was read: the next is newer.
      if (absl::IsOutOfRange(list.status()) && absl::Now() < deadline) continue;
      if (!list.ok()) {
        absl::MutexLock lock(&mu_);
        list_error_ = list.status();
      }
      return list;
    }
    absl::StatusOr<WatchResponse> next = watcher->Next(deadline);
    if (absl::IsOutOfRange(next.status()) || (next.ok() && next->canceled && next->compact_revision > 0)) {
      absl::MutexLock lock(&mu_);
      compact_revision_ = watcher->compact_revision();
      list_error_ = absl::UnavailableError(
          absl::StrCat("history below revision ", compact_revision_, " is gone; the range is read anew"));
      down_since_ = absl::Now();
      watcher_ = nullptr;
      continue;
    }
    if (!next.ok()) return next.status();
    if (next->canceled) continue;  // The reason comes next.
    ListWatchResponse response{.events = std::move(next->events)};
    // While it catches up, a watch has not seen all that the header's revision says.
    response.revision = response.events.empty() ? next->header.revision : response.events.back().kv.mod_revision;
    return response;
  }
}

absl::StatusOr<ListWatchResponse> ListWatcher::List(absl::Time deadline) {
  ListWatchResponse list{.is_list = true};
  size_t bytes = 0;
  CallOptions call{.cancel = stop_.get_token()};
  if (deadline < absl::InfiniteFuture()) call.timeout = std::max(deadline - absl::Now(), absl::ZeroDuration());
  const RangeOptions range = {
      .range_end = options_.range_end, .prefix = options_.prefix, .from_key = options_.from_key};
  KEEL_ASSIGN_OR_RETURN(const RangeResponse end,
                        client_.kv().GetStream(
                            key_, range,
                            [&](std::vector<KeyValue> kvs) {
                              for (KeyValue& kv : kvs) {
                                bytes += kv.key.size() + kv.value.size();
                                list.kvs.push_back(std::move(kv));
                              }
                              if (options_.list_bytes_max == 0 || bytes <= options_.list_bytes_max) {
                                return absl::OkStatus();
                              }
                              return absl::ResourceExhaustedError(absl::StrCat(
                                  "the keys below '", ToAbsl(key_), "' and their values take more than the ",
                                  options_.list_bytes_max, " bytes that are allowed"));
                            },
                            call));
  list.revision = end.header.revision;
  std::shared_ptr<Watcher> watcher = client_.Watch(key_, {.range_end = options_.range_end,
                                                          .prefix = options_.prefix,
                                                          .from_key = options_.from_key,
                                                          .start_revision = list.revision + 1,
                                                          .prev_kv = options_.prev_kv,
                                                          .buffer_bytes_max = options_.buffer_bytes_max});
  absl::MutexLock lock(&mu_);
  list.compact_revision = std::exchange(compact_revision_, 0);
  watcher_ = std::move(watcher);
  if (stop_.stop_requested()) watcher_->Cancel();  // Cancel() came before there was one.
  return list;
}

absl::Status ListWatcher::RequestProgress() {
  absl::MutexLock lock(&mu_);
  if (watcher_ == nullptr) return list_error_;
  return watcher_->RequestProgress();
}

Watcher::Connection ListWatcher::connection() const {
  absl::MutexLock lock(&mu_);
  if (watcher_ == nullptr) return {.status = list_error_, .since = down_since_};
  return watcher_->connection();
}

}  // namespace keel
