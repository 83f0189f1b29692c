#include "server/apply/applier.h"
#include "server/stored_membership.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "proto/command.pb.h"
#include "raft/membership.h"
#include "server/apply/request_check.h"
#include "storage/state/apply_batch.h"
#include "tests/apply/one_member.h"
#include "tests/apply/recording_proposer.h"
#include "tests/apply/requests.h"

namespace keel::server {
namespace {

using absl::StatusCode;
using command::Command;

class RecordingLeases final : public LeaseKeeper {
 public:
  void Attach(raft::Node*, Proposer*, LeaseForwarder*) override {}
  void Start() override {}
  void Stop() override {}
  bool Poll() override { return false; }
  int64_t minimum_ttl() const override { return 2; }
  void Renew(storage::LeaseId, absl::Time, absl::AnyInvocable<void(absl::StatusOr<int64_t>)>) override {}
  void RenewAsLeader(std::vector<storage::LeaseId>, absl::Time,
                     absl::AnyInvocable<void(absl::StatusOr<std::vector<int64_t>>)>) override {}
  void TimeToLive(storage::LeaseId, absl::Time, absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)>) override {}
  void TimeToLiveAsLeader(storage::LeaseId, absl::Time,
                          absl::AnyInvocable<void(absl::StatusOr<LeaseTimeToLive>)>) override {}
  std::vector<storage::LeaseId> Leases() const override { return {}; }
  uint64_t renewals() const override { return 0; }
  void OnGranted(const storage::LeaseRecord& lease) override {
    seen.push_back("granted " + std::to_string(lease.id.value()) + " by " + std::to_string(lease.grant_index));
  }
  void OnRevoked(storage::LeaseId id) override { seen.push_back("revoked " + std::to_string(id.value())); }
  void OnStateReplaced() override { seen.push_back("replaced"); }
  void OnLeadership(raft::Role, raft::Term, raft::MemberId) override { ++leaderships; }

  std::vector<std::string> seen;
  int leaderships = 0;
};

class RecordingHub final : public WatchHub {
 public:
  void Start() override {}
  bool Poll() override { return false; }
  void Stop() override {}
  std::unique_ptr<WatchStream> OpenStream(std::function<void()>) override { return nullptr; }
  void Publish(const std::vector<storage::RevisionEventsPtr>& revisions) override {
    for (const auto& revision : revisions) {
      for (const storage::Event& event : revision->events) {
        published.push_back((event.type == storage::Event::Type::kPut ? "put " : "delete ") + event.key + "@" +
                            std::to_string(event.change.revision.value()) + "." + std::to_string(event.change.sub));
      }
    }
  }
  void OnStateReplaced() override { ++replaced; }
  Stats stats() const override { return {}; }

  std::vector<std::string> published;
  int replaced = 0;
};

// A state machine whose log the test writes.
class Replica {
 public:
  explicit Replica(Applier::Options options = {}) {
    auto opened = storage::StateStore::Open({.dir = dir_.path() + "/state"});
    KEEL_CHECK_OK(opened);
    store = std::move(*opened);
    KEEL_CHECK_OK(store->Bootstrap({.cluster_id = 7, .members = {{.id = 1, .name = "m1"}}}));
    options.incoming_dir = dir_.path() + "/incoming";
    options.on_full = [this] { ++fulls; };
    std::filesystem::create_directory(options.incoming_dir);
    applier = Applier::Create(options, store.get(), &proposer, &hub, &leases);
  }
  ~Replica() {
    applier.reset();
    KEEL_CHECK_OK(store->Close());
  }

