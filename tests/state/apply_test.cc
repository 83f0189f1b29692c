// What puts, deletes, leases and the rest do to the state (rpc.md sections 2.4, 2.5, 2.7, 2.9).

#include "store_fixture.h"

namespace keel::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class ApplyBatchTest : public StoreTest {};

mvccpb::KeyValue Only(const etcdserverpb::RangeResponse& response) {
  EXPECT_EQ(response.kvs_size(), 1);
  return response.kvs_size() == 1 ? response.kvs(0) : mvccpb::KeyValue();
}

TEST_F(ApplyBatchTest, FreshStoreIsAtRevisionOneAndNotCompacted) {
  EXPECT_EQ(store_->current_revision(), Revision(1));
  EXPECT_EQ(store_->compact_revision(), Revision(-1));
  EXPECT_EQ(store_->applied(), AppliedPosition());
  EXPECT_FALSE(store_->bootstrapped());
}

TEST_F(ApplyBatchTest, PutCountsVersionsAndKeepsTheCreateRevision) {
  Put("k", "a");
  Put("k", "a");
  mvccpb::KeyValue kv = Only(Range(RangeOf("k")));
  EXPECT_EQ(kv.create_revision(), 2);
  EXPECT_EQ(kv.mod_revision(), 3);
  EXPECT_EQ(kv.version(), 2);
}

TEST_F(ApplyBatchTest, RecreationStartsANewLife) {
  Put("k", "a");
  Put("k", "b");
  Delete("k");
  Put("k", "c");
  mvccpb::KeyValue kv = Only(Range(RangeOf("k")));
  EXPECT_EQ(kv.create_revision(), 5);
  EXPECT_EQ(kv.mod_revision(), 5);
  EXPECT_EQ(kv.version(), 1);
}

TEST_F(ApplyBatchTest, PreviousPairIsAnsweredOnlyWhenAskedForAndThere) {
  etcdserverpb::PutRequest request = PutOf("k", "a");
  request.set_prev_kv(true);
  Apply([&](ApplyBatch& batch) {
    etcdserverpb::PutResponse response;
    ASSERT_TRUE(batch.Put(request, &response).ok());
    EXPECT_FALSE(response.has_prev_kv());
    EXPECT_EQ(response.header().revision(), 2);
  });
  request.set_value("b");
  Apply([&](ApplyBatch& batch) {
    etcdserverpb::PutResponse response;
    ASSERT_TRUE(batch.Put(request, &response).ok());
    EXPECT_EQ(response.prev_kv().value(), "a");
    EXPECT_EQ(response.prev_kv().mod_revision(), 2);
  });
}

TEST_F(ApplyBatchTest, IgnoreValueAndIgnoreLeaseKeepWhatIsThere) {
  Apply([](ApplyBatch& batch) { ASSERT_TRUE(batch.LeaseGrant(LeaseId(7), 10).ok()); });
  Put("k", "a", 7);
  etcdserverpb::PutRequest keep_value = PutOf("k", "");
  keep_value.set_ignore_value(true);
  keep_value.set_ignore_lease(true);
  Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.Put(keep_value, nullptr).ok()); });
  mvccpb::KeyValue kv = Only(Range(RangeOf("k")));
  EXPECT_EQ(kv.value(), "a");
  EXPECT_EQ(kv.lease(), 7);
  EXPECT_EQ(kv.version(), 2);
}

TEST_F(ApplyBatchTest, ErrorsOfAPutChangeNothing) {
  etcdserverpb::PutRequest ignore_value = PutOf("k", "");
  ignore_value.set_ignore_value(true);
  etcdserverpb::PutRequest ignore_lease = PutOf("k", "v");
  ignore_lease.set_ignore_lease(true);
  auto events = Apply([&](ApplyBatch& batch) {
    EXPECT_EQ(batch.Put(PutOf("k", "v", 9), nullptr), absl::NotFoundError("etcdserver: requested lease not found"));
    EXPECT_EQ(batch.Put(ignore_value, nullptr), absl::InvalidArgumentError("etcdserver: key not found"));
    EXPECT_EQ(batch.Put(ignore_lease, nullptr), absl::InvalidArgumentError("etcdserver: key not found"));
  });
  EXPECT_THAT(events, IsEmpty());
  EXPECT_EQ(store_->current_revision(), Revision(1));
  EXPECT_EQ(store_->applied().index, 1u);
  EXPECT_EQ(Range(RangeOf("k")).count(), 0);
}

