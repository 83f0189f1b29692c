#include "server/space_alarm.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "storage/state/apply_batch.h"
#include "tests/apply/fake_clock.h"
#include "tests/apply/one_member.h"
#include "tests/apply/recording_proposer.h"

namespace keel::server {
namespace {

using etcdserverpb::AlarmRequest;

// A member whose log the test writes.
class SpaceAlarmTest : public testing::Test {
 protected:
  SpaceAlarmTest() {
    auto opened = storage::StateStore::Open({.dir = dir_.path() + "/state"});
    KEEL_CHECK_OK(opened);
    store_ = std::move(*opened);
    KEEL_CHECK_OK(store_->Bootstrap({.cluster_id = 7, .members = {{.id = 1, .name = "m1"}}}));
    room_ = store_->sizes().in_use_bytes;
  }
  ~SpaceAlarmTest() override { KEEL_CHECK_OK(store_->Close()); }

  // Full at ten thousand bytes beyond what an empty store has in use.
  std::unique_ptr<SpaceAlarm> Start() {
    return std::make_unique<SpaceAlarm>(SpaceAlarm::Options{.member_id = 1, .quota_bytes = 10 * (room_ + 1000)},
                                        &clock_, store_.get(), &proposer_);
  }
  void Apply(const std::function<void(storage::ApplyBatch*)>& change) {
    storage::ApplyBatch batch = store_->BeginBatch();
    const storage::AppliedPosition last = store_->applied();
    batch.BeginEntry({.index = last.index + 1, .term = 1});
    change(&batch);
    batch.EndEntry();
    KEEL_CHECK_OK(batch.Commit());
  }
  void Fill() {
    Apply([&](storage::ApplyBatch* batch) {
      etcdserverpb::PutRequest put;
      put.set_key("big");
      put.set_value(std::string(10 * (room_ + 1000), 'x'));
      KEEL_CHECK_OK(batch->Put(put, nullptr));
    });
  }
  void Empty() {
    Apply([](storage::ApplyBatch* batch) {
      etcdserverpb::DeleteRangeRequest request;
      request.set_key("big");
      KEEL_CHECK_OK(batch->DeleteRange(request, nullptr));
    });
    Apply([&](storage::ApplyBatch* batch) { KEEL_CHECK_OK(batch->Compact(batch->revision())); });
    while (*store_->CompactStep(1000)) {
    }
  }
  void RaiseByHand() {
    Apply([](storage::ApplyBatch* batch) { batch->RaiseAlarm(1, etcdserverpb::NOSPACE); });
  }
  // What was proposed last comes to pass.
  void Happen() {
    const AlarmRequest& alarm = proposer_.submitted.back().alarm();
    Apply([&](storage::ApplyBatch* batch) {
      if (alarm.action() == AlarmRequest::ACTIVATE) {
        batch->RaiseAlarm(alarm.memberid(), alarm.alarm());
      } else {
        batch->DisarmAlarm(alarm.memberid(), alarm.alarm());
      }
    });
    proposer_.pending.back()(ApplyResult());
  }
  // Proposals so far, of which `action` must be the last.
  size_t Proposed(AlarmRequest::AlarmAction action) {
    if (proposer_.submitted.empty()) return 0;
    const AlarmRequest& alarm = proposer_.submitted.back().alarm();
    EXPECT_EQ(alarm.memberid(), 1u);
    EXPECT_EQ(alarm.alarm(), etcdserverpb::NOSPACE);
    EXPECT_EQ(alarm.action(), action);
    return proposer_.submitted.size();
  }

  TemporaryDir dir_;
  FakeClock clock_;
  std::unique_ptr<storage::StateStore> store_;
  RecordingProposer proposer_;
  int64_t room_ = 0;
};

TEST_F(SpaceAlarmTest, IsRaisedOnceAndGoesOnceThereIsRoomAgain) {
  const auto alarm = Start();
  Fill();
  alarm->Raise();
  alarm->Raise();
  EXPECT_EQ(Proposed(AlarmRequest::ACTIVATE), 1u) << "the first is on its way";
  Happen();
  alarm->Raise();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::ACTIVATE), 1u) << "it stands, and there is no room";
  Empty();
  alarm->Poll();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 2u);
  Happen();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 2u) << "gone";
  RaiseByHand();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 2u) << "this one is somebody else's";
}

TEST_F(SpaceAlarmTest, GoesWhenTheRoomCameBetweenTwoPolls) {
  const auto alarm = Start();
  alarm->Poll();
  Fill();
  alarm->Raise();
  Happen();
  Empty();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 2u);
}

TEST_F(SpaceAlarmTest, ALostProposalIsRepeated) {
  const auto alarm = Start();
  Fill();
  alarm->Raise();
  proposer_.pending.back()(absl::UnavailableError("etcdserver: request timed out"));
  alarm->Raise();
  EXPECT_EQ(Proposed(AlarmRequest::ACTIVATE), 2u);
  Happen();
  Empty();
  alarm->Poll();
  proposer_.pending.back()(absl::UnavailableError("etcdserver: request timed out"));
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 4u);
}

TEST_F(SpaceAlarmTest, OneThatTimedOutAndComesAllTheSameGoes) {
  const auto alarm = Start();
  Fill();
  alarm->Raise();
  proposer_.pending.back()(absl::UnavailableError("etcdserver: request timed out"));
  Empty();
  alarm->Poll();
  RaiseByHand();  // The entry was only late.
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 2u);
}

TEST_F(SpaceAlarmTest, OneRaisedByHandOnAMemberWithRoomStays) {
  const auto alarm = Start();
  RaiseByHand();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::ACTIVATE), 0u);
  Fill();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::ACTIVATE), 0u) << "now it is about space";
  Empty();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 1u);
}

TEST_F(SpaceAlarmTest, OneFromBeforeTheStartGoes) {
  RaiseByHand();
  const auto alarm = Start();
  alarm->Poll();
  EXPECT_EQ(Proposed(AlarmRequest::DEACTIVATE), 1u);
}

TEST_F(SpaceAlarmTest, TheDefaultQuotaAndNone) {
  const auto with = [&](int64_t quota) {
    return SpaceAlarm({.member_id = 1, .quota_bytes = quota}, &clock_, store_.get(), &proposer_).low_water_bytes();
  };
  EXPECT_EQ(with(0), (int64_t{2} << 30) / 10 * 9);
  EXPECT_EQ(with(-1), std::numeric_limits<int64_t>::max());
}

}  // namespace
}  // namespace keel::server
