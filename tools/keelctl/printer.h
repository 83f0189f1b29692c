#pragma once

// Writes responses in the formats of etcdctl (operations.md section 4.2), so that scripts need no change.

#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "keel/client.h"
#include "keel/election.h"
#include "tools/keelctl/cli.h"

namespace keel::ctl {

struct GetStyle {
  bool keys_only = false;
  bool values_only = false;
  bool count_only = false;
};

struct EndpointHealth {
  std::string endpoint;
  bool healthy = false;
  absl::Duration took;
  std::string error;
};
struct EndpointStatus {
  std::string endpoint;
  StatusResponse status;
};
struct EndpointHash {
  std::string endpoint;
  HashKvResponse hash;
};

// One per format; owned by one thread. Not every command has every format: asking for another one is refused before the
// command runs (see Formats).
class Printer {
 public:
  virtual ~Printer() = default;

  virtual void Put(const PutResponse& response) = 0;
  virtual void Get(const RangeResponse& response, const GetStyle& style) = 0;
  virtual void Delete(const DeleteResponse& response) = 0;
  virtual void Txn(const TxnResponse& response) = 0;
  virtual void Watch(const WatchResponse& response) = 0;
  virtual void LeaseGrant(const LeaseGrantResponse& response) = 0;
  virtual void LeaseRevoke(LeaseId id, const LeaseRevokeResponse& response) = 0;
  virtual void LeaseTimeToLive(const LeaseTimeToLiveResponse& response, bool with_keys) = 0;
  virtual void LeaseList(const LeaseListResponse& response) = 0;
  virtual void LeaseKeepAlive(const LeaseKeepAliveResponse& response) = 0;
  virtual void Members(const MembersResponse& response) = 0;
  // `what` has been done to member `id`: "removed from", "added to", ...
  virtual void MemberChanged(uint64_t id, const std::string& what, const MembersResponse& response) = 0;
  virtual void LeaderMoved(uint64_t from, uint64_t to) = 0;
  virtual void Health(const std::vector<EndpointHealth>& rows) = 0;
  virtual void Status(const std::vector<EndpointStatus>& rows) = 0;
  virtual void Hashes(const std::vector<EndpointHash>& rows) = 0;
  virtual void Alarms(const AlarmResponse& response) = 0;
};

// In the format the command line asked for, to the context's streams.
std::unique_ptr<Printer> PrinterFor(Context& context);

const char* AlarmName(AlarmType type);
// 16 hexadecimal digits, as lease ids are shown.
std::string LeaseText(LeaseId id);
// "4.1ms": as Go writes a duration, for endpoint health.
std::string TookText(absl::Duration took);

}  // namespace keel::ctl
