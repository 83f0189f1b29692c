#pragma once

#include <string>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "server/proposer.h"

namespace keel::server {

// Waits for nothing, remembers everything.
class RecordingProposer final : public Proposer {
 public:
  void Attach(raft::Node* /*node*/) override {}
  void Submit(command::Command command, absl::Time /*deadline*/, Done done) override {
    submitted.push_back(std::move(command));
    pending.push_back(std::move(done));
  }
  absl::StatusOr<uint64_t> Await(absl::Time /*deadline*/, Done /*done*/) override {
    return absl::UnimplementedError("not asked for");
  }
  void Abandon(uint64_t /*request_id*/, const absl::Status& /*why*/) override {}
  bool IsWaiting(uint64_t request_id) const override { return request_id % 2 == 1; }
  void Complete(uint64_t request_id, ApplyResult result) override {
    std::string text = std::to_string(request_id) + " at " + std::to_string(result.revision) + ": ";
    if (!result.status.ok()) text += result.status.ToString();
    std::visit(
        [&](const auto& response) {
          if constexpr (!std::is_same_v<std::decay_t<decltype(response)>, std::monostate>) {
            text += response.ShortDebugString();
          }
        },
        result.response);
    completed.push_back(std::move(text));
  }
  void OnLeadership(raft::Role, raft::Term, raft::MemberId) override { ++leaderships; }
  void Poll() override {}
  void Stop() override {}

  std::vector<command::Command> submitted;
  std::vector<Done> pending;
  std::vector<std::string> completed;
  int leaderships = 0;
};

}  // namespace keel::server
