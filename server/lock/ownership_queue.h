#pragma once

// Where callers stand in line for a name: a key per caller under a prefix, served in the order of their creation. This
// is the convention that clients of every language follow (rpc.md sections 2.13, 2.14), so that a lock taken through
// the service and one taken by a client library exclude each other.
//
// Whoever waits watches one key, the one right ahead of its own, so a release wakes one waiter; and its own key, so
// that it stops waiting when its lease ends.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_watch.pb.h"
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

// One caller's place in line.
struct Place {
  std::string prefix;          // Ends in '/'.
  std::string key;             // Own key.
  storage::Revision create;    // Its create_revision: the fencing token.
  storage::Revision seen;      // A revision, applied here, at which the key existed.
  const char* gone_text = "";  // The error when the own key has vanished.
};

// Thread-safe. One thread and one watch stream serve all callers. Stop() ends every call.
class OwnershipQueue {
 public:
  struct Options {
    size_t calls_max = 100000;  // Calls in progress; beyond it "etcdserver: too many requests".
  };

  // `member` and what it points to outlive it; the hub has been started. Nothing of it is called before the first call.
  static std::shared_ptr<OwnershipQueue> Create(const Member* member, const Options& options);
  static std::shared_ptr<OwnershipQueue> Create(const Member* member) { return Create(member, Options()); }
  virtual ~OwnershipQueue() = default;

  // Every call in progress gets kUnavailable "etcdserver: server stopped", later ones too. Before the hub, the proposer
  // and the node stop. Idempotent, blocks until the thread has ended.
  virtual void Stop() = 0;
};

}  // namespace keel::server
