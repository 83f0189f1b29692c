#include "server/apply/applier.h"

#include <chrono>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "google/protobuf/arena.h"
#include "raft/membership.h"
#include "server/apply/command_executor.h"
#include "server/stored_membership.h"
#include "storage/state/apply_batch.h"

namespace keel::server {
namespace {

// Commands of one group are parsed into an arena whose first block is kept from group to group.
constexpr size_t kArenaBytes = 256 << 10;

// For those who watch the applying, not for what it does.
using Stopwatch = std::chrono::steady_clock;

// As metrics call them.
const char* NameOf(command::Command::BodyCase body) {
  using command::Command;
  switch (body) {
    case Command::kPut:
      return "Put";
    case Command::kDeleteRange:
      return "DeleteRange";
    case Command::kTxn:
      return "Txn";
    case Command::kCompaction:
      return "Compaction";
    case Command::kLeaseGrant:
      return "LeaseGrant";
    case Command::kLeaseRevoke:
    case Command::kLeaseExpire:
      return "LeaseRevoke";
    case Command::kLeaseCheckpoint:
      return "LeaseCheckpoint";
    case Command::kAlarm:
      return "Alarm";
    case Command::kMemberAttributes:
      return "ClusterMemberAttrSet";
    case Command::BODY_NOT_SET:
      break;
  }
  return "";
}

class ApplierImpl final : public Applier {
 public:
  ApplierImpl(const Options& options, storage::StateStore* store, Proposer* proposer, WatchHub* watch,
              LeaseKeeper* leases)
      : options_(options),
        store_(store),
        proposer_(proposer),
        watch_(watch),
        leases_(leases),
        executor_({.quota_bytes = options.quota_bytes}, store),
        arena_block_(kArenaBytes) {}

  void SetLeadershipListener(std::function<void(raft::Role, raft::Term, raft::MemberId)> listener) override {
    listener_ = std::move(listener);
  }

  void SetMemberEvents(MemberEvents events) override { member_events_ = std::move(events); }

  std::string IncomingSnapshotDir(const raft::SnapshotMeta& meta) const override {
    return absl::StrCat(options_.incoming_dir, "/snapshot-", meta.last.term.value(), "-", meta.last.index.value());
  }

  absl::Status Apply(std::span<const raft::Entry> entries) override {
    if (entries.empty()) return absl::OkStatus();
    ApplyEffects effects;
    std::vector<Completion> completions;
    std::vector<storage::RevisionEventsPtr> revisions;
    {
      storage::ApplyBatch batch = store_->BeginBatch();
      executor_.BeginBatch();
      google::protobuf::Arena arena(arena_block_.data(), arena_block_.size());
      // All commands first: the keys they are about are looked up together.
      std::vector<const command::Command*> commands;
      KEEL_RETURN_IF_ERROR(ParseCommands(entries, &arena, &commands));
      std::vector<std::string_view> keys;
      for (const command::Command* command : commands) {
        if (command != nullptr) AddKeysOf(*command, &keys);
      }
      batch.Expect(keys);
      for (size_t i = 0; i < entries.size(); ++i) {
        KEEL_RETURN_IF_ERROR(ApplyEntry(entries[i], commands[i], &batch, &completions, &effects));
      }
      const auto commit = Stopwatch::now();
      KEEL_ASSIGN_OR_RETURN(revisions, batch.Commit());
      Observe(&effects, Stopwatch::now() - commit);
    }
    // Watchers first: whoever is told that a write is done may ask for the progress of a watch that must show it. Lease
    // deadlines before the calls, so that a lease can be renewed once its grant is answered.
    if (!revisions.empty()) watch_->Publish(revisions);
    for (const ApplyEffects::LeaseChange& change : effects.leases) {
      if (const auto* granted = std::get_if<storage::LeaseRecord>(&change)) {
        leases_->OnGranted(*granted);
      } else {
        leases_->OnRevoked(std::get<storage::LeaseId>(change));
      }
    }
    if (effects.members && member_events_.applied) member_events_.applied();
    for (Completion& completion : completions) {
      proposer_->Complete(completion.request_id, std::move(completion.result));
    }
    if (effects.over_quota) options_.on_full();
    return absl::OkStatus();
  }