  // Request ids are the indexes: odd ones are waited for.
  raft::Entry Next(Command command, uint64_t term = 1) {
    command.set_request_id(++index_);
    return {.id = {.term = raft::Term{term}, .index = raft::Index{index_}},
            .type = raft::EntryType::kCommand,
            .payload = raft::Payload(command.SerializeAsString())};
  }
  absl::Status Apply(Command command, uint64_t term = 1) {
    const raft::Entry entry = Next(std::move(command), term);
    return applier->Apply({&entry, 1});
  }
  // At an odd index; what its caller was told.
  std::string Ask(Command command, uint64_t term = 1) {
    if (index_ % 2 == 1) Noop(term);
    KEEL_CHECK_OK(Apply(std::move(command), term));
    const std::string& told = proposer.completed.back();
    return told.substr(told.find(": ") + 2);
  }
  void Noop(uint64_t term = 1) {
    const raft::Entry entry = {.id = {.term = raft::Term{term}, .index = raft::Index{++index_}},
                               .type = raft::EntryType::kNoop};
    KEEL_CHECK_OK(applier->Apply({&entry, 1}));
  }
  uint64_t index() const { return index_; }
  bool Has(std::string_view key) const {
    auto facts = store->View().Find(key);
    KEEL_CHECK_OK(facts);
    return facts->has_value();
  }

  const std::string& dir() const { return dir_.path(); }

 private:
  TemporaryDir dir_;
  uint64_t index_ = 2;  // The bootstrap's 1, and one left out so that the first call waits.

