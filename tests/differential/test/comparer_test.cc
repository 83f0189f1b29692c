#include "tests/differential/comparer.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "tests/differential/normaliser.h"

namespace keel::differential {
namespace {

template <typename Message>
std::shared_ptr<Message> Parse(const std::string& text) {
  auto message = std::make_shared<Message>();
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}

// "path etcd keel" of each difference.
template <typename Message>
std::vector<std::string> Compare(const std::string& etcd, const std::string& keel, uint64_t* fields) {
  std::vector<std::string> texts;
  const Answer a{.messages = {Parse<Message>(etcd)}};
  const Answer b{.messages = {Parse<Message>(keel)}};
  for (const FieldDifference& d : CompareAnswers(a, b, fields)) {
    texts.push_back(d.path + " " + d.etcd + " " + d.keel);
  }
  return texts;
}

TEST(ComparerTest, SeesEveryKindOfDifference) {
  using etcdserverpb::RangeResponse;
  const struct {
    const char* name;
    const char* etcd;
    const char* keel;
    std::vector<std::string> differences;
  } cases[] = {
      {"nothing", "kvs { key: 'a' } count: 1", "kvs { key: 'a' } count: 1", {}},
      {"a number", "count: 1", "count: 2", {"count 1 2"}},
      {"a flag that is missing", "more: true", "", {"more true false"}},
      {"bytes", "kvs { key: 'a\\000' }", "kvs { key: 'a' }", {"kvs[0].key a\\x00 a"}},
      {"an element too few", "kvs { key: 'a' }", "", {"kvs.size 1 0", "kvs[0] key: \\\"a\\\" (none)"}},
      {"a message that is missing", "header {}", "", {"header {} (none)"}},
      {"a field inside", "header { revision: 3 }", "header { revision: 4 }", {"header.revision 3 4"}},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    uint64_t fields = 0;
    EXPECT_EQ(Compare<RangeResponse>(c.etcd, c.keel, &fields), c.differences);
    EXPECT_GE(fields, 2u);  // The status at least.
  }
}

TEST(ComparerTest, SeesCodesTextsAndMissingMessages) {
  uint64_t fields = 0;
  const Answer etcd{.status = grpc::Status(grpc::StatusCode::NOT_FOUND, "no")};
  const Answer keel{.messages = {Parse<etcdserverpb::PutResponse>("")}};
  const auto differences = CompareAnswers(etcd, keel, &fields);
  ASSERT_EQ(differences.size(), 3u);
  EXPECT_EQ(differences[0].path, "status.code");
  EXPECT_EQ(differences[1].path, "status.message");
  EXPECT_EQ(differences[2].path, "message");
}

TEST(ComparerTest, CountsWhatIsSet) {
  uint64_t fields = 0;
  Compare<etcdserverpb::RangeResponse>("kvs { key: 'a' version: 1 } count: 1", "kvs { key: 'a' version: 1 } count: 1",
                                       &fields);
  EXPECT_EQ(fields, 2u + 3u);
}

TEST(NormaliserTest, HidesWhoAnsweredButNotThatSomebodyDid) {
  const ServerFacts facts{.cluster_id = 50, .member_id = 60, .symbols = {}, .elapsed = {}};
  auto response = Parse<etcdserverpb::PutResponse>("header { cluster_id: 50 member_id: 60 revision: 5 raft_term: 9 }");
  Normalise(facts, response.get());
  EXPECT_EQ(PrintMessage(*response), "header { cluster_id: 1 member_id: 1 revision: 5 raft_term: 1 }");
  response = Parse<etcdserverpb::PutResponse>("header { revision: 5 }");
  Normalise(facts, response.get());
  EXPECT_EQ(PrintMessage(*response), "header { revision: 5 }");
  response = Parse<etcdserverpb::PutResponse>("header { cluster_id: 51 }");
  Normalise(facts, response.get());
  EXPECT_EQ(PrintMessage(*response), "header { cluster_id: 51 }");
}

TEST(NormaliserTest, OnlyTimeThatPassedIsTakenOffALease) {
  const ServerFacts facts{.cluster_id = 1, .member_id = 1, .symbols = {}, .elapsed = absl::Seconds(3)};
  const auto ttl = [&](int64_t seconds) {
    etcdserverpb::LeaseTimeToLiveResponse response;
    response.set_grantedttl(100);
    response.set_ttl(seconds);
    Normalise(facts, &response);
    return response.ttl();
  };
  EXPECT_EQ(ttl(99), 99);
  EXPECT_EQ(ttl(96), 99);
  EXPECT_EQ(ttl(90), 90);    // Too little.
  EXPECT_EQ(ttl(100), 100);  // Not truncated.
}

TEST(NormaliserTest, TiesAreOrderedByKeyAndNothingElseIs) {
  const auto request = Parse<etcdserverpb::RangeRequest>("key: 'a' sort_target: VERSION sort_order: DESCEND");
  auto response = Parse<etcdserverpb::RangeResponse>(
      "kvs { key: 'z' version: 3 } kvs { key: 'c' version: 2 } kvs { key: 'b' version: 2 } kvs { key: 'a' version: 1 "
      "}");
  NormaliseTies(*request, response.get());
  std::string keys;
  for (const auto& pair : response->kvs()) keys += pair.key();
  EXPECT_EQ(keys, "zbca");
}

}  // namespace
}  // namespace keel::differential
