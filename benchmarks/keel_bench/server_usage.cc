#include "benchmarks/keel_bench/server_usage.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace keel::bench {
namespace {

std::string ReadAll(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

}  // namespace

absl::StatusOr<ServerUsage> ReadServerUsage(const std::vector<pid_t>& pids) {
  ServerUsage total;
  for (pid_t pid : pids) {
    const std::string stat = ReadAll(absl::StrCat("/proc/", pid, "/stat"));
    // The command name, in parentheses, may hold anything; the fields after it are numbers. The third is the state.
    const size_t end_of_name = stat.rfind(')');
    if (end_of_name == std::string::npos) return absl::NotFoundError(absl::StrCat("no process ", pid));
    const std::vector<std::string> fields = absl::StrSplit(stat.substr(end_of_name + 2), ' ');
    int64_t user_ticks = 0;
    int64_t system_ticks = 0;
    int64_t rss_pages = 0;
    if (fields.size() < 22 || !absl::SimpleAtoi(fields[11], &user_ticks) ||
        !absl::SimpleAtoi(fields[12], &system_ticks) || !absl::SimpleAtoi(fields[21], &rss_pages)) {
      return absl::InternalError(absl::StrCat("cannot read /proc/", pid, "/stat"));
    }
    total.cpu += absl::Seconds(user_ticks + system_ticks) / sysconf(_SC_CLK_TCK);
    const int64_t rss_bytes = rss_pages * sysconf(_SC_PAGESIZE);
    total.rss_bytes += rss_bytes;
    total.rss_bytes_largest = std::max(total.rss_bytes_largest, rss_bytes);
  }
  return total;
}

std::vector<pid_t> PidsOf(const std::string& name) {
  std::vector<pid_t> pids;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    int pid = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &pid)) continue;
    if (ReadAll(entry.path().string() + "/comm") == name + "\n") pids.push_back(pid);
  }
  return pids;
}

}  // namespace keel::bench
