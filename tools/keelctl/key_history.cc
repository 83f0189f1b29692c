#include "tools/keelctl/key_history.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"

namespace keel::ctl {
namespace {

constexpr absl::Duration kAskAgain = absl::Milliseconds(20);

// The changes in [from, to], the last `limit` of them. kOutOfRange: compacted; *compact_revision says up to where.
absl::StatusOr<std::deque<Event>> ReadChanges(Client& client, const std::string& key, int64_t from, int64_t to,
                                              size_t limit, absl::Time deadline, int64_t* compact_revision) {
  std::deque<Event> changes;
  auto watcher = client.Watch(key, {.start_revision = from});
  while (true) {
    auto response = watcher->Next(std::min(deadline, absl::Now() + kAskAgain));
    if (absl::IsDeadlineExceeded(response.status())) {
      if (absl::Now() >= deadline) return response.status();
      // Until the watch has caught up the request may go unanswered, so it is repeated.
      if (absl::Status asked = watcher->RequestProgress(); !asked.ok() && !absl::IsUnavailable(asked)) return asked;
      continue;
    }
    if (!response.ok()) {
      *compact_revision = watcher->compact_revision();
      return response.status();
    }
    for (Event& event : response->events) {
      if (event.kv.mod_revision > to) return changes;
      changes.push_back(std::move(event));
      if (limit > 0 && changes.size() > limit) changes.pop_front();
    }
    if (!response->canceled && !response->created && response->header.revision >= to && response->events.empty()) {
      return changes;
    }
  }
}

}  // namespace

absl::StatusOr<KeyHistory> ReadHistory(Client& client, const std::string& key, size_t limit, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  auto now = client.kv().Get(key, {.count_only = true});
  if (!now.ok()) return now.status();
  KeyHistory history{.revision = now->header.revision};
  auto changes = ReadChanges(client, key, 1, history.revision, limit, deadline, &history.compact_revision);
  // Compactions may go on while we read: once more for each.
  while (!changes.ok() && absl::IsOutOfRange(changes.status()) && history.compact_revision > 0) {
    const int64_t kept = history.compact_revision;
    // At the compact revision itself only what was there then is known.
    auto base = client.kv().Get(key, {.revision = kept});
    if (!base.ok() && !absl::IsOutOfRange(base.status())) return base.status();
    changes = kept >= history.revision
                  ? std::deque<Event>()
                  : ReadChanges(client, key, kept + 1, history.revision, limit, deadline, &history.compact_revision);
    if (changes.ok() && base.ok() && !base->kvs.empty() && (limit == 0 || changes->size() < limit)) {
      changes->push_front({.type = Event::Type::kPut, .kv = base->kvs.front()});
    }
  }
  if (!changes.ok()) return changes.status();
  history.changes.assign(std::make_move_iterator(changes->begin()), std::make_move_iterator(changes->end()));
  return history;
}

KeyAt ParseKeyAt(const std::string& text) {
  const size_t at = text.rfind('@');
  KeyAt result{.key = text};
  int64_t revision = 0;
  if (at == std::string::npos || at == 0 || !absl::SimpleAtoi(text.substr(at + 1), &revision) || revision < 0) {
    return result;
  }
  return {.key = text.substr(0, at), .revision = revision};
}

}  // namespace keel::ctl