  absl::Status Install(const raft::SnapshotMeta& meta) override {
    if (options_.observer != nullptr) options_.observer->OnInstalling(true);
    const absl::Status installed = store_->Install(IncomingSnapshotDir(meta));
    if (options_.observer != nullptr) options_.observer->OnInstalling(false);
    KEEL_RETURN_IF_ERROR(installed);
    if (FromStored(store_->membership()) != meta.membership) {
      return absl::DataLossError(absl::StrCat("the snapshot at entry ", meta.last.index.value(),
                                              " holds another membership than was told with it; remove the data "
                                              "directory and let this member rejoin"));
    }
    executor_.Reload();
    KEEL_LOG_INFO("installed a snapshot",
                  {{"index", meta.last.index}, {"term", meta.last.term}, {"revision", store_->current_revision()}});
    watch_->OnStateReplaced();
    leases_->OnStateReplaced();
    if (member_events_.applied) member_events_.applied();
    return absl::OkStatus();
  }

  raft::Index DurableApplied() const override { return raft::Index{store_->durable_applied().index}; }

  void OnMembershipAppended(const raft::Entry& entry) override {
    if (!member_events_.appended) return;
    // What cannot be read is left to Apply to refuse.
    auto change = raft::DecodeMembershipEntry(entry.payload.view());
    command::MembershipContext context;
    if (!change.ok() || !context.ParseFromString(change->context)) return;
    member_events_.appended(entry.id.index, MembersOf(context));
  }

  void OnLeadership(raft::Role role, raft::Term term, raft::MemberId leader) override {
    proposer_->OnLeadership(role, term, leader);
    leases_->OnLeadership(role, term, leader);
    if (listener_) listener_(role, term, leader);
  }

 private:
  struct Completion {
    uint64_t request_id;
    ApplyResult result;
  };

  // The command of each entry that holds one; null for the others.
  static absl::Status ParseCommands(std::span<const raft::Entry> entries, google::protobuf::Arena* arena,
                                    std::vector<const command::Command*>* commands) {
    commands->reserve(entries.size());
    for (const raft::Entry& entry : entries) {
      commands->push_back(nullptr);
      if (entry.type != raft::EntryType::kCommand) continue;
      auto* command = google::protobuf::Arena::CreateMessage<command::Command>(arena);
      const std::string_view bytes = entry.payload.view();
      if (!command->ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
        return absl::DataLossError(absl::StrCat("entry ", entry.id.index.value(), " does not hold a command"));
      }
      commands->back() = command;
    }
    return absl::OkStatus();
  }

  // The keys that it changes, one by one, whatever else it does. Those of transactions are left out: which of them are
  // changed is not known before.
  static void AddKeysOf(const command::Command& command, std::vector<std::string_view>* keys) {
    if (command.body_case() == command::Command::kPut) {
      keys->push_back(command.put().key());
    } else if (command.body_case() == command::Command::kDeleteRange && command.delete_range().range_end().empty()) {
      keys->push_back(command.delete_range().key());
    }
  }

