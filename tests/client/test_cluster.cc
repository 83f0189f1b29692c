#include "tests/client/test_cluster.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "tools/local_cluster/free_port.h"

namespace keel::testing {
namespace {

std::string FindInPath(const std::string& name) {
  const char* path = std::getenv("PATH");
  for (absl::string_view dir : absl::StrSplit(path == nullptr ? "/usr/bin" : path, ':')) {
    const std::string candidate = absl::StrCat(dir, "/", name);
    if (access(candidate.c_str(), X_OK) == 0) return candidate;
  }
  return "";
}

std::string Contents(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// Runs `argv`, with its output going to `out` (and errors to `err`), to die with us.
pid_t SpawnCommand(const std::vector<std::string>& argv, const std::vector<std::string>& environment, int out,
                   int err) {
  std::vector<char*> c_argv;
  for (const std::string& arg : argv) c_argv.push_back(const_cast<char*>(arg.c_str()));
  c_argv.push_back(nullptr);
  std::vector<char*> c_environment;
  for (char** e = environ; *e != nullptr; ++e) {
    // Variables of the servers' own configuration must not reach them by accident.
    if (!absl::StartsWith(*e, "ETCD")) c_environment.push_back(*e);
  }
  for (const std::string& e : environment) c_environment.push_back(const_cast<char*>(e.c_str()));
  c_environment.push_back(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  KEEL_CHECK_GE(pid, 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    execvpe(c_argv[0], c_argv.data(), c_environment.data());
    _exit(127);
  }
  return pid;
}

}  // namespace

bool HasCommand(const std::string& name) { return !FindInPath(name).empty(); }

absl::StatusOr<std::string> ServerBinary() {
  const char* wanted = std::getenv("KEEL_TEST_SERVER");
  const std::string which = wanted == nullptr ? "" : wanted;
  if (!which.empty() && which != "keeld" && which != "etcd") {
    return absl::NotFoundError(absl::StrCat("KEEL_TEST_SERVER=", which, " is neither keeld nor etcd"));
  }
  std::string keeld;
#ifdef KEEL_KEELD_PATH
  if (access(KEEL_KEELD_PATH, X_OK) == 0) keeld = KEEL_KEELD_PATH;
#endif
  if (!keeld.empty() && which != "etcd") return keeld;
  if (which == "keeld") return absl::NotFoundError("keeld has not been built");
  const std::string etcd = FindInPath("etcd");
  if (!etcd.empty()) return etcd;
  return absl::NotFoundError("neither keeld has been built nor is etcd in PATH");
}

absl::StatusOr<std::unique_ptr<TestCluster>> TestCluster::Start(int members) {
  std::unique_ptr<TestCluster> cluster(new TestCluster);
  KEEL_ASSIGN_OR_RETURN(cluster->binary_, ServerBinary());
  std::string dir = (std::filesystem::temp_directory_path() / "keel_client_test.XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) return absl::InternalError("cannot make a temporary folder");
  cluster->dir_ = dir;
  for (int i = 0; i < members; ++i) {
    KEEL_ASSIGN_OR_RETURN(const int client_port, tools::FreePort());
    KEEL_ASSIGN_OR_RETURN(const int peer_port, tools::FreePort());
    cluster->members_.push_back({.name = absl::StrCat("n", i + 1),
                                 .endpoint = absl::StrCat("127.0.0.1:", client_port),
                                 .peer_url = absl::StrCat("http://127.0.0.1:", peer_port),
                                 .data_dir = absl::StrCat(dir, "/n", i + 1),
                                 .log = absl::StrCat(dir, "/n", i + 1, ".log")});
  }
  for (Member& member : cluster->members_) cluster->Spawn(&member);
  for (Member& member : cluster->members_) {
    const absl::Status ready = cluster->AwaitReady(&member);
    if (!ready.ok()) {
      return absl::Status(ready.code(), absl::StrCat(ready.message(), "; its log: ", Contents(member.log)));
    }
  }
  return cluster;
}

TestCluster::~TestCluster() {
  for (size_t i = 0; i < members_.size(); ++i) Kill(static_cast<int>(i));
  std::error_code ignored;
  if (!dir_.empty()) std::filesystem::remove_all(dir_, ignored);
}

std::vector<std::string> TestCluster::endpoints() const {
  std::vector<std::string> endpoints;
  for (const Member& member : members_) endpoints.push_back(member.endpoint);
  return endpoints;
}

void TestCluster::Kill(int member) {
  pid_t& pid = members_[member].pid;
  if (pid == 0) return;
  kill(pid, SIGKILL);
  waitpid(pid, nullptr, 0);
  pid = 0;
}

absl::Status TestCluster::Restart(int member) {
  Kill(member);
  Spawn(&members_[member]);
  return AwaitReady(&members_[member]);
}

void TestCluster::Pause(int member) {
  kill(members_[member].pid, SIGSTOP);
  int how = 0;
  waitpid(members_[member].pid, &how, WUNTRACED);
  KEEL_CHECK(WIFSTOPPED(how)) << members_[member].name << " ended instead of stopping";
}

void TestCluster::Resume(int member) { kill(members_[member].pid, SIGCONT); }

void TestCluster::Spawn(Member* member) {
  std::vector<std::string> initial;
  for (const Member& m : members_) initial.push_back(absl::StrCat(m.name, "=", m.peer_url));
  const std::string client_url = absl::StrCat("http://", member->endpoint);
  // Quicker elections than the default, for shorter tests; the smallest TTL of a lease is then 1 s.
  const std::vector<std::string> argv = {binary_,
                                         absl::StrCat("--name=", member->name),
                                         absl::StrCat("--data-dir=", member->data_dir),
                                         absl::StrCat("--listen-client-urls=", client_url),
                                         absl::StrCat("--advertise-client-urls=", client_url),
                                         absl::StrCat("--listen-peer-urls=", member->peer_url),
                                         absl::StrCat("--initial-advertise-peer-urls=", member->peer_url),
                                         absl::StrCat("--initial-cluster=", absl::StrJoin(initial, ",")),
                                         "--heartbeat-interval=50",
                                         "--election-timeout=500"};
  const int fd = open(member->log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  KEEL_CHECK_GE(fd, 0);
  member->pid = SpawnCommand(argv, {}, fd, fd);
  close(fd);
}

absl::Status TestCluster::AwaitReady(Member* member) {
  KEEL_ASSIGN_OR_RETURN(const auto client, Client::Create({.endpoints = {member->endpoint}}));
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (true) {
    // A linearizable read needs a leader.
    const absl::Status status =
        client->kv().Get("ready", {}, {.timeout = absl::Seconds(1), .wait_for_ready = true}).status();
    if (status.ok() || absl::Now() > deadline) return status;
    if (waitpid(member->pid, nullptr, WNOHANG) == member->pid) {
      member->pid = 0;
      return absl::UnavailableError(absl::StrCat(member->name, " has ended"));
    }
  }
}

Process::Process(const std::vector<std::string>& argv, const std::vector<std::string>& environment) {
  int fds[2];
  KEEL_CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
  const int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  pid_ = SpawnCommand(argv, environment, fds[1], null);
  close(fds[1]);
  close(null);
  out_ = fds[0];
}

Process::~Process() {
  if (pid_ != 0) {
    kill(pid_, SIGKILL);
    Wait();
  }
  close(out_);
}

std::string Process::ReadLine() {
  std::string line;
  char c;
  while (read(out_, &c, 1) == 1 && c != '\n') line.push_back(c);
  return line;
}

void Process::Signal(int signal) { kill(pid_, signal); }

void Process::Wait() {
  if (pid_ != 0) waitpid(pid_, nullptr, 0);
  pid_ = 0;
}

}  // namespace keel::testing
