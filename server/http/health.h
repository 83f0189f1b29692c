#pragma once

// Is this member well? The checks behind /health, /livez and /readyz (operations.md sections 2.2 and 2.3).

#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "server/http/query.h"
#include "server/member.h"

namespace keel::server {

enum class ProbeKind { kLive, kReady };
enum class ProbeCheck { kDataCorruption, kSerializableRead, kLinearizableRead, kNonLearner };

const char* NameOf(ProbeKind kind);    // "livez", "readyz"
const char* NameOf(ProbeCheck check);  // "serializable_read", ...
std::vector<ProbeCheck> ChecksOf(ProbeKind kind);

struct ProbeResult {
  bool ok = true;
  std::string lines;  // One per check: "[+]name ok\n" or "[-]name failed: reason\n".
};

// Thread-safe. Borrows the member.
class HealthChecks {
 public:
  explicit HealthChecks(const Member* member) : member_(*member) {}

  // /health. `done` gets the reason for being unwell, or nothing; on any thread.
  void Check(const Query& query, absl::AnyInvocable<void(std::string reason)> done) const;

  // /livez and /readyz; `done` on any thread.
  void Probe(ProbeKind kind, std::vector<ProbeCheck> checks, std::vector<std::string> excluded,
             absl::AnyInvocable<void(ProbeResult)> done) const;

 private:
  absl::Status ReadLocally() const;
  // A read point confirmed by a quorum, then a local read.
  void ReadLinearizably(absl::AnyInvocable<void(absl::Status)> done) const;
  // The checks that need no waiting.
  absl::Status RunLocal(ProbeCheck check) const;

  const Member& member_;
};

}  // namespace keel::server