 public:
  RecordingProposer proposer;
  int fulls = 0;
  RecordingLeases leases;
  RecordingHub hub;
  std::unique_ptr<storage::StateStore> store;
  std::unique_ptr<Applier> applier;
};

Command PutCommand(std::string key, std::string value, int64_t lease = 0) {
  Command command;
  command.mutable_put()->set_key(std::move(key));
  command.mutable_put()->set_value(std::move(value));
  command.mutable_put()->set_lease(lease);
  return command;
}
Command GrantCommand(int64_t id, int64_t ttl = 60) {
  Command command;
  command.mutable_lease_grant()->set_id(id);
  command.mutable_lease_grant()->set_ttl(ttl);
  return command;
}
Command RevokeCommand(int64_t id) {
  Command command;
  command.mutable_lease_revoke()->set_id(id);
  return command;
}
Command ExpireCommand(uint64_t term, std::vector<std::pair<int64_t, uint64_t>> leases) {
  Command command;
  command.mutable_lease_expire()->set_term(term);
  for (const auto& [id, grant_index] : leases) {
    auto* item = command.mutable_lease_expire()->add_leases();
    item->set_id(id);
    item->set_grant_index(grant_index);
  }
  return command;
}
Command AlarmCommand(etcdserverpb::AlarmRequest::AlarmAction action, uint64_t member, etcdserverpb::AlarmType type) {
  Command command;
  command.mutable_alarm()->set_action(action);
  command.mutable_alarm()->set_memberid(member);
  command.mutable_alarm()->set_alarm(type);
  return command;
}
Command CompactCommand(int64_t revision) {
  Command command;
  command.mutable_compaction()->set_revision(revision);
  return command;
}
Command DeleteCommand(std::string key, std::string range_end = "") {
  Command command;
  command.mutable_delete_range()->set_key(std::move(key));
  command.mutable_delete_range()->set_range_end(std::move(range_end));
  command.mutable_delete_range()->set_prev_kv(true);
  return command;
}

TEST(ApplierTest, AnswersCarryTheRevisionAndNothingOfTheMember) {
  Replica replica;
  EXPECT_EQ(replica.Ask(PutCommand("k", "v")), "header { revision: 2 }");
  EXPECT_EQ(replica.Ask(PutCommand("k", "w", 5)), "NOT_FOUND: etcdserver: requested lease not found");
  EXPECT_EQ(replica.Ask(GrantCommand(5)), "ID: 5 TTL: 60") << "lease headers are filled by whoever answers";
  EXPECT_EQ(replica.Ask(GrantCommand(5)), "FAILED_PRECONDITION: etcdserver: lease already exists");
  EXPECT_EQ(replica.Ask(CompactCommand(2)), "header { revision: 2 }");
  EXPECT_EQ(replica.Ask(CompactCommand(2)), "OUT_OF_RANGE: etcdserver: mvcc: required revision has been compacted");
  EXPECT_EQ(replica.Ask(CompactCommand(3)), "OUT_OF_RANGE: etcdserver: mvcc: required revision is a future revision");
  EXPECT_EQ(replica.Ask(DeleteCommand("none")), "header { revision: 2 }");
  EXPECT_EQ(replica.Ask(RevokeCommand(6)), "NOT_FOUND: etcdserver: requested lease not found");
}

TEST(ApplierTest, OnlyWaitedForRequestsAreCompletedAndOnlyAfterTheirCommit) {
  Replica replica;
  ASSERT_TRUE(replica.Apply(PutCommand("k", "1")).ok());
  ASSERT_TRUE(replica.Apply(PutCommand("k", "2")).ok());
  ASSERT_EQ(replica.proposer.completed.size(), 1u);
  EXPECT_EQ(replica.hub.published, (std::vector<std::string>{"put k@2.0", "put k@3.0"}));
}

TEST(ApplierTest, NoopMovesThePositionAndNothingElse) {
  Replica replica;
  replica.Noop(3);
  EXPECT_EQ(replica.store->applied(), (storage::AppliedPosition{.index = 3, .term = 3}));
  EXPECT_EQ(replica.store->current_revision().value(), 1);
  EXPECT_TRUE(replica.hub.published.empty());
}

TEST(ApplierTest, WhatItDoesNotUnderstandStopsTheMember) {
  Replica replica;
  EXPECT_EQ(replica.Apply(Command()).code(), StatusCode::kFailedPrecondition);

  Replica of_garbage;
  raft::Entry entry = of_garbage.Next(Command());
  entry.payload = raft::Payload(std::string("\xff\xff\xff garbage"));
  EXPECT_EQ(of_garbage.applier->Apply({&entry, 1}).code(), StatusCode::kDataLoss);

  Replica of_later_version;
  Command future = PutCommand("k", "v");
  future.clear_put();
  future.GetReflection()->MutableUnknownFields(&future)->AddLengthDelimited(99, "something new");
  EXPECT_EQ(of_later_version.Apply(future).code(), StatusCode::kFailedPrecondition);

  Replica of_membership;
  entry = of_membership.Next(Command());
  entry.type = raft::EntryType::kMembership;
  entry.payload = raft::Payload("garbage");
  EXPECT_EQ(of_membership.applier->Apply({&entry, 1}).code(), StatusCode::kDataLoss);
}

raft::Entry MembershipEntry(uint64_t index, const raft::Membership& membership,
                            const command::MembershipContext& context) {
  return {.id = {.term = raft::Term{1}, .index = raft::Index{index}},
          .type = raft::EntryType::kMembership,
          .payload = raft::EncodeMembershipEntry(membership, context.SerializeAsString())};
}

TEST(ApplierTest, AMembershipChangeIsAnsweredWhenItsJointHalfHasEnded) {
  Replica replica;
  int told = 0;
  std::vector<uint64_t> appended;
  replica.applier->SetMemberEvents({.appended =
                                        [&](raft::Index, const std::vector<storage::MemberRecord>& members) {
                                          for (const storage::MemberRecord& member : members)
                                            appended.push_back(member.id);
                                        },
                                    .applied = [&] { ++told; }});
  command::MembershipContext context;
  context.set_request_id(77);
  context.add_members()->set_id(2);
  context.mutable_members(0)->add_peerurls("http://b:1");
  const raft::MemberId one{1}, two{2};
  const raft::Entry enter = MembershipEntry(2, {.voters = {two}, .outgoing_voters = {one}}, context);
  replica.applier->OnMembershipAppended(enter);
  EXPECT_EQ(appended, std::vector<uint64_t>{2});
  ASSERT_TRUE(replica.applier->Apply({&enter, 1}).ok());
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(replica.proposer.completed.empty());
  EXPECT_EQ(replica.store->members().size(), 2u);
  // The leader that leaves it may not have the first entry any more.
  const raft::Entry leave = MembershipEntry(3, {.voters = {two}}, {});
  ASSERT_TRUE(replica.applier->Apply({&leave, 1}).ok());
  EXPECT_EQ(replica.proposer.completed, std::vector<std::string>{"77 at 1: "});
  ASSERT_EQ(replica.store->members().size(), 1u);
  EXPECT_EQ(replica.store->members()[0].peer_urls, std::vector<std::string>{"http://b:1"});
  EXPECT_EQ(replica.store->removed_members(), std::vector<uint64_t>{1});
  EXPECT_EQ(replica.store->membership().index, 3u);
}

TEST(ApplierTest, ExpiryOfAFormerLeaderHasNoEffect) {
  Replica replica;
  ASSERT_TRUE(replica.Apply(GrantCommand(5)).ok());  // Index 3.
  ASSERT_TRUE(replica.Apply(PutCommand("k", "v", 5)).ok());
  EXPECT_EQ(replica.Ask(ExpireCommand(1, {{5, 3}}), /*term=*/2), "FAILED_PRECONDITION: proposed by a former leader");
  EXPECT_TRUE(replica.store->Lease(storage::LeaseId{5}).has_value());
  EXPECT_TRUE(replica.Has("k"));
  EXPECT_EQ(replica.Ask(ExpireCommand(2, {{5, 3}}), 2), "");
  EXPECT_FALSE(replica.Has("k"));
}

TEST(ApplierTest, ExpiryMeantForAnEarlierLifeOfTheIdHasNoEffect) {
  Replica replica;
  ASSERT_TRUE(replica.Apply(GrantCommand(5)).ok());  // Index 3.
  ASSERT_TRUE(replica.Apply(RevokeCommand(5)).ok());
  ASSERT_TRUE(replica.Apply(GrantCommand(5)).ok());  // Index 5.
  EXPECT_EQ(replica.Ask(ExpireCommand(1, {{5, 3}})), "");
  EXPECT_TRUE(replica.store->Lease(storage::LeaseId{5}).has_value());
  EXPECT_EQ(replica.Ask(ExpireCommand(1, {{5, 5}})), "");
  EXPECT_FALSE(replica.store->Lease(storage::LeaseId{5}).has_value());
  EXPECT_EQ(replica.leases.seen,
            (std::vector<std::string>{"granted 5 by 3", "revoked 5", "granted 5 by 5", "revoked 5"}));
}

TEST(ApplierTest, ManyExpiriesShareOneRevision) {
  Replica replica;
  for (int64_t id = 1; id <= 3; ++id) {
    ASSERT_TRUE(replica.Apply(GrantCommand(id)).ok());
    ASSERT_TRUE(replica.Apply(PutCommand("k" + std::to_string(id), "v", id)).ok());
  }
  const int64_t before = replica.store->current_revision().value();
  ASSERT_TRUE(replica.Apply(ExpireCommand(1, {{1, 3}, {99, 1}, {2, 5}, {3, 7}})).ok());
  EXPECT_EQ(replica.store->current_revision().value(), before + 1);
  EXPECT_TRUE(replica.store->Leases().empty());
  EXPECT_FALSE(replica.Has("k3"));
}

TEST(ApplierTest, CheckpointOfAFormerLeaderHasNoEffect) {
  Replica replica;
  ASSERT_TRUE(replica.Apply(GrantCommand(5, 600)).ok());
  Command checkpoint;
  checkpoint.mutable_lease_checkpoint()->set_term(1);
  auto* item = checkpoint.mutable_lease_checkpoint()->add_leases();
  item->set_id(5);
  item->set_remaining_ttl(100);
  ASSERT_TRUE(replica.Apply(checkpoint, /*term=*/2).ok());
  EXPECT_EQ(replica.store->Lease(storage::LeaseId{5})->remaining_ttl, 0);
  checkpoint.mutable_lease_checkpoint()->set_term(2);
  ASSERT_TRUE(replica.Apply(checkpoint, 2).ok());
  EXPECT_EQ(replica.store->Lease(storage::LeaseId{5})->remaining_ttl, 100);
}

TEST(ApplierTest, AlarmsAreRaisedListedAndDisarmed) {
  using etcdserverpb::AlarmRequest;
  Replica replica;
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::ACTIVATE, 9, etcdserverpb::NONE)), "");
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::ACTIVATE, 9, etcdserverpb::NOSPACE)),
            "alarms { memberID: 9 alarm: NOSPACE }");
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::ACTIVATE, 9, etcdserverpb::NOSPACE)),
            "alarms { memberID: 9 alarm: NOSPACE }");
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::ACTIVATE, 4, etcdserverpb::CORRUPT)),
            "alarms { memberID: 4 alarm: CORRUPT }");
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::GET, 0, etcdserverpb::NONE)),
            "alarms { memberID: 4 alarm: CORRUPT } alarms { memberID: 9 alarm: NOSPACE }");
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::GET, 0, etcdserverpb::NOSPACE)),
            "alarms { memberID: 9 alarm: NOSPACE }");
  EXPECT_EQ(replica.store->alarms().size(), 2u);
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::DEACTIVATE, 9, etcdserverpb::NOSPACE)),
            "alarms { memberID: 9 alarm: NOSPACE }");
  EXPECT_EQ(replica.Ask(AlarmCommand(AlarmRequest::DEACTIVATE, 9, etcdserverpb::NOSPACE)), "");
  EXPECT_EQ(replica.store->alarms().size(), 1u);
}

