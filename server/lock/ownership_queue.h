#pragma once

// Where callers stand in line for a name: a key per caller under a prefix, served in the order of their creation. This
// is the convention that clients of every language follow (rpc.md sections 2.13, 2.14), so that a lock taken through
// the service and one taken by a client library exclude each other.
//
// Whoever waits watches one key, the one right ahead of its own, so a release wakes one waiter; and its own key, so
// that it stops waiting when its lease ends.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/drive.h"
#include "proto/kv.pb.h"
#include "server/lock/pending_call.h"
#include "server/member.h"
#include "storage/revision.h"

namespace keel::server {

// `prefix` + the lease in lowercase hex without padding; a negative id is a minus sign and its magnitude.
std::string OwnershipKey(std::string_view prefix, int64_t lease);
// The first key that does not begin with `prefix`; "\0", everything, when there is none.
std::string PrefixEnd(std::string_view prefix);
// Errors from below lose their code and keep their text.
absl::Status AsUnknown(const absl::Status& status);

// What a caller who stands in line brings along.
struct TurnRequest {
  std::string prefix;  // Ends in '/'.
  int64_t lease = 0;   // 0: a fresh one of 60 s, which nobody renews.
  std::string value;   // Of the own key.
  // The same lease may stand in line already, as after a retry; then its place is kept.
  enum class OnExisting { kKeepValue, kReplaceValue } on_existing = OnExisting::kKeepValue;
  const char* gone_text = "";  // The kUnknown error when the own key vanishes before its turn has come.
};

// Whose turn it is.
struct Turn {
  std::string key;                 // Own key.
  int64_t lease = 0;               // Its lease.
  storage::Revision create;        // Its create_revision, which only grows from holder to holder: the fencing token.
  storage::Revision queued_at;     // Revision of the transaction that queued it.
  storage::Revision confirmed_at;  // Revision at which it was known to be first; queued_at when it did not wait.
};

// Thread-safe. One thread and one watch stream serve all callers. Completions are called on that thread or any other
// and must not block.
class OwnershipQueue {
 public:
  struct Options {
    size_t calls_max = 100000;  // Calls in progress; beyond it "etcdserver: too many requests".
    Drive drive = Drive::kThread;
    std::optional<uint64_t> seed;  // Of lease ids it chooses; nullopt: by chance.
  };

  // `member` and what it points to outlive it; its hub has been started before the first call.
  static std::shared_ptr<OwnershipQueue> Create(const Member* member, const Options& options);
  static std::shared_ptr<OwnershipQueue> Create(const Member* member) { return Create(member, Options()); }
  virtual ~OwnershipQueue() = default;

  // Every call in progress gets kUnavailable "etcdserver: server stopped", later ones too. To be called before
  // proposer, hub and node are stopped. Idempotent, blocks until the thread has ended.
  virtual void Stop() = 0;

  // With Drive::kOwner, after every call of others: does what the thread would. True: call again.
  virtual bool Poll() = 0;

  // Queues a key and waits until no key under the prefix is older. Not OK: the key is gone or on its way out, unless
  // its proposal timed out, in which case it may stand in line as long as its lease lives.
  virtual std::shared_ptr<PendingCall> AwaitTurn(TurnRequest request,
                                                 absl::AnyInvocable<void(absl::StatusOr<Turn>)> done) = 0;

  // Follows the oldest key under a prefix: its pair, each later one, and after its end the next oldest.
  class Follower : public PendingCall {
   public:
    struct Item {
      mvccpb::KeyValue kv;
      storage::Revision revision;  // Of the state it was seen in.
    };
    // One item at a time; `done` is called once, with the next one or the error that ends it all. A slow caller misses
    // items in between, never the latest.
    virtual void Next(absl::AnyInvocable<void(absl::StatusOr<Item>)> done) = 0;
  };
  virtual std::shared_ptr<Follower> Follow(std::string prefix) = 0;

  // The oldest pair under a prefix as of now, linearizable. kNotFound: there is none.
  virtual void ReadOldest(std::string prefix, absl::AnyInvocable<void(absl::StatusOr<Follower::Item>)> done) = 0;
};

}  // namespace keel::server
