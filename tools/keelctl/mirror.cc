#include "tools/keelctl/mirror.h"

#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"

namespace keel::ctl {
namespace {

constexpr absl::Duration kLook = absl::Milliseconds(200);
// Long enough for a destination without a leader to find one.
constexpr absl::Duration kCommitTimeout = absl::Seconds(30);

absl::Status At(const char* where, const absl::Status& status) {
  return status.ok() ? status : absl::Status(status.code(), absl::StrCat(where, ": ", status.message()));
}

}  // namespace

Mirror::Mirror(Client& source, Client& destination, MirrorOptions options, Progress copied)
    : source_(source), destination_(destination), options_(std::move(options)), copied_(std::move(copied)) {}

std::string Mirror::DestinationKey(std::string_view key) const {
  return absl::StrCat(options_.dest_prefix, ToAbsl(key.substr(options_.prefix.size())));
}

absl::Status Mirror::Commit(std::vector<Op> ops, int64_t position) {
  const bool remembers = !options_.position_key.empty();
  const size_t room = options_.txn_ops_max - (remembers ? 1 : 0);
  size_t next = 0;
  do {
    Txn txn;
    while (next < ops.size() && txn.then_ops().size() < room) txn.Then(std::move(ops[next++]));
    if (remembers && next == ops.size() && position > 0) txn.Then(Put(options_.position_key, absl::StrCat(position)));
    if (txn.then_ops().empty()) return absl::OkStatus();
    // A second execution of the same puts and deletes changes nothing but revisions.
    auto done = destination_.kv().Commit(txn, {.timeout = kCommitTimeout, .repeat = Repeat::kAlways});
    if (!done.ok()) return At("destination", done.status());
  } while (next < ops.size());
  return absl::OkStatus();
}

absl::StatusOr<int64_t> Mirror::StoredPosition() {
  if (options_.position_key.empty()) return 0;
  auto stored = destination_.kv().Get(options_.position_key);
  if (!stored.ok()) return At("destination", stored.status());
  if (stored->kvs.empty()) return 0;
  int64_t position = 0;
  if (!absl::SimpleAtoi(stored->kvs.front().value, &position) || position <= 0) {
    return absl::InvalidArgumentError(absl::StrCat("the destination's ", options_.position_key, " holds '",
                                                   stored->kvs.front().value,
                                                   "', not a revision: delete it to copy "
                                                   "everything again"));
  }
  return position;
}

absl::StatusOr<int64_t> Mirror::CopyAll() {
  auto counted = source_.kv().Get(options_.prefix, {.prefix = true, .count_only = true});
  if (!counted.ok()) return At("source", counted.status());
  const int64_t revision = counted->header.revision;
  absl::Status failed;
  auto streamed =
      source_.kv().GetStream(options_.prefix, {.prefix = true, .revision = revision}, [&](std::vector<KeyValue> kvs) {
        std::vector<Op> ops;
        for (KeyValue& kv : kvs) ops.push_back(Put(DestinationKey(kv.key), kv.value));
        failed = Commit(std::move(ops), 0);
        if (failed.ok()) copied_(static_cast<int64_t>(kvs.size()), counted->count);
        return failed;
      });
  if (!failed.ok()) return failed;
  if (!streamed.ok()) return At("source", streamed.status());
  KEEL_RETURN_IF_ERROR(Commit({}, revision));
  return revision;
}

absl::Status Mirror::Follow(int64_t from_revision, const std::function<bool()>& interrupted) {
  auto watcher = source_.Watch(options_.prefix, {.prefix = true, .start_revision = from_revision});
  while (!interrupted()) {
    auto response = watcher->Next(absl::Now() + kLook);
    if (absl::IsDeadlineExceeded(response.status())) continue;
    if (!response.ok()) {
      return absl::Status(response.status().code(),
                          absl::StrCat("source: ", response.status().message(),
                                       watcher->compact_revision() > 0
                                           ? ": it has compacted what comes next. Copy everything again: start without "
                                             "--rev, and delete the key of --resume if there is one"
                                           : ""));
    }
    // All events of a revision come in one response; each revision is one transaction there.
    size_t next = 0;
    while (next < response->events.size()) {
      const int64_t revision = response->events[next].kv.mod_revision;
      std::vector<Op> ops;
      for (; next < response->events.size() && response->events[next].kv.mod_revision == revision; ++next) {
        const Event& event = response->events[next];
        const std::string key = DestinationKey(event.kv.key);
        if (event.type == Event::Type::kPut) {
          ops.push_back(Put(key, event.kv.value));
        } else {
          ops.push_back(Delete(key));
        }
      }
      const int64_t keys = static_cast<int64_t>(ops.size());
      KEEL_RETURN_IF_ERROR(Commit(std::move(ops), revision));
      copied_(keys, 0);
    }
  }
  return absl::CancelledError("interrupted");
}

absl::Status Mirror::Run(const std::function<bool()>& interrupted) {
  if (options_.start_revision > 0) return Follow(options_.start_revision, interrupted);
  KEEL_ASSIGN_OR_RETURN(int64_t position, StoredPosition());
  if (position == 0) {
    KEEL_ASSIGN_OR_RETURN(position, CopyAll());
  }
  return Follow(position + 1, interrupted);
}

}  // namespace keel::ctl