TEST(ApplierTest, AlarmsGateWhatTheyShouldAndNothingElse) {
  using etcdserverpb::AlarmRequest;
  const std::string no_space = "RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded";
  const std::string corrupt = "DATA_LOSS: etcdserver: corrupt cluster";
  Command put_txn;
  ParseOps("r:a", put_txn.mutable_txn()->mutable_success());
  ParseOps("(p:a|)", put_txn.mutable_txn()->mutable_failure());
  Command delete_txn;
  ParseOps("d:a", delete_txn.mutable_txn()->mutable_success());
  Command attributes;
  attributes.mutable_member_attributes()->set_member_id(1);
  attributes.mutable_member_attributes()->set_name("new-name");

  Replica replica;
  ASSERT_EQ(replica.Ask(GrantCommand(1)), "ID: 1 TTL: 60");
  ASSERT_EQ(replica.Ask(PutCommand("a", "v")), "header { revision: 2 }");
  replica.Ask(AlarmCommand(AlarmRequest::ACTIVATE, 9, etcdserverpb::NOSPACE));
  EXPECT_EQ(replica.Ask(PutCommand("a", "v")), no_space);
  EXPECT_EQ(replica.Ask(GrantCommand(2)), no_space);
  EXPECT_EQ(replica.Ask(put_txn), no_space) << "a put in the branch not taken counts";
  EXPECT_EQ(replica.Ask(delete_txn).substr(0, 6), "header");
  EXPECT_EQ(replica.Ask(RevokeCommand(1)), "");
  EXPECT_EQ(replica.Ask(CompactCommand(2)), "header { revision: 3 }");

  replica.Ask(AlarmCommand(AlarmRequest::ACTIVATE, 9, etcdserverpb::CORRUPT));
  EXPECT_EQ(replica.Ask(PutCommand("a", "v")), corrupt) << "before the quota";
  EXPECT_EQ(replica.Ask(DeleteCommand("a")), corrupt);
  EXPECT_EQ(replica.Ask(delete_txn), corrupt);
  EXPECT_EQ(replica.Ask(CompactCommand(3)), corrupt);
  EXPECT_EQ(replica.Ask(GrantCommand(2)), corrupt);
  EXPECT_EQ(replica.Ask(RevokeCommand(2)), corrupt);
  EXPECT_EQ(replica.Ask(attributes), "");

  replica.Ask(AlarmCommand(AlarmRequest::DEACTIVATE, 9, etcdserverpb::CORRUPT));
  replica.Ask(AlarmCommand(AlarmRequest::DEACTIVATE, 9, etcdserverpb::NOSPACE));
  EXPECT_EQ(replica.Ask(PutCommand("a", "v")), "header { revision: 4 }");
}

