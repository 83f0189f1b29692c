#include "server/member_rules.h"

#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"

namespace keel::server {
namespace {

constexpr char kOk[] = "";
constexpr char kInvalid[] = "etcdserver: given member URLs are invalid";
constexpr char kNotFound[] = "etcdserver: member not found";
constexpr char kInUse[] = "etcdserver: Peer URLs already exists";
constexpr char kTooMany[] = "etcdserver: too many learner members in cluster";
constexpr char kNotEnough[] = "etcdserver: re-configuration failed due to not enough started members";
constexpr char kUnhealthy[] = "etcdserver: unhealthy cluster";
constexpr char kNotLearner[] = "etcdserver: can only promote a learner member";
constexpr char kNotInSync[] = "etcdserver: can only promote a learner member which is in sync with leader";

// Members 1..: 's' a started voter that is connected, 'd' a started one that is not, 'f' one connected for a moment
// only, 'u' one never started; 'l' a started learner, 'w' a voter that awaits its vote, started and connected.
MemberView Cluster(const std::string& members) {
  MemberView view;
  view.self = 1;
  view.last_index = 1000;
  for (uint64_t id = 1; id <= members.size(); ++id) {
    const char kind = members[id - 1];
    storage::MemberRecord member{
        .id = id, .name = kind == 'u' ? "" : "n", .peer_urls = {"http://m" + std::to_string(id) + ":1"}};
    member.learner = kind == 'l';
    member.awaits_vote = kind == 'w';
    view.members.push_back(member);
    if (id == 1) continue;
    if (kind == 's' || kind == 'l' || kind == 'w') view.connected[id] = absl::Seconds(5);
    if (kind == 'f') view.connected[id] = absl::Seconds(4);
    view.match[id] = kind == 'u' || kind == 'd' ? 0 : 1000;
  }
  return view;
}

std::string Text(const absl::Status& status) { return std::string(status.message()); }

const std::vector<std::string> kNew = {"http://new:1"};

TEST(MemberRulesTest, AddVoter) {
  const struct {
    const char* members;
    const char* answer;
    const char* lax;  // Without the strict check.
  } kTable[] = {
      {"s", kOk, kOk},  // 1 to 2, the exception.
      {"ss", kOk, kOk},         {"sf", kUnhealthy, kOk},
      {"sd", kUnhealthy, kOk},  {"su", kNotEnough, kOk},
      {"sss", kOk, kOk},        {"ssd", kUnhealthy, kOk},  // Two of three: a fourth is refused.
      {"ssu", kNotEnough, kOk}, {"ssf", kUnhealthy, kOk},
      {"ssss", kOk, kOk},       {"sssd", kOk, kOk},  // Three of five are there.
      {"sssu", kOk, kOk},       {"ssl", kOk, kOk},   // Learners count for nothing.
      {"sw", kOk, kOk},
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(row.members);
    EXPECT_EQ(Text(CheckAdd({}, Cluster(row.members), kNew, false)), row.answer);
    EXPECT_EQ(Text(CheckAdd({.strict = false}, Cluster(row.members), kNew, false)), row.lax);
  }
}

TEST(MemberRulesTest, AddLearner) {
  EXPECT_EQ(Text(CheckAdd({}, Cluster("s"), kNew, true)), kOk);
  EXPECT_EQ(Text(CheckAdd({}, Cluster("ssu"), kNew, true)), kUnhealthy);
  EXPECT_EQ(Text(CheckAdd({}, Cluster("sss"), kNew, true)), kOk);
  EXPECT_EQ(Text(CheckAdd({}, Cluster("sssl"), kNew, true)), kTooMany);
  EXPECT_EQ(Text(CheckAdd({.learners_max = 2}, Cluster("sssl"), kNew, true)), kOk);
  EXPECT_EQ(Text(CheckAdd({.learners_max = 0}, Cluster("sss"), kNew, true)), kTooMany);
  EXPECT_EQ(Text(CheckAdd({}, Cluster("sssw"), kNew, true)), kOk);
}

TEST(MemberRulesTest, AddLooksAtTheUrlsFirstAndAtTheirUseLast) {
  for (const std::vector<std::string>& bad : {std::vector<std::string>{},
                                              {""},
                                              {"new:1"},
                                              {"ftp://new:1"},
                                              {"http://new"},
                                              {"http://new:1/path"},
                                              {"http://new:1", "bogus"}}) {
    EXPECT_EQ(CheckAdd({}, Cluster("ssu"), bad, false).code(), absl::StatusCode::kInvalidArgument);
    EXPECT_EQ(Text(CheckAdd({}, Cluster("ssu"), bad, false)), kInvalid);
  }
  EXPECT_EQ(Text(CheckAdd({}, Cluster("ssu"), {"http://m2:1"}, false)), kNotEnough);
  EXPECT_EQ(Text(CheckAdd({}, Cluster("sss"), {"http://new:1", "http://m2:1"}, false)), kInUse);
  EXPECT_EQ(Text(CheckAdd({}, Cluster("sssl"), {"http://m2:1"}, true)), kInUse);
}

TEST(MemberRulesTest, Remove) {
  const struct {
    const char* members;
    uint64_t id;
    const char* answer;
    const char* lax;
  } kTable[] = {
      {"s", 1, kNotEnough, kNotEnough},  // Nobody would be left.
      {"ss", 1, kOk, kOk},
      {"ss", 2, kOk, kOk},
      {"sss", 3, kOk, kOk},
      {"ssd", 3, kOk, kOk},         // Who is down may go.
      {"ssd", 2, kUnhealthy, kOk},  // A living one may not.
      {"ssd", 1, kUnhealthy, kOk},
      {"ssf", 2, kUnhealthy, kOk},
      {"ssu", 3, kOk, kOk},
      {"ssu", 2, kNotEnough, kOk},
      {"sssd", 2, kOk, kOk},
      {"ssdd", 3, kOk, kOk},
      {"ssdd", 2, kUnhealthy, kOk},
      {"sdl", 3, kOk, kOk},  // Learners always.
      {"sss", 9, kNotFound, kNotFound},
      {"suu", 9, kNotEnough, kNotFound},  // Safety is looked at first.
  };
  for (const auto& row : kTable) {
    SCOPED_TRACE(absl::StrCat(row.members, " without ", row.id));
    EXPECT_EQ(Text(CheckRemove({}, Cluster(row.members), row.id)), row.answer);
    EXPECT_EQ(Text(CheckRemove({.strict = false}, Cluster(row.members), row.id)), row.lax);
  }
  EXPECT_EQ(CheckRemove({}, Cluster("sss"), 9).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(CheckRemove({}, Cluster("ssd"), 2).code(), absl::StatusCode::kUnavailable);
}

TEST(MemberRulesTest, Update) {
  EXPECT_EQ(Text(CheckUpdate(Cluster("sss"), 2, {"http://new:1"})), kOk);
  EXPECT_EQ(Text(CheckUpdate(Cluster("sss"), 2, {"http://m2:1"})), kOk);
  EXPECT_EQ(Text(CheckUpdate(Cluster("sss"), 2, {"http://m3:1"})), kInUse);
  EXPECT_EQ(Text(CheckUpdate(Cluster("sss"), 9, {"http://m3:1"})), kNotFound);
  EXPECT_EQ(Text(CheckUpdate(Cluster("sss"), 2, {"bogus"})), kInvalid);
}

TEST(MemberRulesTest, Promote) {
  EXPECT_EQ(Text(CheckPromote({}, Cluster("sssl"), 4)), kOk);
  EXPECT_EQ(Text(CheckPromote({}, Cluster("sssl"), 3)), kNotLearner);
  EXPECT_EQ(Text(CheckPromote({}, Cluster("sssl"), 9)), kNotFound);
  EXPECT_EQ(Text(CheckPromote({}, Cluster("sssw"), 4)), kNotLearner);
  MemberView lagging = Cluster("sssl");
  lagging.match[4] = 899;
  EXPECT_EQ(Text(CheckPromote({}, lagging, 4)), kNotInSync);
  EXPECT_EQ(Text(CheckPromote({.strict = false}, lagging, 4)), kNotInSync);
  lagging.match[4] = 900;
  EXPECT_EQ(Text(CheckPromote({}, lagging, 4)), kOk);
  EXPECT_EQ(Text(CheckPromote({}, Cluster("suul"), 4)), kNotEnough);
  EXPECT_EQ(Text(CheckPromote({.strict = false}, Cluster("suul"), 4)), kOk);
}

TEST(MemberRulesTest, Replace) {
  EXPECT_EQ(Text(CheckReplace({}, Cluster("ssd"), 3, kNew)), kOk);
  EXPECT_EQ(Text(CheckReplace({}, Cluster("ssd"), 3, {"http://m3:1"})), kOk);  // The address passes on.
  EXPECT_EQ(Text(CheckReplace({}, Cluster("ssd"), 3, {"http://m2:1"})), kInUse);
  EXPECT_EQ(Text(CheckReplace({}, Cluster("ssd"), 2, kNew)), kUnhealthy);
  EXPECT_EQ(Text(CheckReplace({}, Cluster("sss"), 1, kNew)), kOk);
  EXPECT_EQ(Text(CheckReplace({}, Cluster("sss"), 9, kNew)), kNotFound);
  EXPECT_EQ(Text(CheckReplace({}, Cluster("sss"), 3, {"bogus"})), kInvalid);
  // The newcomer itself would have to make the quorum.
  EXPECT_EQ(Text(CheckReplace({}, Cluster("ss"), 2, kNew)), kNotEnough);
  EXPECT_EQ(Text(CheckReplace({.strict = false}, Cluster("s"), 1, kNew)), kNotEnough);
  EXPECT_EQ(Text(CheckReplace({}, Cluster("sl"), 2, kNew)), kOk);
}

TEST(MemberRulesTest, AVoteIsGivenToWhoHasCaughtUpAndIsThere) {
  MemberView view = Cluster("sw");
  EXPECT_TRUE(IsReadyToVote(view, 2));
  view.match[2] = 700;
  EXPECT_FALSE(IsReadyToVote(view, 2));
  view.match[2] = 0;
  view.last_index = 5;
  EXPECT_FALSE(IsReadyToVote(view, 2)) << "it has never answered";
  view.match[2] = 5;
  EXPECT_TRUE(IsReadyToVote(view, 2));
  view.connected.clear();
  EXPECT_FALSE(IsReadyToVote(view, 2));
}

}  // namespace
}  // namespace keel::server
