#include "tests/end_to_end/fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"

namespace keel::test {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);

}  // namespace

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "keel-test-XXXXXX").string();
  KEEL_CHECK(mkdtemp(name.data()) != nullptr);
  path_ = name;
}

TempDir::~TempDir() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string EtcdctlPath() {
  for (const char* path : {"/usr/bin/etcdctl", "/usr/local/bin/etcdctl"}) {
    if (access(path, X_OK) == 0) return path;
  }
  return "";
}

void ClusterTest::TearDown() {
  if (HasFailure() && cluster_ != nullptr) std::cerr << cluster_->LogTails();
}

void ClusterTest::StartCluster(int members, std::vector<std::string> extra_flags) {
  auto cluster = tools::LocalCluster::Create(
      {.keeld = KEELD_PATH, .dir = dir_.path(), .members = members, .extra_flags = std::move(extra_flags)});
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  cluster_ = std::make_unique<tools::LocalCluster>(*std::move(cluster));
  ASSERT_TRUE(cluster_->StartAll().ok());
  WaitHealthy();
  // A member answers a moment before it has published its name and its directory, of which many tests ask.
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::StrContains(EtcdctlOk({"member", "list"}), "unstarted")) {
    ASSERT_LT(absl::Now(), deadline) << "not every member publishes its name";
  }
}

std::pair<int, std::string> ClusterTest::HttpGet(int member, const std::string& path) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  KEEL_CHECK_GE(fd, 0);
  const std::vector<std::string> parts = absl::StrSplit(cluster_->endpoint(member), ':');
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(parts[1])));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  std::string answer;
  if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) {
    const std::string request =
        absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", cluster_->endpoint(member), "\r\nConnection: close\r\n\r\n");
    if (write(fd, request.data(), request.size()) == static_cast<ssize_t>(request.size())) {
      char buffer[65536];
      ssize_t n;
      while ((n = read(fd, buffer, sizeof buffer)) > 0) answer.append(buffer, static_cast<size_t>(n));
    }
  }
  close(fd);
  int status = 0;
  std::sscanf(answer.c_str(), "HTTP/1.1 %d", &status);
  const size_t body = answer.find("\r\n\r\n");
  return {status, body == std::string::npos ? "" : answer.substr(body + 4)};
}

bool ClusterTest::Healthy(int member, absl::Duration timeout) {
  const absl::Time deadline = absl::Now() + timeout;
  while (absl::Now() < deadline) {
    if (HttpGet(member, "/health").first == 200) return true;
    // The member refuses or resets while it starts; this is a poll of another process, not a wait for our own work.
    absl::SleepFor(absl::Milliseconds(20));
  }
  return false;
}

void ClusterTest::WaitHealthy() {
  for (int i = 0; i < cluster_->size(); ++i) {
    if (!cluster_->Running(i)) continue;
    ASSERT_TRUE(Healthy(i, kPatience)) << cluster_->name(i) << " did not become healthy";
  }
}

tools::CommandResult ClusterTest::Etcdctl(std::vector<std::string> args, std::string stdin_text,
                                          absl::Duration timeout) {
  std::vector<std::string> argv = {EtcdctlPath(), "--endpoints=" + cluster_->endpoints()};
  argv.insert(argv.end(), args.begin(), args.end());
  auto result =
      tools::RunCommand({.argv = argv, .environment = {"ETCDCTL_API=3"}, .stdin_text = std::move(stdin_text)}, timeout);
  if (!result.ok()) {
    ADD_FAILURE() << "etcdctl " << args[0] << ": " << result.status();
    return {};
  }
  return *result;
}

tools::ChildProcess ClusterTest::Background(const std::string& program, std::vector<std::string> args,
                                            const std::string& output) {
  std::vector<std::string> argv = {program, "--endpoints=" + cluster_->endpoints()};
  argv.insert(argv.end(), args.begin(), args.end());
  auto process = tools::ChildProcess::Start(
      {.argv = argv, .environment = {"ETCDCTL_API=3"}, .output_file = absl::StrCat(dir_.path(), "/", output)});
  EXPECT_TRUE(process.ok()) << process.status();
  return *std::move(process);
}

std::string ClusterTest::Read(const std::string& output) const {
  std::ifstream file(absl::StrCat(dir_.path(), "/", output));
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void ClusterTest::WaitFor(const std::string& output, const std::string& text) {
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (absl::Now() < deadline) {
    if (Read(output).find(text) != std::string::npos) return;
    absl::SleepFor(absl::Milliseconds(10));
  }
  ADD_FAILURE() << "'" << text << "' did not appear in: " << Read(output);
}

std::string ClusterTest::EtcdctlOk(std::vector<std::string> args, std::string stdin_text) {
  const tools::CommandResult result = Etcdctl(args, std::move(stdin_text));
  EXPECT_EQ(result.exit_code, 0) << "etcdctl " << args[0] << ": " << result.err;
  return result.out;
}

int ClusterTest::Leader() {
  const absl::Time deadline = absl::Now() + kPatience;
  while (absl::Now() < deadline) {
    for (int i = 0; i < cluster_->size(); ++i) {
      if (!cluster_->Running(i)) continue;
      const std::string metrics = HttpGet(i, "/metrics").second;
      if (metrics.find("\netcd_server_is_leader 1") != std::string::npos) return i;
    }
    absl::SleepFor(absl::Milliseconds(20));
  }
  ADD_FAILURE() << "no leader";
  return 0;
}

void ClusterTest::ExpectEqualHashes() {
  const absl::Time deadline = absl::Now() + kPatience;
  std::string last;
  while (absl::Now() < deadline) {
    const tools::CommandResult result = Etcdctl({"endpoint", "hashkv", "-w", "json"});
    last = result.out;
    const auto rows = nlohmann::json::parse(result.out, nullptr, false);
    bool equal = rows.is_array() && rows.size() == static_cast<size_t>(cluster_->size());
    for (size_t i = 1; equal && i < rows.size(); ++i) {
      equal = rows[i]["HashKV"]["hash"] == rows[0]["HashKV"]["hash"] &&
              rows[i]["HashKV"]["header"]["revision"] == rows[0]["HashKV"]["header"]["revision"];
    }
    if (equal) return;
    absl::SleepFor(absl::Milliseconds(50));
  }
  ADD_FAILURE() << "hashes differ: " << last;
}

}  // namespace keel::test
