#pragma once

// The state of single members, and what operators do with it. Most calls name the endpoint they are for.
//
//   for (const std::string& endpoint : client.endpoints()) {
//     auto status = client.maintenance().Status(endpoint);
//     if (!status.ok()) { std::cerr << endpoint << ": " << status.status() << "\n"; continue; }
//     std::cout << endpoint << " term " << status->raft_term << (status->is_leader() ? " leads" : "") << "\n";
//   }

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "keel/options.h"
#include "keel/types.h"

namespace keel {

namespace client {
class Core;
}  // namespace client

struct DowngradeInfo {
  bool enabled = false;
  std::string target_version = {};
};

struct StatusResponse {
  ResponseHeader header = {};
  std::string version = {};
  int64_t db_size = 0;         // Bytes on disk.
  int64_t db_size_in_use = 0;  // Bytes of live data.
  int64_t db_size_quota = 0;
  uint64_t leader = 0;      // 0: none known.
  uint64_t raft_index = 0;  // Committed.
  uint64_t raft_term = 0;
  uint64_t raft_applied_index = 0;
  std::vector<std::string> errors = {};
  bool is_learner = false;
  std::string storage_version = {};
  std::optional<DowngradeInfo> downgrade_info = std::nullopt;

  bool is_leader() const { return leader != 0 && leader == header.member_id; }
};

struct HashResponse {
  ResponseHeader header = {};
  uint32_t hash = 0;
};

struct HashKvResponse {
  ResponseHeader header = {};
  uint32_t hash = 0;
  int64_t compact_revision = 0;
  int64_t hash_revision = 0;  // The one that was hashed; 0 from servers that do not say.
};

enum class AlarmType { kNone = 0, kNoSpace = 1, kCorrupt = 2 };

struct Alarm {
  uint64_t member_id = 0;
  AlarmType type = AlarmType::kNone;
};

struct AlarmResponse {
  ResponseHeader header = {};
  std::vector<Alarm> alarms = {};
};

struct DefragmentResponse {
  ResponseHeader header = {};  // Servers leave it empty.
};

struct MoveLeaderResponse {
  ResponseHeader header = {};  // Servers leave it empty.
};

// One piece of a snapshot.
struct SnapshotChunk {
  uint64_t remaining_bytes = 0;
  std::string blob = {};
  std::string version = {};
};

// A snapshot in a file.
struct SavedSnapshot {
  uint64_t bytes = 0;        // Of the file, its digest included.
  std::string version = {};  // Of the storage it came from; empty from servers that do not say.
};

enum class DowngradeAction { kValidate, kEnable, kCancel };

struct DowngradeResponse {
  ResponseHeader header = {};
  std::string version = {};
};

// Thread-safe; valid as long as its Client. Codes as for Kv. Calls that name an endpoint make one attempt, there;
// an empty endpoint means any.
class Maintenance {
 public:
  explicit Maintenance(client::Core& core) : core_(core) {}
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  absl::StatusOr<StatusResponse> Status(std::string_view endpoint, const CallOptions& call = {});
  // Equal on all members for equal (compact_revision, hash_revision). `revision` 0: the member's newest.
  absl::StatusOr<HashKvResponse> HashKv(std::string_view endpoint, int64_t revision = 0, const CallOptions& call = {});
  absl::StatusOr<HashResponse> Hash(std::string_view endpoint, const CallOptions& call = {});
  absl::StatusOr<DefragmentResponse> Defragment(std::string_view endpoint, const CallOptions& call = {});

  absl::StatusOr<AlarmResponse> Alarms(const CallOptions& call = {});
  absl::StatusOr<AlarmResponse> ActivateAlarm(const Alarm& alarm, const CallOptions& call = {});
  // Takes back one alarm of one member. Without such an alarm the list in the answer is empty.
  absl::StatusOr<AlarmResponse> DisarmAlarm(const Alarm& alarm, const CallOptions& call = {});

  // The endpoint must be the leader's, else kFailedPrecondition.
  absl::StatusOr<MoveLeaderResponse> MoveLeader(std::string_view endpoint, uint64_t target_member,
                                                const CallOptions& call = {});
  absl::StatusOr<DowngradeResponse> Downgrade(DowngradeAction action, std::string_view version,
                                              const CallOptions& call = {});

  // The same without waiting; see Callback. `done` may run before the call returns.
  void StatusAsync(std::string_view endpoint, const CallOptions& call, Callback<StatusResponse> done);
  void HashKvAsync(std::string_view endpoint, int64_t revision, const CallOptions& call, Callback<HashKvResponse> done);
  void HashAsync(std::string_view endpoint, const CallOptions& call, Callback<HashResponse> done);
  void DefragmentAsync(std::string_view endpoint, const CallOptions& call, Callback<DefragmentResponse> done);
  void AlarmsAsync(const CallOptions& call, Callback<AlarmResponse> done);
  void ActivateAlarmAsync(const Alarm& alarm, const CallOptions& call, Callback<AlarmResponse> done);
  void DisarmAlarmAsync(const Alarm& alarm, const CallOptions& call, Callback<AlarmResponse> done);
  void MoveLeaderAsync(std::string_view endpoint, uint64_t target_member, const CallOptions& call,
                       Callback<MoveLeaderResponse> done);
  void DowngradeAsync(DowngradeAction action, std::string_view version, const CallOptions& call,
                      Callback<DowngradeResponse> done);

  // Streams a snapshot of the member into `sink`, on this thread, until it ends or `sink` returns an error (which is
  // then returned). The default timeout does not apply: only one in `call` does.
  absl::Status Snapshot(std::string_view endpoint, const std::function<absl::Status(const SnapshotChunk&)>& sink,
                        const CallOptions& call = {});
  // The same without waiting: `sink` runs on one of the client's I/O threads and must not block; the next chunk is
  // asked for when the last has been taken. As Kv::GetStreamAsync.
  void SnapshotAsync(std::string_view endpoint, std::function<void(SnapshotChunk chunk, Taken taken)> sink,
                     const CallOptions& call, std::function<void(absl::Status)> done);

  // A snapshot of the member in a new or replaced file `path`, complete, verified and on disk, or no change there at
  // all: it is written as `path`.part first. Blocks like Snapshot(). `progress`, if any, hears of every piece how much
  // has come and how much is left. kDataLoss: what came does not fit its digest; the codes of files as usual.
  using SnapshotProgress = std::function<void(uint64_t received_bytes, uint64_t remaining_bytes)>;
  absl::StatusOr<SavedSnapshot> SaveSnapshot(std::string_view endpoint, const std::string& path,
                                             const SnapshotProgress& progress = nullptr, const CallOptions& call = {});

 private:
  client::Core& core_;
};

}  // namespace keel
