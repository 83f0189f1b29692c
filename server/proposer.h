#pragma once

// Submits commands to Raft and hands each result, once applied here, to the call that waits for it.

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/functional/any_invocable.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/drive.h"
#include "proto/command.pb.h"
#include "raft/node.h"
#include "server/apply/apply_result.h"

namespace keel::server {

// Thread-safe.
class Proposer {
 public:
  struct Options {
    size_t request_bytes_max = 1572864;  // --max-request-bytes, of the encoded command.
    size_t waiting_max = 100000;         // Calls awaiting their result; beyond it "etcdserver: too many requests".
    // How far back a leader's loss explains a time-out.
    absl::Duration election_timeout = absl::Seconds(1);
    // How often deadlines are looked at; a call may overstay its deadline by as much.
    absl::Duration timer_tick = absl::Milliseconds(50);
    Drive drive = Drive::kThread;
    // Where the numbering of requests starts: two incarnations of a member must differ. nullopt: by chance.
    std::optional<uint64_t> seed;
  };

  // OK carries the applied result, whose own status may be an error. Not OK: the command was not applied as far as this
  // member knows, with the exact v3 text:
  //   kInvalidArgument    "etcdserver: request is too large"; surely not executed
  //   kResourceExhausted  "etcdserver: too many requests"; surely not executed
  //   kUnavailable        "etcdserver: request timed out", also "..., possibly due to previous leader failure" and
  //                       "..., possibly due to connection lost"; outcome UNKNOWN
  //                       the second also half an election timeout after another leader has come
  //   kUnavailable        "etcdserver: server stopped"; outcome UNKNOWN
  //   kDeadlineExceeded   "context deadline exceeded"; no leader for the whole wait, or the caller's deadline
  // Called once, on an unspecified thread (often the apply thread): must be short and must not block.
  using Done = absl::AnyInvocable<void(absl::StatusOr<ApplyResult>)>;

  static std::unique_ptr<Proposer> Create(const Options& options, uint64_t member_id, const Clock* clock);
  virtual ~Proposer() = default;

  // Before the first Submit; the node outlives the use.
  virtual void Attach(raft::Node* node) = 0;

  // `command.request_id` is chosen here. `deadline` is by `clock`.
  virtual void Submit(command::Command command, absl::Time deadline, Done done) = 0;

  // For an entry that is proposed by other means: a place for its result, named by the id that it must carry.
  virtual absl::StatusOr<uint64_t> Await(absl::Time deadline, Done done) = 0;
  // It was not proposed: the call ends with `why`, if it has not ended.
  virtual void Abandon(uint64_t request_id, const absl::Status& why) = 0;

  // --- For the applier.
  // True when a call waits for `request_id`: only then is a response worth building.
  virtual bool IsWaiting(uint64_t request_id) const = 0;
  virtual void Complete(uint64_t request_id, ApplyResult result) = 0;

  // --- For raft events and shutdown.
  virtual void OnLeadership(raft::Role role, raft::Term term, raft::MemberId leader) = 0;
  // Ends overdue calls. With Drive::kOwner, about every `timer_tick`.
  virtual void Poll() = 0;
  // Every waiting call gets "etcdserver: server stopped"; later ones too. Idempotent, blocks until the timer has ended.
  virtual void Stop() = 0;
};

}  // namespace keel::server
