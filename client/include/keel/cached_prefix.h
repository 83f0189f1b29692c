#pragma once

// All keys with a prefix, held here in order and kept current.
//
//   auto users = keel::CachedPrefix::Open(client, "users/");
//   if (!users.ok()) return users.status();
//   keel::PrefixView view = (*users)->view();  // Of one revision; stays as it is.
//   if (const keel::KeyValue* ann = view.Find("users/ann")) Greet(ann->value);
//   for (const keel::KeyValue& user : view.Range("users/a", "users/b")) Index(user);
//   auto put = client.kv().Put("users/bob", "Bob");
//   if (auto s = (*users)->WaitUntil(put->header.revision); !s.ok()) return s;  // Now view() has bob.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "keel/list_watcher.h"
#include "keel/types.h"

namespace keel {

class Client;

namespace client {
struct KvNode;
}  // namespace client

// The pairs as they were at one revision, in the order of their keys. A value: copies are cheap and share everything,
// also with later views but for what has changed. What it points to lives as long as some copy of it.
// Thread-compatible.
class PrefixView {
 public:
  class Iterator {
   public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = KeyValue;
    using difference_type = std::ptrdiff_t;
    using pointer = const KeyValue*;
    using reference = const KeyValue&;

    const KeyValue& operator*() const;
    const KeyValue* operator->() const { return &**this; }
    Iterator& operator++();
    Iterator operator++(int);
    friend bool operator==(const Iterator& a, const Iterator& b) { return a.path_ == b.path_; }

   private:
    friend class PrefixView;
    std::vector<const client::KvNode*> path_;  // To the pair, and those to come back to; empty: the end.
  };
  // What a loop takes.
  struct Interval {
    Iterator first, last;
    Iterator begin() const { return first; }
    Iterator end() const { return last; }
  };

  PrefixView() = default;
  // Of pairs that were read otherwise. REQUIRES: in the order of their keys, no key twice.
  PrefixView(std::vector<KeyValue> sorted, int64_t revision);

  int64_t revision() const { return revision_; }
  size_t size() const;
  bool empty() const { return root_ == nullptr; }
  // Of all keys and values.
  size_t bytes() const;

  // Null if there is no such key.
  const KeyValue* Find(std::string_view key) const;
  Iterator begin() const { return LowerBound(""); }
  Iterator end() const { return {}; }
  // The first pair whose key is not less.
  Iterator LowerBound(std::string_view key) const;
  // The keys of [first, last).
  Interval Range(std::string_view first, std::string_view last) const;
  // The keys that begin with `prefix`.
  Interval WithPrefix(std::string_view prefix) const;

 private:
  friend class CachedPrefix;
  std::shared_ptr<const client::KvNode> root_;
  int64_t revision_ = 0;
};

// What has happened between two views. `before` is null for a new key, `after` for one that is gone.
struct PrefixChange {
  const KeyValue* before = nullptr;
  const KeyValue* after = nullptr;
};
struct PrefixUpdate {
  PrefixView before;
  PrefixView after;
  std::vector<PrefixChange> changes;  // One per key, in the order of the keys; point into the views.
  bool is_first = false;              // The first list; `before` is empty.
  // History was gone, so the range was read anew; `changes` are what really differs, with what came in between left
  // out.
  bool is_resync = false;
};

struct CachedPrefixOptions {
  // Of all keys and values together. Beyond it the cache ends with kResourceExhausted. 0: no limit. What the cache
  // takes is about 250 bytes a key more.
  size_t bytes_max = 0;
  // Told of every update, in order (the first one by Open() itself, then on the cache's thread), when view() shows it
  // already. It may take its time (the server is held back then) and may use the client, but must not destroy the
  // cache.
  std::function<void(const PrefixUpdate&)> on_update = nullptr;
  // Told once if the cache ends by itself: bytes_max, or the server refuses (no permission).
  std::function<void(const absl::Status&)> on_end = nullptr;
  // How long Open() may take for the first list.
  absl::Duration open_timeout = absl::Seconds(30);
};

// Reads the range once, at one revision, then follows a watch on a thread of its own; after a compaction that it fell
// behind it reads anew and reports what differs. Views never go back and hold whole revisions only. While no member can
// be reached it shows what it knew, and says so. Thread-safe; the Client must outlive it. The destructor cancels, and
// waits for the thread (for a callback that runs), not for the network.
class CachedPrefix {
 public:
  // Returns when the first list is there. An empty prefix is every key. Errors as Kv::Get, and kResourceExhausted.
  static absl::StatusOr<std::unique_ptr<CachedPrefix>> Open(Client& client, std::string_view prefix,
                                                            const CachedPrefixOptions& options = {});
  ~CachedPrefix();
  CachedPrefix(const CachedPrefix&) = delete;
  CachedPrefix& operator=(const CachedPrefix&) = delete;

  const std::string& prefix() const { return prefix_; }
  // The newest state, at the price of copying a pointer.
  PrefixView view() const;
  std::optional<KeyValue> Get(std::string_view key) const;

  // Until view().revision() is at least `revision`, also one at which other keys were written, and on_update has
  // returned from telling so; not to be called from there. kDeadlineExceeded; or the status with which the cache ended.
  absl::Status WaitUntil(int64_t revision, absl::Time deadline = absl::InfiniteFuture());

  // OK: a member is sending, view() is as new as the way from there is long. Else why not, and since when changes may
  // be missing from view(). kCancelled, kResourceExhausted, kPermissionDenied: for ever.
  Watcher::Connection connection() const;

 private:
  CachedPrefix(Client& client, std::string_view prefix, const CachedPrefixOptions& options);
  void Run();
  // Makes `response` the newest view.
  absl::Status Show(ListWatchResponse response);
  void EndWith(absl::Status status);

  const std::string prefix_;
  const CachedPrefixOptions options_;
  ListWatcher source_;

  mutable absl::Mutex mu_;
  PrefixView view_ ABSL_GUARDED_BY(mu_);
  int64_t told_ ABSL_GUARDED_BY(mu_) = 0;  // Revision up to which on_update has returned.
  absl::Status end_ ABSL_GUARDED_BY(mu_);  // Not OK: the thread has ended.
  absl::Time ended_at_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  bool closing_ ABSL_GUARDED_BY(mu_) = false;
  std::thread thread_;
};

}  // namespace keel
