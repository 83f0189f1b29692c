#include "tests/interop/client_program.h"

#include "absl/strings/str_cat.h"

namespace keel::interop {
namespace {

constexpr absl::Duration kDownloadLimit = absl::Seconds(90);
constexpr absl::Duration kCompileLimit = absl::Seconds(300);

std::vector<std::string> AllStories() {
  return {"kv", "range", "compaction", "txn", "watch", "lease", "lock", "election"};
}

ClientProgram Etcdctl(const std::string& dir) {
  return {.name = "etcdctl",
          .client = "etcdctl from PATH",
          .needs = {"etcdctl", "bash"},
          .environment = {"ETCDCTL_API=3"},
          .run = {"bash", dir + "/stories.sh"},
          .stories = AllStories()};
}

ClientProgram Go(const std::string& dir) {
  return {
      .name = "go",
      .client = "go.etcd.io/etcd/client/v3 3.7.3 with its concurrency package",
      .needs = {"go"},
      .environment = {"GOTOOLCHAIN=local", "GOFLAGS=-mod=readonly -modcacherw", "CGO_ENABLED=0",
                      absl::StrCat("GOMODCACHE=", dir, "/cache/mod"), absl::StrCat("GOCACHE=", dir, "/cache/build")},
      .locks = {"go.mod", "go.sum"},
      .download = {{{"go", "list", "-deps", "."}, kDownloadLimit}},
      .compile = {{{"go", "build", "-o", "stories", "."}, kCompileLimit}},
      .run = {dir + "/stories"},
      .stories = {"kv", "range", "compaction", "txn", "watch", "lease", "lock", "election", "stm", "kubernetes"}};
}

}  // namespace

std::vector<ClientProgram> ClientPrograms(const std::string& work_dir) {
  return {Etcdctl(work_dir + "/etcdctl"), Go(work_dir + "/go")};
}

absl::StatusOr<ClientProgram> FindClientProgram(const std::string& work_dir, const std::string& name) {
  std::string names;
  for (ClientProgram& program : ClientPrograms(work_dir)) {
    if (program.name == name) return std::move(program);
    absl::StrAppend(&names, " ", program.name);
  }
  return absl::NotFoundError(absl::StrCat("no client program '", name, "'; there are:", names));
}

}  // namespace keel::interop
