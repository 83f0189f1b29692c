// JSON to messages and back: every rule of rpc.md section 5.2.

#include "server/gateway/json_codec.h"

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/random.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"

namespace keel::server {
namespace {

using ::testing::HasSubstr;

class JsonCodecTest : public ::testing::Test {
 protected:
  // Exactly one request.
  template <typename Message>
  absl::StatusOr<Message> Read(std::string_view json) {
    auto wire = codec_.Next(*Message::descriptor(), &json);
    if (!wire.ok()) return wire.status();
    Message message;
    if (!wire->has_value()) return absl::NotFoundError("no request");
    if (!message.ParseFromString(**wire)) return absl::DataLossError("not the message's wire format");
    return message;
  }
  template <typename Message>
  std::string Write(const Message& message) {
    auto json = codec_.ToJson(*Message::descriptor(), message.SerializeAsString());
    EXPECT_TRUE(json.ok()) << json.status();
    return json.value_or("");
  }
  etcdserverpb::PutRequest ReadPut(std::string_view json) {
    auto put = Read<etcdserverpb::PutRequest>(json);
    EXPECT_TRUE(put.ok()) << json << ": " << put.status();
    return put.ok() ? *put : etcdserverpb::PutRequest();
  }
  template <typename Message>
  void ExpectRefused(std::string_view json, std::string_view why) {
    auto message = Read<Message>(json);
    ASSERT_FALSE(message.ok()) << json << " is " << message->ShortDebugString();
    EXPECT_EQ(message.status().code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(message.status().message()), HasSubstr(std::string(why))) << json;
  }

