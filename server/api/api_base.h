#pragma once

// What all handlers stand on, and the two ways by which a call reaches the state: through the log, or past a read gate.

#include <utility>
#include <variant>

#include "absl/status/statusor.h"
#include "proto/command.pb.h"
#include "server/api/admission.h"
#include "server/api/call.h"
#include "server/api/reply_budget.h"
#include "server/api/stream_monitor.h"
#include "server/api/worker_pool.h"
#include "server/member.h"

namespace keel::server {

// Borrowed by every handler; owned by GrpcServices.
struct ApiBase {
  const Member* member = nullptr;
  Admission* admission = nullptr;
  StreamMonitor* monitor = nullptr;
  WorkerPool* readers = nullptr;    // For reads of more than one key.
  WorkerPool* snapshots = nullptr;  // For the reading of checkpoints, which takes longer.
  ReplyBudget* replies = nullptr;   // The memory for what is read.
};

// What an ended ReadIndex means to a caller who asked with `call`: kUnavailable "etcdserver: request timed out" or
// "etcdserver: server stopped", kDeadlineExceeded "context deadline exceeded" when it was the caller's own deadline.
absl::Status ReadError(const absl::Status& status, const Call& call);

// Linearizable: everything committed before this call is applied here when `done` gets OK. Errors as in ReadError().
void AwaitReadable(const Member& member, const Call& call, Done done);

// Sends `command` through the log. OK: `response` is what apply answered, its header completed; with the revision after
// the command where apply left it at 0.
template <typename Response>
void Propose(const Member& member, const Call& call, command::Command command, Response* response, Done done) {
  member.proposer->Submit(std::move(command), call.deadline,
                          [&member, response, done = std::move(done)](absl::StatusOr<ApplyResult> result) mutable {
                            if (!result.ok()) return done(std::move(result).status());
                            if (!result->status.ok()) return done(std::move(result->status));
                            if (auto* applied = std::get_if<Response>(&result->response))
                              *response = std::move(*applied);
                            const int64_t revision = response->header().revision();
                            member.FillHeader(revision != 0 ? revision : result->revision, response->mutable_header());
                            done(absl::OkStatus());
                          });
}

}  // namespace keel::server
