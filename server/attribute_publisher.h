#pragma once

// Tells the cluster this member's name, client URLs and data directory, through the log, as soon as that is possible.

#include <functional>
#include <memory>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "proto/command.pb.h"
#include "server/proposer.h"

namespace keel::server {

// Thread-safe. Retries until it is applied, or until Stop().
class AttributePublisher {
 public:
  struct Options {
    command::MemberAttributes attributes;
    absl::Duration attempt_timeout = absl::Seconds(7);
    absl::Duration retry_after = absl::Milliseconds(100);
  };

  // `proposer` and `clock` outlive it. One of both is called once, on its thread: `refused` when the cluster does not
  // have this member (kNotFound), or has it with another data directory (kFailedPrecondition).
  static std::unique_ptr<AttributePublisher> Start(const Options& options, Proposer* proposer, const Clock* clock,
                                                   std::function<void()> published,
                                                   std::function<void(absl::Status)> refused);
  virtual ~AttributePublisher() = default;

  // Ends the thread; idempotent, blocks. An attempt in flight is not waited for.
  virtual void Stop() = 0;
};

}  // namespace keel::server
