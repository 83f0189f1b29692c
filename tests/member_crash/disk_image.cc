#include "tests/member_crash/disk_image.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include "base/check.h"

namespace keel::crash {
namespace {

constexpr size_t kSectorBytes = 512;

void Play(const FileOp& op, std::string* content) {
  if (op.kind == FileOp::Kind::kTruncate) {
    content->resize(op.offset);
    return;
  }
  if (content->size() < op.offset + op.bytes.size()) content->resize(op.offset + op.bytes.size());
  std::memcpy(content->data() + op.offset, op.bytes.data(), op.bytes.size());
}

// Some of its sectors only.
void PlayPartly(const FileOp& op, Random* random, std::string* content) {
  if (op.kind == FileOp::Kind::kTruncate) {
    if (random->Chance(0.5)) Play(op, content);
    return;
  }
  const uint64_t end = op.offset + op.bytes.size();
  // The length may be stored although the data is not.
  if (content->size() < end && random->Chance(0.5)) content->resize(end);
  for (uint64_t at = op.offset; at < end;) {
    const uint64_t next = std::min<uint64_t>(end, (at / kSectorBytes + 1) * kSectorBytes);
    if (random->Chance(0.5)) {
      if (content->size() < next) content->resize(next);
      std::memcpy(content->data() + at, op.bytes.data() + (at - op.offset), next - at);
    }
    at = next;
  }
}

}  // namespace

DiskImage::DiskImage() { nodes_[kRoot].is_dir = true; }

uint64_t DiskImage::Find(const std::string& path) const {
  if (path.empty()) return kRoot;
  const auto [dir, name] = Place(path);
  const Names& names = nodes_.at(dir).names;
  const auto it = names.find(name);
  KEEL_CHECK(it != names.end()) << path;
  return it->second;
}

std::pair<uint64_t, std::string> DiskImage::Place(const std::string& path) const {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {kRoot, path};
  return {Find(path.substr(0, slash)), path.substr(slash + 1)};
}

void DiskImage::Make(const Change& change) {
  if (!change.from.empty()) nodes_.at(change.from_dir).names.erase(change.from);
  Names& names = nodes_.at(change.dir).names;
  if (change.node == 0) {
    names.erase(change.name);
  } else {
    names[change.name] = change.node;
  }
  changes_.push_back(change);
}

void DiskImage::MakeDurable(const Change& change) {
  if (!change.from.empty()) nodes_.at(change.from_dir).durable_names.erase(change.from);
  Names& names = nodes_.at(change.dir).durable_names;
  if (change.node == 0) {
    names.erase(change.name);
  } else {
    names[change.name] = change.node;
  }
}

void DiskImage::Add(const FileOp& op) {
  switch (op.kind) {
    case FileOp::Kind::kMark:
      return;
    case FileOp::Kind::kCreate:
    case FileOp::Kind::kMakeDir: {
      const auto [dir, name] = Place(op.path);
      const uint64_t node = ++last_node_;
      nodes_[node].is_dir = op.kind == FileOp::Kind::kMakeDir;
      if (op.kind == FileOp::Kind::kCreate) node_of_inode_[op.inode] = node;
      return Make({.dir = dir, .name = name, .node = node});
    }
    case FileOp::Kind::kWrite:
    case FileOp::Kind::kTruncate:
      nodes_.at(node_of_inode_.at(op.inode)).pending.push_back(&op);
      return;
    case FileOp::Kind::kSync: {
      Node& file = nodes_.at(node_of_inode_.at(op.inode));
      if (!file.pending.empty()) file.durable = std::make_shared<const std::string>(Content(file));
      file.pending.clear();
      return;
    }
    case FileOp::Kind::kSyncDir:
      return SyncDir(Find(op.path));
    case FileOp::Kind::kRename: {
      const auto [from_dir, from] = Place(op.path);
      const auto [dir, name] = Place(op.to);
      return Make({.dir = dir, .name = name, .node = Find(op.path), .from_dir = from_dir, .from = from});
    }
    case FileOp::Kind::kLink: {
      const auto [dir, name] = Place(op.to);
      return Make({.dir = dir, .name = name, .node = Find(op.path)});
    }
    case FileOp::Kind::kRemove:
    case FileOp::Kind::kRemoveDir: {
      const auto [dir, name] = Place(op.path);
      return Make({.dir = dir, .name = name, .node = 0});
    }
  }
}

void DiskImage::SyncDir(uint64_t dir) {
  std::vector<Change> others;
  for (Change& change : changes_) {
    if (change.dir != dir) {
      others.push_back(std::move(change));
      continue;
    }
    MakeDurable(change);
    // A move is one change of two directories: what led to the name that has gone with it must not come after it.
    if (change.from_dir != 0) {
      std::erase_if(others, [&](const Change& c) { return c.dir == change.from_dir && c.name == change.from; });
    }
  }
  changes_ = std::move(others);
}

std::string DiskImage::Content(const Node& file) const {
  std::string content = *file.durable;
  for (const FileOp* op : file.pending) Play(*op, &content);
  return content;
}

void DiskImage::PowerCut(Loss loss, Random* random) {
  const size_t kept = loss == Loss::kAnyPart ? random->Below(changes_.size() + 1) : 0;
  for (size_t i = 0; i < kept; ++i) MakeDurable(changes_[i]);
  changes_.clear();
  for (auto& [number, node] : nodes_) {
    node.names = node.durable_names;
    if (node.pending.empty()) continue;
    std::string content = *node.durable;
    if (loss == Loss::kAnyPart) {
      for (const FileOp* op : node.pending) PlayPartly(*op, random, &content);
    }
    node.durable = std::make_shared<const std::string>(std::move(content));
    node.pending.clear();
  }
}

void DiskImage::WriteTo(const std::string& dir) const { WriteDir(kRoot, dir); }

void DiskImage::WriteDir(uint64_t node, const std::string& dir) const {
  KEEL_CHECK(std::filesystem::create_directory(dir)) << dir;
  for (const auto& [name, child] : nodes_.at(node).names) {
    const std::string path = dir + "/" + name;
    if (nodes_.at(child).is_dir) {
      WriteDir(child, path);
      continue;
    }
    const std::string content = Content(nodes_.at(child));
    std::ofstream file(path, std::ios::binary);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    KEEL_CHECK(file.flush().good()) << path;
  }
}

}  // namespace keel::crash
