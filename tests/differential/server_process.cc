#include "tests/differential/server_process.h"

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/local_cluster/free_port.h"
#include "tools/local_cluster/local_cluster.h"

namespace keel::differential {
namespace {

std::string LogFile(const std::string& dir) { return dir + "/log"; }

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Start(const std::string& name, const std::string& binary,
                                                                    std::vector<std::string> extra_flags) {
  const char* parent = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  std::string dir = absl::StrCat(parent, "/keel-differential-XXXXXX");
  if (mkdtemp(dir.data()) == nullptr) return absl::InternalError(absl::StrCat("cannot make a folder in ", parent));
  KEEL_ASSIGN_OR_RETURN(const int client_port, tools::FreePort());
  KEEL_ASSIGN_OR_RETURN(const int peer_port, tools::FreePort());
  const std::string endpoint = absl::StrCat("127.0.0.1:", client_port);
  const std::string peer = absl::StrCat("http://127.0.0.1:", peer_port);
  std::vector<std::string> argv = {binary,
                                   "--name=m",
                                   "--data-dir=" + dir + "/data",
                                   "--listen-client-urls=http://" + endpoint,
                                   "--advertise-client-urls=http://" + endpoint,
                                   "--listen-peer-urls=" + peer,
                                   "--initial-advertise-peer-urls=" + peer,
                                   "--initial-cluster=m=" + peer};
  argv.insert(argv.end(), extra_flags.begin(), extra_flags.end());
  auto process = tools::ChildProcess::Start({.argv = argv, .output_file = LogFile(dir)});
  if (!process.ok()) {
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
    return absl::Status(process.status().code(), absl::StrCat(name, ": ", process.status().ToString()));
  }
  return std::unique_ptr<ServerProcess>(new ServerProcess(name, dir, endpoint, argv, *std::move(process)));
}

absl::Status ServerProcess::Restart() {
  process_.Kill();
  KEEL_ASSIGN_OR_RETURN(process_, tools::ChildProcess::Start({.argv = argv_, .output_file = LogFile(dir_)}));
  return absl::OkStatus();
}

ServerProcess::~ServerProcess() {
  process_.Kill();
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
}

std::string ServerProcess::LogTail() const {
  std::ifstream file(LogFile(dir_));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string log = text.str();
  return log.size() > 3000 ? log.substr(log.size() - 3000) : log;
}

}  // namespace keel::differential
