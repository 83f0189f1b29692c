#pragma once

// What a disk holds after a prefix of a trace, for a process that was killed there and for a machine whose power was
// cut. After a power cut there is what was synced, and any part of the rest: of changed names the first so many, in
// their order, since file systems journal them; of each file's unsynced writes all that a device may have stored, in
// sectors of 512 bytes. A file whose name, or whose directory's name, was not durable is gone.

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/member_crash/file_trace.h"

namespace keel::crash {

class DiskImage {
 public:
  // The ops of the trace must stay where they are as long as the image and its copies live.
  DiskImage();

  void Add(const FileOp& op);

  enum class Loss { kEverything, kAnyPart };
  // Loses what was not synced.
  void PowerCut(Loss loss, Random* random);

  // Makes `dir`, which must not exist, look like it.
  void WriteTo(const std::string& dir) const;

 private:
  using Names = std::map<std::string, uint64_t>;
  struct Node {
    bool is_dir = false;
    Names names = {};                                                              // A directory's, as of now.
    Names durable_names = {};                                                      // After a power cut.
    std::shared_ptr<const std::string> durable = std::make_shared<std::string>();  // A file's content.
    std::vector<const FileOp*> pending = {};                                       // Writes and truncations since.
  };
  // A change of names that was not synced.
  struct Change {
    uint64_t dir = 0;
    std::string name;
    uint64_t node = 0;  // 0: the name goes.
    uint64_t from_dir = 0;
    std::string from = {};  // Not empty: a name that goes with it.
  };

  static constexpr uint64_t kRoot = 1;

  uint64_t Find(const std::string& path) const;
  // The directory of `path`, and the last part of it.
  std::pair<uint64_t, std::string> Place(const std::string& path) const;
  void Make(const Change& change);
  void MakeDurable(const Change& change);
  void SyncDir(uint64_t dir);
  std::string Content(const Node& file) const;
  void WriteDir(uint64_t node, const std::string& dir) const;

  std::map<uint64_t, Node> nodes_;
  std::map<uint64_t, uint64_t> node_of_inode_;
  std::vector<Change> changes_;
  uint64_t last_node_ = kRoot;
};

}  // namespace keel::crash
