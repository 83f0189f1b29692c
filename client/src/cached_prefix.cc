#include "keel/cached_prefix.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "client/src/kv_tree.h"
#include "client/src/retry_policy.h"
#include "keel/client.h"

namespace keel {
namespace {

using client::KvNode;
using client::KvTree;

// Between attempts to read the list that failed at once.
constexpr absl::Duration kListPause = absl::Milliseconds(100);
// WaitUntil() waits so long for an event of its own accord before it asks how far the watch has come, and twice as long
// each time it asks again.
constexpr absl::Duration kFirstProgressPause = absl::Milliseconds(10);
constexpr absl::Duration kLongestProgressPause = absl::Milliseconds(500);

absl::Status TooLarge(std::string_view prefix, size_t bytes_max) {
  return absl::ResourceExhaustedError(absl::StrCat("the keys below '", ToAbsl(prefix),
                                                   "' and their values take more than the ", bytes_max,
                                                   " bytes that are allowed"));
}

}  // namespace

const KeyValue& PrefixView::Iterator::operator*() const { return *path_.back()->kv; }

PrefixView::Iterator& PrefixView::Iterator::operator++() {
  const KvNode* next = path_.back()->right.get();
  path_.pop_back();
  for (; next != nullptr; next = next->left.get()) path_.push_back(next);
  return *this;
}

PrefixView::Iterator PrefixView::Iterator::operator++(int) {
  Iterator before = *this;
  ++*this;
  return before;
}

PrefixView::PrefixView(std::vector<KeyValue> sorted, int64_t revision)
    : root_(client::BuildTree(std::move(sorted))), revision_(revision) {}

size_t PrefixView::size() const { return client::SizeOf(root_); }

size_t PrefixView::bytes() const { return client::BytesOf(root_); }

const KeyValue* PrefixView::Find(std::string_view key) const { return client::Find(root_, key); }

PrefixView::Iterator PrefixView::LowerBound(std::string_view key) const {
  Iterator at;
  for (const KvNode* node = root_.get(); node != nullptr;) {
    if (node->kv->key < key) {
      node = node->right.get();
    } else {
      at.path_.push_back(node);
      node = node->left.get();
    }
  }
  return at;
}

PrefixView::Interval PrefixView::Range(std::string_view first, std::string_view last) const {
  if (last < first) last = first;
  return {.first = LowerBound(first), .last = LowerBound(last)};
}

PrefixView::Interval PrefixView::WithPrefix(std::string_view prefix) const {
  const std::string end = PrefixEnd(prefix);
  return {.first = LowerBound(prefix), .last = end == std::string_view("\0", 1) ? Iterator() : LowerBound(end)};
}

absl::StatusOr<std::unique_ptr<CachedPrefix>> CachedPrefix::Open(Client& client, std::string_view prefix,
                                                                 const CachedPrefixOptions& options) {
  std::unique_ptr<CachedPrefix> cache(new CachedPrefix(client, prefix, options));
  // Not in the background: whoever opens a cache wants to hear at once that nobody is there.
  const absl::Time deadline = absl::Now() + options.open_timeout;
  KEEL_ASSIGN_OR_RETURN(ListWatchResponse list, cache->source_.Next(deadline));
  KEEL_RETURN_IF_ERROR(cache->Show(std::move(list)));
  cache->thread_ = std::thread([cache = cache.get()] { cache->Run(); });
  return cache;
}

CachedPrefix::CachedPrefix(Client& client, std::string_view prefix, const CachedPrefixOptions& options)
    : prefix_(prefix),
      options_(options),
      source_(client, prefix, {.prefix = true, .list_bytes_max = options.bytes_max}) {}

CachedPrefix::~CachedPrefix() {
  {
    absl::MutexLock lock(&mu_);
    closing_ = true;
  }
  source_.Cancel();
  if (thread_.joinable()) thread_.join();
}

void CachedPrefix::Run() {
  while (true) {
    absl::StatusOr<ListWatchResponse> next = source_.Next();
    absl::Status status = next.status();
    if (next.ok()) status = Show(*std::move(next));
    if (status.ok()) continue;
    if (!client::IsWorthAnotherTry(status)) return EndWith(std::move(status));
    absl::MutexLock lock(&mu_);
    mu_.AwaitWithTimeout(absl::Condition(&closing_), kListPause);
  }
}

absl::Status CachedPrefix::Show(ListWatchResponse response) {
  const PrefixView before = view();
  PrefixUpdate update{.before = before, .is_first = before.revision_ == 0};
  update.is_resync = response.is_list && !update.is_first;
  update.after.revision_ = std::max(before.revision_, response.revision);
  if (response.is_list) {
    update.after.root_ = client::BuildTree(std::move(response.kvs));
    // Both are in order: what is only in one, or newer in one, has changed.
    auto was = before.begin();
    auto is = update.after.begin();
    while (was != before.end() || is != update.after.end()) {
      const int order = was == before.end() ? 1 : is == update.after.end() ? -1 : was->key.compare(is->key);
      if (order < 0) {
        update.changes.push_back({.before = &*was, .after = nullptr});
      } else if (order > 0) {
        update.changes.push_back({.before = nullptr, .after = &*is});
      } else if (was->mod_revision != is->mod_revision) {
        update.changes.push_back({.before = &*was, .after = &*is});
      }
      if (order <= 0) ++was;
      if (order >= 0) ++is;
    }
  } else {
    update.after.root_ = before.root_;
    std::map<std::string, int> touched;  // In order, and each key once.
    for (Event& event : response.events) {
      touched[event.kv.key];
      if (event.type == Event::Type::kDelete) {
        update.after.root_ = client::Without(update.after.root_, event.kv.key);
      } else {
        update.after.root_ = client::With(update.after.root_, std::move(event.kv));
      }
    }
    for (const auto& [key, unused] : touched) {
      const PrefixChange change = {.before = before.Find(key), .after = update.after.Find(key)};
      // A key that came and went within the response has not changed.
      if (change.before != nullptr || change.after != nullptr) update.changes.push_back(change);
    }
  }
  if (options_.bytes_max > 0 && update.after.bytes() > options_.bytes_max) {
    return TooLarge(prefix_, options_.bytes_max);
  }
  {
    absl::MutexLock lock(&mu_);
    view_ = update.after;
  }
  if (options_.on_update != nullptr && (update.is_first || !update.changes.empty())) options_.on_update(update);
  absl::MutexLock lock(&mu_);
  told_ = update.after.revision_;
  return absl::OkStatus();
}

void CachedPrefix::EndWith(absl::Status status) {
  bool by_itself = false;
  {
    absl::MutexLock lock(&mu_);
    end_ = status;
    ended_at_ = absl::Now();
    by_itself = !closing_;
  }
  source_.Cancel();
  if (by_itself && options_.on_end != nullptr) options_.on_end(status);
}

PrefixView CachedPrefix::view() const {
  absl::MutexLock lock(&mu_);
  return view_;
}

std::optional<KeyValue> CachedPrefix::Get(std::string_view key) const {
  const PrefixView now = view();
  const KeyValue* kv = now.Find(key);
  return kv == nullptr ? std::nullopt : std::optional<KeyValue>(*kv);
}

absl::Status CachedPrefix::WaitUntil(int64_t revision, absl::Time deadline) {
  const auto is_over = [this, revision]()
                           ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return told_ >= revision || !end_.ok(); };
  for (absl::Duration pause = kFirstProgressPause;; pause = std::min(2 * pause, kLongestProgressPause)) {
    {
      absl::MutexLock lock(&mu_);
      mu_.AwaitWithDeadline(absl::Condition(&is_over), std::min(deadline, absl::Now() + pause));
      if (told_ >= revision) return absl::OkStatus();
      if (!end_.ok()) return end_;
    }
    if (absl::Now() >= deadline) break;
    // The write was perhaps of another key: then only the member can say that nothing is missing. It need not answer
    // while it is busy with the watch, so it is asked again.
    source_.RequestProgress().IgnoreError();
  }
  const Watcher::Connection now = connection();
  if (now.status.ok()) return absl::DeadlineExceededError(absl::StrCat("revision ", revision, " has not come in time"));
  return absl::DeadlineExceededError(
      absl::StrCat("revision ", revision, " has not come in time: ", now.status.message()));
}

Watcher::Connection CachedPrefix::connection() const {
  {
    absl::MutexLock lock(&mu_);
    if (!end_.ok()) return {.status = end_, .since = ended_at_};
  }
  return source_.connection();
}

}  // namespace keel
