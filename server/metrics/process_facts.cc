#include "server/metrics/process_facts.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string>

namespace keel::server {
namespace {

void ReadMemory(ProcessFacts* facts) {
  std::ifstream statm("/proc/self/statm");
  double total_pages = 0;
  double resident_pages = 0;
  if (!(statm >> total_pages >> resident_pages)) return;
  const double page = static_cast<double>(sysconf(_SC_PAGESIZE));
  facts->virtual_bytes = total_pages * page;
  facts->resident_bytes = resident_pages * page;
}

void ReadFiles(ProcessFacts* facts) {
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir)) facts->open_fds += entry->d_name[0] != '.';
  closedir(dir);
  facts->open_fds -= 1;  // The directory itself.
}

// "  eth0: 1296 8 0 0 0 0 0 0 1296 8 ...": bytes received come first, bytes sent ninth.
void ReadNetwork(ProcessFacts* facts) {
  std::ifstream dev("/proc/self/net/dev");
  std::string line;
  while (std::getline(dev, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    std::istringstream numbers(line.substr(colon + 1));
    std::array<double, 9> fields{};
    for (double& field : fields) numbers >> field;
    if (!numbers) continue;
    facts->network_received_bytes += fields.front();
    facts->network_sent_bytes += fields.back();
  }
}

}  // namespace

ProcessFacts ReadProcessFacts() {
  ProcessFacts facts;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  facts.cpu_seconds = static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                      static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1e-6;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) facts.max_fds = static_cast<double>(limit.rlim_cur);
  if (getrlimit(RLIMIT_AS, &limit) == 0) facts.max_virtual_bytes = static_cast<double>(limit.rlim_cur);
  ReadMemory(&facts);
  ReadFiles(&facts);
  ReadNetwork(&facts);
  return facts;
}

}  // namespace keel::server
