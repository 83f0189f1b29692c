#pragma once

// Who the members are, and changing that.
//
//   auto members = client.cluster().List();
//   if (!members.ok()) return members.status();
//   for (const keel::Member& member : members->members) {
//     std::cout << member.name << (member.is_started() ? "" : " (not started)") << "\n";
//   }

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "keel/options.h"
#include "keel/types.h"

namespace keel {

namespace client {
class Core;
}  // namespace client

struct Member {
  uint64_t id = 0;
  std::string name = {};  // Empty: never started.
  std::vector<std::string> peer_urls = {};
  std::vector<std::string> client_urls = {};
  bool is_learner = false;

  bool is_started() const { return !name.empty(); }
};

// The header of a cluster call has no revision.
struct MembersResponse {
  ResponseHeader header = {};
  std::optional<Member> member = std::nullopt;  // The new one; set by Add and Replace.
  std::vector<Member> members = {};             // All, after the change, by id.
};

struct MemberListOptions {
  bool linearizable = true;  // false: the answering member's own view, also without a quorum.
};

struct MemberAddOptions {
  bool learner = false;  // A learner receives the log but has no vote until promoted.
};

// Thread-safe; valid as long as its Client. Codes as for Kv. Changes are not repeated when the outcome is unknown.
class Cluster {
 public:
  explicit Cluster(client::Core& core) : core_(core) {}
  Cluster(const Cluster&) = delete;
  Cluster& operator=(const Cluster&) = delete;

  absl::StatusOr<MembersResponse> List(const MemberListOptions& options = {}, const CallOptions& call = {});
  absl::StatusOr<MembersResponse> Add(const std::vector<std::string>& peer_urls, const MemberAddOptions& options = {},
                                      const CallOptions& call = {});
  absl::StatusOr<MembersResponse> Remove(uint64_t id, const CallOptions& call = {});
  absl::StatusOr<MembersResponse> Update(uint64_t id, const std::vector<std::string>& peer_urls,
                                         const CallOptions& call = {});
  absl::StatusOr<MembersResponse> Promote(uint64_t id, const CallOptions& call = {});
  // Puts a new member at `peer_urls` into the place of member `id`, in one atomic step; Keel's own. The answer names
  // the new one.
  absl::StatusOr<MembersResponse> Replace(uint64_t id, const std::vector<std::string>& peer_urls,
                                          const CallOptions& call = {});

  // The same without waiting; see Callback. `done` may run before the call returns.
  void ListAsync(const MemberListOptions& options, const CallOptions& call, Callback<MembersResponse> done);
  void AddAsync(const std::vector<std::string>& peer_urls, const MemberAddOptions& options, const CallOptions& call,
                Callback<MembersResponse> done);
  void RemoveAsync(uint64_t id, const CallOptions& call, Callback<MembersResponse> done);
  void UpdateAsync(uint64_t id, const std::vector<std::string>& peer_urls, const CallOptions& call,
                   Callback<MembersResponse> done);
  void PromoteAsync(uint64_t id, const CallOptions& call, Callback<MembersResponse> done);
  void ReplaceAsync(uint64_t id, const std::vector<std::string>& peer_urls, const CallOptions& call,
                    Callback<MembersResponse> done);

 private:
  client::Core& core_;
};

}  // namespace keel
