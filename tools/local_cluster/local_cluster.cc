#include "tools/local_cluster/local_cluster.h"

#include <string.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "base/status_macros.h"
#include "tools/local_cluster/free_port.h"

namespace keel::tools {

absl::StatusOr<LocalCluster> LocalCluster::Create(const Options& options) {
  LocalCluster cluster;
  cluster.options_ = options;
  cluster.founders_ = options.members;
  for (int i = 0; i < options.members; ++i) KEEL_RETURN_IF_ERROR(cluster.Reserve().status());
  return cluster;
}

absl::StatusOr<int> LocalCluster::Reserve() {
  MemberProcess member;
  member.name = absl::StrCat("n", size() + 1);
  member.data_dir = absl::StrCat(options_.dir, "/", member.name);
  member.log_file = absl::StrCat(options_.dir, "/", member.name, ".log");
  KEEL_ASSIGN_OR_RETURN(member.client_port, FreePort());
  KEEL_ASSIGN_OR_RETURN(member.peer_port, FreePort());
  members_.push_back(std::move(member));
  return size() - 1;
}

absl::Status LocalCluster::Join(int i, const std::string& initial_cluster) {
  members_[i].joins = initial_cluster;
  return Start(i);
}

std::vector<std::string> LocalCluster::Flags(int i) const {
  const MemberProcess& member = members_[i];
  std::vector<std::string> initial;
  for (int m = 0; m < founders_; ++m) initial.push_back(absl::StrCat(members_[m].name, "=", peer_url(m)));
  const std::string client = absl::StrCat("http://127.0.0.1:", member.client_port);
  const std::string peer = absl::StrCat("http://127.0.0.1:", member.peer_port);
  std::vector<std::string> flags = {
      options_.keeld,
      "--name=" + member.name,
      "--data-dir=" + member.data_dir,
      "--listen-client-urls=" + client,
      "--advertise-client-urls=" + client,
      "--listen-peer-urls=" + peer,
      "--initial-advertise-peer-urls=" + peer,
      "--initial-cluster=" + (member.joins.empty() ? absl::StrJoin(initial, ",") : member.joins),
      absl::StrCat("--initial-cluster-state=", member.joins.empty() ? "new" : "existing"),
      "--initial-cluster-token=keel-local"};
  flags.insert(flags.end(), options_.extra_flags.begin(), options_.extra_flags.end());
  flags.insert(flags.end(), member.flags.begin(), member.flags.end());
  return flags;
}

absl::Status LocalCluster::Start(int i) {
  MemberProcess& member = members_[i];
  KEEL_ASSIGN_OR_RETURN(ChildProcess process, ChildProcess::Start({.argv = Flags(i), .output_file = member.log_file}));
  member.process.clear();
  member.process.push_back(std::move(process));
  return absl::OkStatus();
}

absl::Status LocalCluster::StartAll() {
  for (int i = 0; i < size(); ++i) KEEL_RETURN_IF_ERROR(Start(i));
  return absl::OkStatus();
}

std::string LocalCluster::endpoint(int i) const { return absl::StrCat("127.0.0.1:", members_[i].client_port); }

std::string LocalCluster::peer_url(int i) const { return absl::StrCat("http://127.0.0.1:", members_[i].peer_port); }

std::string LocalCluster::endpoints() const {
  std::vector<std::string> all;
  for (int i = 0; i < size(); ++i) all.push_back(endpoint(i));
  return absl::StrJoin(all, ",");
}

std::string LocalCluster::LogTails(size_t bytes_each) const {
  std::string out;
  for (const MemberProcess& member : members_) {
    std::ifstream file(member.log_file);
    std::stringstream text;
    text << file.rdbuf();
    std::string log = text.str();
    if (log.size() > bytes_each) log = "..." + log.substr(log.size() - bytes_each);
    absl::StrAppend(&out, "--- log of ", member.name, "\n", log, "\n");
  }
  return out;
}

}  // namespace keel::tools