TEST_F(ApplyBatchTest, DeleteRangeTakesOneRevisionAndAscendingSubs) {
  for (const char* key : {"a", "b", "c", "d"}) Put(key, key);
  etcdserverpb::DeleteRangeRequest request = DeleteOf("b", "d");
  request.set_prev_kv(true);
  auto events = Apply([&](ApplyBatch& batch) {
    etcdserverpb::DeleteRangeResponse response;
    ASSERT_TRUE(batch.DeleteRange(request, &response).ok());
    EXPECT_EQ(response.deleted(), 2);
    EXPECT_EQ(response.header().revision(), 6);
    ASSERT_EQ(response.prev_kvs_size(), 2);
    EXPECT_EQ(response.prev_kvs(0).value(), "b");
    EXPECT_EQ(response.prev_kvs(1).value(), "c");
  });
  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(events[0]->events.size(), 2u);
  EXPECT_EQ(events[0]->events[0].change, (ChangeId{Revision(6), 0}));
  EXPECT_EQ(events[0]->events[1].change, (ChangeId{Revision(6), 1}));
  EXPECT_EQ(events[0]->events[1].previous, (ChangeId{Revision(4), 0}));
  mvccpb::KeyValue tombstone;
  ASSERT_TRUE(tombstone.ParseFromString(*events[0]->events[1].kv));
  EXPECT_EQ(tombstone.key(), "c");
  EXPECT_EQ(tombstone.mod_revision(), 6);
  EXPECT_EQ(tombstone.version(), 0);
  EXPECT_THAT(Pairs(Range(RangeOf(kFromKey, kFromKey))), ElementsAre("a=a", "d=d"));
}

TEST_F(ApplyBatchTest, DeletingNothingLeavesTheRevision) {
  Put("a", "1");
  auto events = Apply([&](ApplyBatch& batch) {
    etcdserverpb::DeleteRangeResponse response;
    ASSERT_TRUE(batch.DeleteRange(DeleteOf("b", "z"), &response).ok());
    EXPECT_EQ(response.deleted(), 0);
    EXPECT_EQ(response.header().revision(), 2);
  });
  EXPECT_THAT(events, IsEmpty());
  EXPECT_EQ(store_->current_revision(), Revision(2));
}

TEST_F(ApplyBatchTest, OneEntryIsOneRevisionAndReadsSeeItsOwnChanges) {
  Put("a", "old");
  Apply([&](ApplyBatch& batch) {
    EXPECT_EQ(batch.revision(), Revision(2));
    ASSERT_TRUE(batch.Put(PutOf("a", "new"), nullptr).ok());
    EXPECT_EQ(batch.revision(), Revision(3));
    ASSERT_TRUE(batch.Put(PutOf("b", "x"), nullptr).ok());
    EXPECT_THAT(Pairs(Read(batch, RangeOf("a", "z"))), ElementsAre("a=new", "b=x"));
    EXPECT_THAT(Pairs(Read(batch, RangeOf("a", "z", 2))), ElementsAre("a=old"));
    ASSERT_TRUE(batch.DeleteRange(DeleteOf("a"), nullptr).ok());
    EXPECT_THAT(Pairs(Read(batch, RangeOf("a", "z"))), ElementsAre("b=x"));
    EXPECT_EQ(*batch.Value("b"), "x");
    EXPECT_TRUE(absl::IsNotFound(batch.Value("a").status()));
    EXPECT_FALSE(batch.Find("a")->has_value());
    // Nothing is visible outside.
    EXPECT_THAT(Pairs(Range(RangeOf("a", "z"))), ElementsAre("a=old"));
  });
  EXPECT_EQ(store_->current_revision(), Revision(3));
  EXPECT_THAT(Pairs(Range(RangeOf("a", "z"))), ElementsAre("b=x"));
}

TEST_F(ApplyBatchTest, ABatchOfEntriesIsPublishedAtOnce) {
  ApplyBatch batch = store_->BeginBatch();
  for (uint64_t index = 1; index <= 3; ++index) {
    batch.BeginEntry({.index = index, .term = 4});
    if (index != 2) {
      ASSERT_TRUE(batch.Put(PutOf("k", std::to_string(index)), nullptr).ok());
    }
    batch.EndEntry();
    EXPECT_EQ(store_->applied().index, 0u);
  }
  auto events = batch.Commit();
  ASSERT_TRUE(events.ok());
  ASSERT_EQ(events->size(), 2u);
  EXPECT_EQ((*events)[0]->revision, Revision(2));
  EXPECT_EQ((*events)[1]->revision, Revision(3));
  EXPECT_EQ(store_->applied(), (AppliedPosition{.index = 3, .term = 4}));
  EXPECT_THAT(Pairs(Range(RangeOf("k", "", 2))), ElementsAre("k=1"));
  EXPECT_THAT(Pairs(Range(RangeOf("k"))), ElementsAre("k=3"));
}