  absl::Status ApplyEntry(const raft::Entry& entry, const command::Command* command, storage::ApplyBatch* batch,
                          std::vector<Completion>* completions, ApplyEffects* effects) {
    const storage::AppliedPosition position{.index = entry.id.index.value(), .term = entry.id.term.value()};
    batch->BeginEntry(position);
    switch (entry.type) {
      case raft::EntryType::kNoop:
        break;
      case raft::EntryType::kCommand: {
        const bool waiting = proposer_->IsWaiting(command->request_id());
        ApplyResult result;
        const auto begin = Stopwatch::now();
        KEEL_RETURN_IF_ERROR(executor_.Execute(
            *command, position, waiting ? CommandExecutor::Response::kWanted : CommandExecutor::Response::kUnread,
            batch, &result, effects));
        if (options_.observer != nullptr) {
          options_.observer->OnExecuted(NameOf(command->body_case()), result.status.ok(),
                                        absl::FromChrono(Stopwatch::now() - begin));
        }
        if (waiting) completions->push_back({command->request_id(), std::move(result)});
        break;
      }
      case raft::EntryType::kMembership:
        KEEL_RETURN_IF_ERROR(ApplyMembership(entry, batch, completions));
        effects->members = true;
        break;
      default:
        return absl::FailedPreconditionError(absl::StrCat("entry ", position.index, " is of a type (",
                                                          static_cast<int>(entry.type),
                                                          ") that this version does not know"));
    }
    batch->EndEntry();
    return absl::OkStatus();
  }

  void Observe(ApplyEffects* effects, Stopwatch::duration took) {
    if (options_.observer == nullptr) return;
    for (const ApplyEffects::LeaseChange& change : effects->leases) {
      if (std::holds_alternative<storage::LeaseRecord>(change)) {
        ++effects->operations.leases_granted;
        options_.observer->OnLeaseGranted(std::get<storage::LeaseRecord>(change).granted_ttl);
      } else {
        ++effects->operations.leases_revoked;
      }
    }
    options_.observer->OnCommitted(effects->operations, absl::FromChrono(took));
  }

  static std::vector<storage::MemberRecord> MembersOf(const command::MembershipContext& context) {
    std::vector<storage::MemberRecord> members;
    for (const etcdserverpb::Member& member : context.members()) {
      members.push_back({.id = member.id(),
                         .name = {},
                         .peer_urls = {member.peerurls().begin(), member.peerurls().end()},
                         .client_urls = {},
                         .learner = member.islearner()});
    }
    return members;
  }

  absl::Status ApplyMembership(const raft::Entry& entry, storage::ApplyBatch* batch,
                               std::vector<Completion>* completions) {
    const uint64_t index = entry.id.index.value();
    const absl::StatusOr<raft::MembershipEntry> decoded = raft::DecodeMembershipEntry(entry.payload.view());
    if (!decoded.ok()) {
      return absl::DataLossError(
          absl::StrCat("entry ", index, " does not hold a membership: ", decoded.status().message()));
    }
    const raft::MembershipEntry& change = *decoded;
    command::MembershipContext context;
    if (!context.ParseFromString(change.context)) {
      return absl::DataLossError(absl::StrCat("entry ", index, " does not hold a membership context"));
    }
    batch->SetMembership(ToStored(change.membership), MembersOf(context));
    KEEL_LOG_INFO("membership changed", {{"index", index},
                                         {"voters", change.membership.voters.size()},
                                         {"outgoing-voters", change.membership.outgoing_voters.size()},
                                         {"learners", change.membership.learners.size()}});
    // The entry that leaves a joint configuration may come without the context of the one that entered it.
    if (context.request_id() != 0) changing_ = context.request_id();
    if (change.membership.is_joint() || changing_ == 0) return absl::OkStatus();
    completions->push_back({std::exchange(changing_, 0), ApplyResult{.revision = batch->revision().value()}});
    return absl::OkStatus();
  }

  const Options options_;
  storage::StateStore* const store_;
  Proposer* const proposer_;
  WatchHub* const watch_;
  LeaseKeeper* const leases_;
  std::function<void(raft::Role, raft::Term, raft::MemberId)> listener_;
  MemberEvents member_events_;

  CommandExecutor executor_;
  uint64_t changing_ = 0;  // The request whose membership change is applied but for the leaving of its joint half.
  std::vector<char> arena_block_;
};

}  // namespace

std::unique_ptr<Applier> Applier::Create(const Options& options, storage::StateStore* store, Proposer* proposer,
                                         WatchHub* watch, LeaseKeeper* leases) {
  return std::make_unique<ApplierImpl>(options, store, proposer, watch, leases);
}

}  // namespace keel::server
