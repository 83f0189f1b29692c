#include "tests/interop/client_program.h"

#include "absl/strings/str_cat.h"

namespace keel::interop {
namespace {

constexpr absl::Duration kDownloadLimit = absl::Seconds(90);
constexpr absl::Duration kCompileLimit = absl::Seconds(300);

// What every client can tell, and what only some can.
std::vector<std::string> Stories(std::vector<std::string> more = {}) {
  std::vector<std::string> stories = {"kv", "range", "compaction", "txn", "watch", "lease", "lock"};
  stories.insert(stories.end(), more.begin(), more.end());
  return stories;
}

ClientProgram Etcdctl(const std::string& dir) {
  return {.name = "etcdctl",
          .folder = "etcdctl",
          .client = "etcdctl from PATH",
          .needs = {"etcdctl", "bash"},
          .environment = {"ETCDCTL_API=3"},
          .run = {"bash", dir + "/stories.sh"},
          .stories = Stories({"election"})};
}

ClientProgram Go(const std::string& dir) {
  // The compiler's own cache stays where it is, as ccache's does: most of a build is Go's library.
  return {.name = "go",
          .folder = "go",
          .client = "go.etcd.io/etcd/client/v3 3.7.3 with its concurrency and recipe packages",
          .needs = {"go"},
          .environment = {"GOTOOLCHAIN=local", "GOFLAGS=-mod=readonly -modcacherw -trimpath -buildvcs=false",
                          "CGO_ENABLED=0", absl::StrCat("GOMODCACHE=", dir, "/cache")},
          .locks = {"go.mod", "go.sum"},
          .download = {{{"go", "list", "-deps", "."}, kDownloadLimit}},
          .compile = {{{"go", "build", "-o", "stories", "."}, kCompileLimit}},
          .run = {dir + "/stories"},
          .stories = Stories({"election", "stm", "recipes", "kubernetes"})};
}

ClientProgram Python(const std::string& dir) {
  return {.name = "python",
          .folder = "python",
          .client = "PyPI's etcd3 0.12.0",
          .needs = {"python3"},
          .environment = {absl::StrCat("PYTHONPATH=", dir, "/packages"), "PYTHONDONTWRITEBYTECODE=1"},
          .locks = {"requirements.txt"},
          .download = {{{"python3", "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade", "--cache-dir",
                         dir + "/cache", "--target", dir + "/packages", "-r", "requirements.txt"},
                        kDownloadLimit},
                       // There are no binary packages for every interpreter.
                       {{"python3", "-c", "import etcd3"}, kDownloadLimit}},
          .run = {"python3", dir + "/etcd3_stories.py"},
          .lock_protocol = LockProtocol::kOneKey,
          .stories = Stories()};
}

ClientProgram Gateway(const std::string& dir) {
  return {.name = "gateway",
          .folder = "python",
          .client = "JSON over HTTP with Python's standard library",
          .needs = {"python3"},
          .environment = {"PYTHONDONTWRITEBYTECODE=1"},
          .run = {"python3", dir + "/gateway_stories.py"},
          .stories = Stories({"election"})};
}

ClientProgram Node(const std::string& dir) {
  return {.name = "node",
          .folder = "node",
          .client = "npm's etcd3 1.1.2",
          .needs = {"node", "npm"},
          .locks = {"package.json", "package-lock.json"},
          .download = {{{"npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", dir + "/cache"},
                        kDownloadLimit}},
          .run = {"node", dir + "/stories.js"},
          .lock_protocol = LockProtocol::kOneKey,
          .stories = Stories({"election"})};
}

ClientProgram Rust(const std::string& dir) {
  return {.name = "rust",
          .folder = "rust",
          .client = "crates.io's etcd-client 0.21.1",
          .needs = {"cargo", "rustc", "cc", "protoc"},
          .environment = {absl::StrCat("CARGO_TARGET_DIR=", dir, "/target")},
          .locks = {"Cargo.toml", "Cargo.lock"},
          .download = {{{"cargo", "fetch", "--locked"}, kDownloadLimit}},
          .compile = {{{"cargo", "build", "--quiet", "--locked", "--offline"}, kCompileLimit}},
          .run = {dir + "/target/debug/stories"},
          .stories = Stories({"election"})};
}

ClientProgram Java(const std::string& dir) {
  return {.name = "java",
          .folder = "java",
          .client = "Maven Central's jetcd 0.8.5",
          .needs = {"java", "javac", "mvn", "bash"},
          .locks = {"pom.xml"},
          .download = {{{"mvn", "--batch-mode", "--quiet", absl::StrCat("-Dmaven.repo.local=", dir, "/cache"),
                         "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory=lib"},
                        kDownloadLimit}},
          .compile = {{{"bash", "-c", "javac -cp 'lib/*' -d classes *.java"}, kCompileLimit}},
          .run = {"java", "-cp", dir + "/classes:" + dir + "/lib/*", "Stories"},
          .stories = Stories({"election"})};
}

}  // namespace

std::vector<ClientProgram> ClientPrograms(const std::string& work_dir) {
  return {Etcdctl(work_dir + "/etcdctl"), Go(work_dir + "/go"),     Python(work_dir + "/python"),
          Gateway(work_dir + "/gateway"), Node(work_dir + "/node"), Rust(work_dir + "/rust"),
          Java(work_dir + "/java")};
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