TEST(ApplierTest, AFullMemberCarriesTheWriteOutAndSaysSo) {
  Replica replica({.quota_bytes = 1});
  const std::string no_space = "RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded";
  EXPECT_EQ(replica.Ask(PutCommand("a", "v")), no_space);
  EXPECT_TRUE(replica.Has("a")) << "every member must come to the same state";
  EXPECT_EQ(replica.fulls, 1);
  EXPECT_EQ(replica.Ask(PutCommand("b", "v")), no_space);
  EXPECT_EQ(replica.fulls, 2);

  ASSERT_TRUE(replica.Apply(AlarmCommand(etcdserverpb::AlarmRequest::ACTIVATE, 1, etcdserverpb::NOSPACE)).ok());
  EXPECT_EQ(replica.Ask(PutCommand("d", "v")), no_space);
  EXPECT_FALSE(replica.Has("d")) << "the alarm refuses it on every member";
  EXPECT_EQ(replica.fulls, 2);
}

TEST(ApplierTest, TellsEverybodyOfLeadership) {
  Replica replica;
  int told = 0;
  replica.applier->SetLeadershipListener([&](raft::Role role, raft::Term term, raft::MemberId leader) {
    EXPECT_EQ(role, raft::Role::kLeader);
    EXPECT_EQ(term.value(), 4u);
    EXPECT_EQ(leader.value(), 1u);
    ++told;
  });
  replica.applier->OnLeadership(raft::Role::kLeader, raft::Term{4}, raft::MemberId{1});
  EXPECT_EQ(told, 1);
  EXPECT_EQ(replica.proposer.leaderships, 1);
  EXPECT_EQ(replica.leases.leaderships, 1);
}