  const JsonCodec codec_;
};

TEST_F(JsonCodecTest, FieldsGoOutUnderTheirProtoNamesInTheOrderOfTheirNumbers) {
  etcdserverpb::RangeResponse response;
  response.mutable_header()->set_cluster_id(18446744073709551615u);
  response.mutable_header()->set_member_id(1);
  response.mutable_header()->set_revision(-9223372036854775807 - 1);
  response.mutable_header()->set_raft_term(2);
  auto* kv = response.add_kvs();
  kv->set_key("foo");
  kv->set_create_revision(2);
  kv->set_mod_revision(3);
  kv->set_version(4);
  kv->set_value("bar");
  kv->set_lease(5);
  response.set_more(true);
  response.set_count(1);
  EXPECT_EQ(Write(response),
            R"({"header":{"cluster_id":"18446744073709551615","member_id":"1","revision":"-9223372036854775808",)"
            R"("raft_term":"2"},"kvs":[{"key":"Zm9v","create_revision":"2","mod_revision":"3","version":"4",)"
            R"("value":"YmFy","lease":"5"}],"more":true,"count":"1"})");
  etcdserverpb::Member member;
  member.set_id(1);
  member.add_peerurls("http://a:1");
  member.add_clienturls("http://a:2");
  member.set_islearner(true);
  EXPECT_EQ(Write(member), R"({"ID":"1","peerURLs":["http://a:1"],"clientURLs":["http://a:2"],"isLearner":true})");
  etcdserverpb::LeaseTimeToLiveResponse lease;
  lease.set_id(1);
  lease.set_ttl(2);
  lease.set_grantedttl(3);
  EXPECT_EQ(Write(lease), R"({"ID":"1","TTL":"2","grantedTTL":"3"})");
}

TEST_F(JsonCodecTest, DefaultsStayAway) {
  EXPECT_EQ(Write(etcdserverpb::RangeResponse()), "{}");
  etcdserverpb::WatchResponse created;
  created.set_created(true);
  EXPECT_EQ(Write(created), R"({"created":true})");
  // A message that is there and empty is no default.
  etcdserverpb::PutResponse put;
  put.mutable_header();
  EXPECT_EQ(Write(put), R"({"header":{}})");
}

TEST_F(JsonCodecTest, SmallIntegersAreNumbersAndEnumsAreNames) {
  etcdserverpb::HashKVResponse hash;
  hash.set_hash(4294967295u);
  hash.set_compact_revision(-1);
  hash.set_hash_revision(7);
  EXPECT_EQ(Write(hash), R"({"hash":4294967295,"compact_revision":"-1","hash_revision":"7"})");
  etcdserverpb::WatchResponse watch;
  auto* event = watch.add_events();
  event->set_type(mvccpb::Event::DELETE);
  event->mutable_kv()->set_key("a");
  EXPECT_EQ(Write(watch), R"({"events":[{"type":"DELETE","kv":{"key":"YQ=="}}]})");
}

TEST_F(JsonCodecTest, AnswersOfATransactionAreTheirFieldDirectly) {
  etcdserverpb::TxnResponse txn;
  txn.set_succeeded(true);
  txn.add_responses()->mutable_response_put();
  txn.add_responses()->mutable_response_txn()->add_responses()->mutable_response_range()->set_count(1);
  EXPECT_EQ(Write(txn), R"({"succeeded":true,"responses":[{"response_put":{}},{"response_txn":{"responses":)"
                        R"([{"response_range":{"count":"1"}}]}}]})");
}

TEST_F(JsonCodecTest, FieldsComeInUnderEitherName) {
  for (const char* json : {R"({"range_end":"YQ==","sort_order":2})", R"({"rangeEnd":"YQ==","sortOrder":"DESCEND"})"}) {
    auto range = Read<etcdserverpb::RangeRequest>(json);
    ASSERT_TRUE(range.ok()) << range.status();
    EXPECT_EQ(range->range_end(), "a");
    EXPECT_EQ(range->sort_order(), etcdserverpb::RangeRequest::DESCEND);
  }
  for (const char* json :
       {R"({"success":[{"requestPut":{"key":"YQ=="}}]})", R"({"success":[{"request_put":{"key":"YQ=="}}]})"}) {
    auto txn = Read<etcdserverpb::TxnRequest>(json);
    ASSERT_TRUE(txn.ok()) << txn.status();
    ASSERT_EQ(txn->success_size(), 1);
    EXPECT_EQ(txn->success(0).request_put().key(), "a");
  }
  auto grant = Read<etcdserverpb::LeaseGrantRequest>(R"({"TTL":5,"ID":"7"})");
  ASSERT_TRUE(grant.ok()) << grant.status();
  EXPECT_EQ(grant->ttl(), 5);
  EXPECT_EQ(grant->id(), 7);
  auto add = Read<etcdserverpb::MemberAddRequest>(R"({"peerURLs":["http://a:1"],"isLearner":true})");
  ASSERT_TRUE(add.ok()) << add.status();
  EXPECT_EQ(add->peerurls(0), "http://a:1");
  EXPECT_TRUE(add->islearner());
}

TEST_F(JsonCodecTest, LongIntegersComeInAsTextOrNumber) {
  EXPECT_EQ(ReadPut(R"({"lease":"9223372036854775807"})").lease(), INT64_MAX);
  EXPECT_EQ(ReadPut(R"({"lease":9223372036854775807})").lease(), INT64_MAX);
  EXPECT_EQ(ReadPut(R"({"lease":-9223372036854775808})").lease(), INT64_MIN);
  EXPECT_EQ(ReadPut(R"({"lease":"-5"})").lease(), -5);
  EXPECT_EQ(ReadPut(R"({"lease":9007199254740993})").lease(), 9007199254740993);  // Not a double.
  EXPECT_EQ(Read<etcdserverpb::MemberRemoveRequest>(R"({"ID":18446744073709551615})")->id(), UINT64_MAX);
  EXPECT_EQ(Read<etcdserverpb::MemberRemoveRequest>(R"({"ID":"18446744073709551615"})")->id(), UINT64_MAX);
}

TEST_F(JsonCodecTest, IntegersThatDoNotFitAreRefused) {
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":9223372036854775808})", "lease");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":"9223372036854775808"})", "lease");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":1.5})", "lease");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":"x"})", "lease");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":true})", "lease");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":{}})", "");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"lease":1e400})", "");
  ExpectRefused<etcdserverpb::MemberRemoveRequest>(R"({"ID":-1})", "ID");
}

TEST_F(JsonCodecTest, BytesComeInInEitherAlphabetAndWithoutPadding) {
  EXPECT_EQ(ReadPut(R"({"key":"+/8="})").key(), "\xfb\xff");
  EXPECT_EQ(ReadPut(R"({"key":"-_8="})").key(), "\xfb\xff");
  EXPECT_EQ(ReadPut(R"({"key":"-_8"})").key(), "\xfb\xff");
  EXPECT_EQ(ReadPut(R"({"key":"+/8"})").key(), "\xfb\xff");
  EXPECT_EQ(ReadPut(R"({"key":"YQ"})").key(), "a");
  EXPECT_EQ(ReadPut(R"({"key":""})").key(), "");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"key":"!!"})", "key");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"key":"Y"})", "key");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"key":5})", "key");
}

TEST_F(JsonCodecTest, EveryByteSurvivesTheWayOutAndIn) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  etcdserverpb::PutRequest put;
  put.set_key(bytes);
  EXPECT_EQ(ReadPut(Write(put)).key(), bytes);
}