TEST_F(ApplyBatchTest, AbandonedBatchLeavesNoTrace) {
  {
    ApplyBatch batch = store_->BeginBatch();
    batch.BeginEntry({.index = 1, .term = 1});
    ASSERT_TRUE(batch.Put(PutOf("k", "v"), nullptr).ok());
    batch.EndEntry();
  }
  EXPECT_EQ(store_->applied().index, 0u);
  Put("other", "v");
  EXPECT_EQ(Range(RangeOf("k")).count(), 0);
}

class LeaseTest : public StoreTest {
 protected:
  void Grant(int64_t id, int64_t ttl = 60) {
    Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.LeaseGrant(LeaseId(id), ttl).ok()); });
  }
  std::vector<RevisionEventsPtr> Revoke(int64_t id) {
    return Apply([&](ApplyBatch& batch) { ASSERT_TRUE(batch.LeaseRevoke(LeaseId(id)).ok()); });
  }
};

TEST_F(LeaseTest, GrantKeepsItsRecordAcrossAReopen) {
  Grant(5, 60);
  Grant(-3, 70);
  Apply([](ApplyBatch& batch) {
    batch.LeaseCheckpoint(LeaseId(5), 11);
    batch.LeaseCheckpoint(LeaseId(99), 11);
  });
  EXPECT_EQ(store_->current_revision(), Revision(1));
  Reopen();
  std::vector<LeaseRecord> leases = store_->Leases();
  ASSERT_EQ(leases.size(), 2u);
  EXPECT_EQ(leases[0].id, LeaseId(-3));
  EXPECT_EQ(leases[0].grant_index, 2u);
  EXPECT_EQ(leases[1].id, LeaseId(5));
  EXPECT_EQ(leases[1].granted_ttl, 60);
  EXPECT_EQ(leases[1].remaining_ttl, 11);
  EXPECT_EQ(leases[1].grant_index, 1u);
}

TEST_F(LeaseTest, GrantingTwiceIsRefused) {
  Grant(5);
  Apply([](ApplyBatch& batch) {
    EXPECT_EQ(batch.LeaseGrant(LeaseId(5), 1), absl::FailedPreconditionError("etcdserver: lease already exists"));
  });
  EXPECT_EQ(store_->Lease(LeaseId(5))->granted_ttl, 60);
}

TEST_F(LeaseTest, RevokeDeletesAttachedKeysAscendingInOneRevision) {
  Grant(5);
  Put("b", "1", 5);
  Put("a", "2", 5);
  Put("c", "3");
  EXPECT_THAT(store_->LeaseKeys(LeaseId(5)), ElementsAre("a", "b"));
  auto events = Revoke(5);
  ASSERT_EQ(events.size(), 1u);
  ASSERT_EQ(events[0]->events.size(), 2u);
  EXPECT_EQ(events[0]->events[0].key, "a");
  EXPECT_EQ(events[0]->events[1].key, "b");
  EXPECT_EQ(events[0]->events[0].type, Event::Type::kDelete);
  EXPECT_FALSE(store_->Lease(LeaseId(5)).has_value());
  EXPECT_THAT(Pairs(Range(RangeOf("a", "z"))), ElementsAre("c=3"));
  Apply([](ApplyBatch& batch) {
    EXPECT_EQ(batch.LeaseRevoke(LeaseId(5)), absl::NotFoundError("etcdserver: requested lease not found"));
  });
}

TEST_F(LeaseTest, RevokeWithoutKeysIsNoRevision) {
  Grant(5);
  EXPECT_THAT(Revoke(5), IsEmpty());
  EXPECT_EQ(store_->current_revision(), Revision(1));
}

TEST_F(LeaseTest, KeysMoveAndDetach) {
  Grant(5);
  Grant(6);
  Put("moves", "1", 5);
  Put("detaches", "1", 5);
  Put("deleted", "1", 5);
  Put("moves", "2", 6);
  Put("detaches", "2");
  Delete("deleted");
  EXPECT_THAT(store_->LeaseKeys(LeaseId(5)), IsEmpty());
  EXPECT_THAT(store_->LeaseKeys(LeaseId(6)), ElementsAre("moves"));
  Reopen();
  EXPECT_THAT(store_->LeaseKeys(LeaseId(5)), IsEmpty());
  EXPECT_THAT(store_->LeaseKeys(LeaseId(6)), ElementsAre("moves"));
  Revoke(5);
  EXPECT_EQ(Range(RangeOf("a", "z")).count(), 2);
}