TEST(ApplierTest, InstalledSnapshotBringsItsAlarmsAndTellsWatchersAndLeases) {
  Replica source;
  source.Ask(PutCommand("k", "from the snapshot"));
  source.Ask(AlarmCommand(etcdserverpb::AlarmRequest::ACTIVATE, 3, etcdserverpb::NOSPACE));
  Replica target;
  const raft::SnapshotMeta meta{.last = {.term = raft::Term{1}, .index = raft::Index{source.index()}},
                                .membership = FromStored(source.store->membership())};
  const auto position = source.store->Checkpoint(target.applier->IncomingSnapshotDir(meta));
  ASSERT_TRUE(position.ok()) << position.status();
  ASSERT_TRUE(target.applier->Install(meta).ok());
  EXPECT_TRUE(target.Has("k"));
  EXPECT_EQ(target.applier->DurableApplied().value(), source.index());
  EXPECT_EQ(target.hub.replaced, 1);
  EXPECT_EQ(target.leases.seen, std::vector<std::string>{"replaced"});
  while (target.index() < source.index()) target.Next(Command());
  EXPECT_EQ(target.Ask(PutCommand("k", "v")), "RESOURCE_EXHAUSTED: etcdserver: mvcc: database space exceeded");
}

// A command of any kind on few keys and leases, so that they meet often.
Command RandomCommand(Random* random, uint64_t index, uint64_t term) {
  const auto key = [&] { return std::string(1, static_cast<char>('a' + random->Below(6))); };
  const auto lease = [&] { return random->Between(1, 4); };
  Command command;
  switch (random->Below(11)) {
    case 0:
    case 1:
    case 2:
      command = PutCommand(key(), std::to_string(index), random->Chance(0.4) ? lease() : 0);
      command.mutable_put()->set_prev_kv(random->Chance(0.5));
      if (random->Chance(0.1)) {
        command.mutable_put()->clear_value();
        command.mutable_put()->set_ignore_value(true);
      }
      break;
    case 3:
      command = DeleteCommand(key(), random->Chance(0.5) ? key() : "");
      break;
    case 4:
    case 5: {
      auto* txn = command.mutable_txn();
      auto* compare = txn->add_compare();
      compare->set_key(key());
      compare->set_target(etcdserverpb::Compare::VERSION);
      compare->set_result(etcdserverpb::Compare::GREATER);
      AddPut(txn->mutable_success(), key(), "then")->set_lease(random->Chance(0.3) ? lease() : 0);
      AddRange(txn->mutable_success(), "a", "z")->set_revision(random->Chance(0.2) ? random->Between(-1, 40) : 0);
      AddDelete(txn->mutable_failure(), key(), "z");
      AddPut(AddTxn(txn->mutable_failure())->mutable_success(), "A", "nested");
      break;
    }
    case 6:
      command = GrantCommand(lease(), 60);
      break;
    case 7:
      command = RevokeCommand(lease());
      break;
    case 8:
      command = ExpireCommand(random->Chance(0.8) ? term : term - 1,
                              {{lease(), random->Below(index + 1)}, {lease(), random->Below(index + 1)}});
      break;
    case 9:
      command = CompactCommand(random->Between(0, static_cast<int64_t>(index) / 2));
      break;
    case 10:
      command = AlarmCommand(
          random->Chance(0.3) ? etcdserverpb::AlarmRequest::ACTIVATE : etcdserverpb::AlarmRequest::DEACTIVATE, 1,
          etcdserverpb::NOSPACE);
      break;
  }
  return command;
}