TEST_F(JsonCodecTest, EnumsComeInByNameOrNumberAndTyposAreRefused) {
  EXPECT_EQ(Read<etcdserverpb::RangeRequest>(R"({"sort_target":"VALUE"})")->sort_target(),
            etcdserverpb::RangeRequest::VALUE);
  EXPECT_EQ(Read<etcdserverpb::RangeRequest>(R"({"sort_target":4})")->sort_target(), etcdserverpb::RangeRequest::VALUE);
  EXPECT_EQ(Read<etcdserverpb::WatchCreateRequest>(R"({"filters":["NODELETE",0]})")->filters(0),
            etcdserverpb::WatchCreateRequest::NODELETE);
  // Taken for its default, a wrong comparison would compare something else.
  ExpectRefused<etcdserverpb::TxnRequest>(R"({"compare":[{"result":"EQUALS"}]})",
                                          R"(unknown value "EQUALS" for enum etcdserverpb.Compare.CompareResult)");
  ExpectRefused<etcdserverpb::WatchCreateRequest>(R"({"filters":["NODELETE","NOTHING"]})", "NOTHING");
}

TEST_F(JsonCodecTest, UnknownFieldsAreIgnoredWhateverTheyHold) {
  EXPECT_EQ(ReadPut(R"({"bogus":{"key":"eA==","deep":[1,{"sort_order":"NO"},null]},"key":"YQ=="})").key(), "a");
  EXPECT_EQ(ReadPut(R"({"key":"YQ==","value":null})").value(), "");
}

TEST_F(JsonCodecTest, NoTextIsNoRequest) {
  for (std::string_view text : {"", " ", "\r\n\t "}) {
    auto wire = codec_.Next(*etcdserverpb::PutRequest::descriptor(), &text);
    ASSERT_TRUE(wire.ok());
    EXPECT_FALSE(wire->has_value());
  }
}

