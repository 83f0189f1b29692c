// A hundred thousand keys listed from real processes: what the tools print, and what the member's memory was.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "keel/client.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

constexpr int kKeys = 100000;
constexpr int kKeysOfATxn = 100;

class RangeStreamTest : public ClusterTest {
 protected:
  void SetUp() override {
    StartCluster(1);
    auto client = Client::Create({.endpoints = {cluster_->endpoint(0)}});
    ASSERT_TRUE(client.ok()) << client.status();
    client_ = *std::move(client);
    for (int first = 0; first < kKeys; first += kKeysOfATxn) {
      Txn txn;
      for (int i = first; i < first + kKeysOfATxn; ++i) {
        txn.Then(PutOp{.key = absl::StrFormat("/registry/pods/n%03d/pod-%07d", i % 1000, i),
                       .value = absl::StrCat("value ", i, std::string(200, 'x'))});
      }
      const auto done = client_->kv().Commit(txn, {.timeout = absl::Seconds(30)});
      ASSERT_TRUE(done.ok()) << done.status();
    }
  }

  tools::CommandResult Run(const std::string& program, std::vector<std::string> args) {
    std::vector<std::string> argv = {program, "--endpoints=" + cluster_->endpoint(0), "--command-timeout=60s"};
    argv.insert(argv.end(), args.begin(), args.end());
    auto result = tools::RunCommand({.argv = argv, .environment = {"ETCDCTL_API=3"}}, absl::Seconds(90));
    EXPECT_TRUE(result.ok()) << result.status();
    return result.ok() ? *std::move(result) : tools::CommandResult();
  }

  // The value of a metric without labels; -1 when there is none.
  double Metric(const std::string& name) {
    const std::string text = "\n" + HttpGet(0, "/metrics").second;
    const size_t at = text.find("\n" + name + " ");
    double value = -1;
    if (at == std::string::npos) return value;
    const size_t begin = at + name.size() + 2;
    EXPECT_TRUE(absl::SimpleAtod(text.substr(begin, text.find('\n', begin) - begin), &value));
    return value;
  }

  std::unique_ptr<Client> client_;
};

TEST_F(RangeStreamTest, ListsWhatEtcdctlListsInBoundedMemory) {
  const tools::CommandResult streamed = Run(KEELCTL_PATH, {"get", "--prefix", "", "--stream"});
  ASSERT_EQ(streamed.exit_code, 0) << streamed.err;
  // Some thirty megabytes have gone through a few.
  EXPECT_GT(streamed.out.size(), 20u << 20);
  EXPECT_GT(Metric("keel_reply_memory_bytes_max"), 1 << 20);
  EXPECT_LT(Metric("keel_reply_memory_bytes_max"), 8 << 20);
  EXPECT_EQ(Metric("keel_reply_memory_bytes"), 0);

  const tools::CommandResult whole = Run(KEELCTL_PATH, {"get", "--prefix", ""});
  ASSERT_EQ(whole.exit_code, 0) << whole.err;
  EXPECT_TRUE(streamed.out == whole.out) << "get --stream and get print different pairs";
  EXPECT_GT(Metric("keel_reply_memory_bytes_max"), 20 << 20);

  const tools::CommandResult few =
      Run(KEELCTL_PATH, {"get", "--prefix", "/registry/pods/n007/", "--stream", "--limit=3", "--keys-only"});
  EXPECT_EQ(
      few.out,
      "/registry/pods/n007/pod-0000007\n\n/registry/pods/n007/pod-0001007\n\n/registry/pods/n007/pod-0002007\n\n");
  EXPECT_EQ(Run(KEELCTL_PATH, {"get", "--prefix", "", "--stream", "--count-only"}).out, absl::StrCat(kKeys, "\n"));
  EXPECT_THAT(Run(KEELCTL_PATH, {"get", "--prefix", "", "--stream", "--order=DESCEND"}).err,
              testing::HasSubstr("RangeStream does not support custom sort orders"));

  if (EtcdctlPath().empty()) GTEST_SKIP() << "etcdctl is not installed (Debian package etcd-client)";
  const tools::CommandResult etcdctl = Run(EtcdctlPath(), {"get", "--prefix", ""});
  ASSERT_EQ(etcdctl.exit_code, 0) << etcdctl.err;
  EXPECT_TRUE(streamed.out == etcdctl.out) << "keelctl get --stream and etcdctl get print different pairs";
}

}  // namespace
}  // namespace keel::test