TEST(ApplierTest, GroupingOfEntriesChangesNothing) {
  const uint64_t seed = Random::EntropySeed();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  Random random(seed);
  Replica one_by_one;
  Replica in_groups;
  std::vector<raft::Entry> log;
  for (uint64_t i = 1; i <= 600; ++i) {
    const uint64_t term = 1 + i / 100;
    log.push_back(one_by_one.Next(RandomCommand(&random, i, term), term));
    if (random.Chance(0.05)) log.back() = {.id = log.back().id, .type = raft::EntryType::kNoop};
  }
  for (const raft::Entry& entry : log) ASSERT_TRUE(one_by_one.applier->Apply({&entry, 1}).ok());
  for (size_t at = 0; at < log.size();) {
    const size_t count = std::min<size_t>(1 + random.Below(40), log.size() - at);
    ASSERT_TRUE(in_groups.applier->Apply({log.data() + at, count}).ok());
    at += count;
  }
  EXPECT_EQ(one_by_one.proposer.completed, in_groups.proposer.completed);
  EXPECT_EQ(one_by_one.hub.published, in_groups.hub.published);
  EXPECT_EQ(one_by_one.leases.seen, in_groups.leases.seen);
  EXPECT_EQ(one_by_one.store->applied(), in_groups.store->applied());
  const auto a = one_by_one.store->HashKv(storage::Revision{0});
  const auto b = in_groups.store->HashKv(storage::Revision{0});
  ASSERT_TRUE(a.ok()) << a.status();
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(a->hash, b->hash);
  EXPECT_EQ(a->hash_revision, b->hash_revision);
  EXPECT_EQ(a->compact_revision, b->compact_revision);
  EXPECT_GT(a->hash_revision.value(), 50) << "the commands did something";
}

}  // namespace
}  // namespace keel::server