TEST_F(JsonCodecTest, RequestsAreTakenOffOneByOne) {
  std::string_view text = " {\"key\":\"YQ==\"}{\"key\":\"Yg==\"}\n{\"key\":\"}{\"} rest";
  std::vector<std::string> keys;
  for (int i = 0; i < 2; ++i) {
    auto wire = codec_.Next(*etcdserverpb::PutRequest::descriptor(), &text);
    ASSERT_TRUE(wire.ok() && wire->has_value());
    etcdserverpb::PutRequest put;
    ASSERT_TRUE(put.ParseFromString(**wire));
    keys.push_back(put.key());
  }
  EXPECT_EQ(absl::StrJoin(keys, ","), "a,b");
  EXPECT_EQ(codec_.Next(*etcdserverpb::PutRequest::descriptor(), &text).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST_F(JsonCodecTest, WhatIsNotJsonIsRefused) {
  for (const char* text : {"{",
                           "}",
                           "{\"key\"",
                           "{\"key\":",
                           "{\"key\":\"YQ==\"",
                           "{'key':'YQ=='}",
                           "{key:\"YQ==\"}",
                           "{\"key\":\"YQ==\",}",
                           "nonsense",
                           "[]",
                           "null",
                           "1",
                           "\"text\"",
                           "[{}]",
                           "{\"lease\":01}",
                           "{\"lease\":NaN}",
                           "{\"key\":\"\x80\"}",
                           "{\"name\":\"\\ud800\"}",
                           "{\"a\":\"\n\"}",
                           "{\"key\":\"\\x41\"}",
                           "\xef\xbb{}"}) {
    ExpectRefused<etcdserverpb::PutRequest>(text, "");
  }
  // Not a string where one is due, and the other way round.
  ExpectRefused<etcdserverpb::PutRequest>(R"({"prev_kv":1})", "prev_kv");
  ExpectRefused<etcdserverpb::TxnRequest>(R"({"compare":{}})", "(compare): an object where an array is due");
  ExpectRefused<etcdserverpb::TxnRequest>(R"({"compare":[[]]})", "an array where");
  ExpectRefused<etcdserverpb::TxnRequest>(R"({"compare":["x"]})", "a single value where");
  ExpectRefused<etcdserverpb::TxnRequest>(R"({"compare":1})", "(compare): a single value where an array is due");
  ExpectRefused<etcdserverpb::WatchRequest>(R"({"create_request":[]})", "(create_request): an array where an object");
  ExpectRefused<etcdserverpb::WatchRequest>(R"({"create_request":"x"})", "a single value where an object is due");
  ExpectRefused<etcdserverpb::PutRequest>(R"({"key":{}})", "(key): an object where a single value is due");
  ExpectRefused<etcdserverpb::TxnRequest>(R"({"success":[{"request_put":{},"request_range":{}}]})", "oneof");
}

std::string NestedTxn(int depth) {
  std::string json = R"({"success":[]})";
  for (int i = 0; i < depth; ++i) json = absl::StrCat(R"({"success":[{"request_txn":)", json, "}]}");
  return json;
}

TEST_F(JsonCodecTest, DepthHasALimitAndWhatIsLetInCanBeWrittenOut) {
  const int deepest = (kJsonDepthMax - 2) / 3;
  auto txn = Read<etcdserverpb::TxnRequest>(NestedTxn(deepest));
  ASSERT_TRUE(txn.ok()) << txn.status();
  ExpectRefused<etcdserverpb::TxnRequest>(NestedTxn(deepest + 1), "nested more than 64 deep");
  ExpectRefused<etcdserverpb::TxnRequest>(std::string(100000, '['), "");
  std::string deep = "{\"x\":";
  for (int i = 0; i < 100000; ++i) deep += "[";
  ExpectRefused<etcdserverpb::TxnRequest>(deep, "nested more than 64 deep");

  etcdserverpb::TxnResponse answer;
  etcdserverpb::TxnResponse* inner = &answer;
  for (int i = 0; i < deepest; ++i) inner = inner->add_responses()->mutable_response_txn();
  inner->add_responses()->mutable_response_range()->add_kvs()->set_key("a");
  EXPECT_THAT(Write(answer), HasSubstr(R"("key":"YQ==")"));
}

// Mutates valid requests: whatever is accepted must read the same after a way out and in, and nothing may crash.
TEST_F(JsonCodecTest, MutatedRequestsAreRefusedOrKeepTheirMeaning) {
  const char* const given = std::getenv("KEEL_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : Random::EntropySeed();
  std::printf("seed %llu (KEEL_SEED)\n", static_cast<unsigned long long>(seed));
  Random random(seed);
  const std::vector<std::string> corpus = {
      R"({"compare":[{"key":"YQ==","target":"MOD","mod_revision":"12"},{"key":"Yg","result":1,"value":"_-8=","range_end":"AA=="}],)"
      R"("success":[{"request_put":{"key":"YQ==","value":"Yg==","lease":"-7","prev_kv":true}},{"requestRange":{"key":"YQ==","limit":5}}],)"
      R"("failure":[{"request_txn":{"failure":[{"request_delete_range":{"key":"AA==","range_end":"AA=="}}]}}]})",
      R"({"success":[{"request_range":{"key":"YQ==","sort_order":"DESCEND","sort_target":2,"serializable":true,)"
      R"("min_mod_revision":1,"max_create_revision":"9223372036854775807"}}],"unknown":[{"x":null},"\ud83d\ude00",1.5e3]})"};
  const std::vector<std::string> splices = {"\"",
                                            "{",
                                            "}",
                                            "[",
                                            "]",
                                            ":",
                                            ",",
                                            "\\",
                                            "\\u0000",
                                            "null",
                                            "true",
                                            "-",
                                            "1e9",
                                            "18446744073709551616",
                                            "\xff",
                                            "\xed\xa0\x80",
                                            "\"key\":\"YQ==\",",
                                            "\"compare\":[],",
                                            " ",
                                            "\n",
                                            "'"};
  int accepted = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string json = corpus[random.Below(corpus.size())];
    for (uint64_t edits = 1 + random.Below(3); edits > 0; --edits) {
      const size_t at = random.Below(json.size() + 1);
      switch (random.Below(4)) {
        case 0:
          if (at < json.size()) json[at] = static_cast<char>(random.Next());
          break;
        case 1:
          json.erase(at, random.Below(8));
          break;
        case 2:
          json.insert(at, splices[random.Below(splices.size())]);
          break;
        default:
          json.insert(at, json.substr(random.Below(json.size() + 1), random.Below(20)));
      }
    }
    auto first = Read<etcdserverpb::TxnRequest>(json);
    if (!first.ok()) {
      ASSERT_THAT(first.status().code(),
                  ::testing::AnyOf(absl::StatusCode::kInvalidArgument, absl::StatusCode::kNotFound))
          << first.status() << "\n"
          << json;
      continue;
    }
    ++accepted;
    const std::string written = Write(*first);
    auto second = Read<etcdserverpb::TxnRequest>(written);
    ASSERT_TRUE(second.ok()) << second.status() << "\n" << written << "\nfrom " << json;
    ASSERT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*first, *second)) << written << "\nfrom " << json;
    ASSERT_EQ(Write(*second), written);
  }
  // The mutations are mild enough to test both outcomes.
  EXPECT_GT(accepted, 100);
}

}  // namespace
}  // namespace keel::server