TEST_F(LeaseTest, AttachedAndRevokedInsideOneBatch) {
  Grant(5);
  Put("before", "1", 5);
  Put("leaves", "1", 5);
  ApplyBatch batch = store_->BeginBatch();
  batch.BeginEntry({.index = 10, .term = 1});
  ASSERT_TRUE(batch.Put(PutOf("new", "1", 5), nullptr).ok());
  ASSERT_TRUE(batch.Put(PutOf("leaves", "2"), nullptr).ok());
  batch.EndEntry();
  batch.BeginEntry({.index = 11, .term = 1});
  ASSERT_TRUE(batch.LeaseRevoke(LeaseId(5)).ok());
  EXPECT_FALSE(batch.LeaseExists(LeaseId(5)));
  batch.EndEntry();
  batch.BeginEntry({.index = 12, .term = 1});
  ASSERT_TRUE(batch.LeaseGrant(LeaseId(5), 9).ok());
  ASSERT_TRUE(batch.Put(PutOf("before", "3", 5), nullptr).ok());
  batch.EndEntry();
  ASSERT_TRUE(batch.Commit().ok());
  EXPECT_THAT(Pairs(Range(RangeOf("a", "z"))), ElementsAre("before=3", "leaves=2"));
  EXPECT_THAT(store_->LeaseKeys(LeaseId(5)), ElementsAre("before"));
  EXPECT_EQ(store_->Lease(LeaseId(5))->grant_index, 12u);
}

class MetaTest : public StoreTest {};

TEST_F(MetaTest, AlarmsAreRaisedOnceAndSurvive) {
  Apply([](ApplyBatch& batch) {
    EXPECT_TRUE(batch.RaiseAlarm(3, etcdserverpb::NOSPACE));
    EXPECT_FALSE(batch.RaiseAlarm(3, etcdserverpb::NOSPACE));
    EXPECT_TRUE(batch.RaiseAlarm(3, etcdserverpb::CORRUPT));
    EXPECT_FALSE(batch.DisarmAlarm(4, etcdserverpb::CORRUPT));
  });
  Reopen();
  ASSERT_EQ(store_->alarms().size(), 2u);
  Apply([](ApplyBatch& batch) {
    EXPECT_FALSE(batch.RaiseAlarm(3, etcdserverpb::NOSPACE));
    EXPECT_TRUE(batch.DisarmAlarm(3, etcdserverpb::NOSPACE));
    EXPECT_FALSE(batch.DisarmAlarm(3, etcdserverpb::NOSPACE));
  });
  Reopen();
  ASSERT_EQ(store_->alarms().size(), 1u);
  EXPECT_EQ(store_->alarms()[0].memberid(), 3u);
  EXPECT_EQ(store_->alarms()[0].alarm(), etcdserverpb::CORRUPT);
}

TEST_F(MetaTest, BootstrapIsDurableAndMembersLearnTheirNames) {
  std::vector<MemberRecord> members(2);
  members[0] = {.id = 9, .name = {}, .peer_urls = {"http://a:1"}, .client_urls = {}, .learner = true};
  members[1] = {.id = 2, .name = {}, .peer_urls = {"http://b:1"}, .client_urls = {}};
  ASSERT_TRUE(store_->Bootstrap({.cluster_id = 77, .members = members}).ok());
  EXPECT_TRUE(store_->bootstrapped());
  Apply([](ApplyBatch& batch) { EXPECT_TRUE(batch.SetMemberAttributes(9, "n9", {"http://a:2"}).ok()); });
  Reopen();
  EXPECT_TRUE(store_->bootstrapped());
  EXPECT_EQ(store_->cluster_id(), 77u);
  std::vector<MemberRecord> stored = store_->members();
  ASSERT_EQ(stored.size(), 2u);
  EXPECT_EQ(stored[0].id, 2u);
  EXPECT_EQ(stored[1].name, "n9");
  EXPECT_TRUE(stored[1].learner);
  EXPECT_THAT(stored[1].peer_urls, ElementsAre("http://a:1"));
  EXPECT_THAT(stored[1].client_urls, ElementsAre("http://a:2"));
}

TEST_F(MetaTest, CompactIsRefusedBelowAndAhead) {
  for (int i = 0; i < 5; ++i) Put("k", std::to_string(i));
  Apply([](ApplyBatch& batch) {
    EXPECT_EQ(batch.Compact(Revision(-1)),
              absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"));
    EXPECT_TRUE(batch.Compact(Revision(0)).ok());
    EXPECT_EQ(batch.Compact(Revision(0)),
              absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted"));
    EXPECT_EQ(batch.Compact(Revision(7)),
              absl::OutOfRangeError("etcdserver: mvcc: required revision is a future revision"));
    EXPECT_TRUE(batch.Compact(Revision(6)).ok());
  });
  EXPECT_EQ(store_->compact_revision(), Revision(6));
  EXPECT_EQ(store_->current_revision(), Revision(6));
  Reopen();
  EXPECT_EQ(store_->compact_revision(), Revision(6));
}

}  // namespace
}  // namespace keel::storage
