#pragma once

// What this process does to the files below a directory, operation by operation, in one order: the calls that change
// files are interposed, so nothing that any library does escapes. While a trace runs, an operation and its place in the
// trace are one step; a prefix of the trace is what a crash at that point would leave to be found.
//
// Names of the database's own text log (LOG, LOG.old.*) are left out: it is written through stdio, for people.

#include <cstdint>
#include <string>
#include <vector>

namespace keel::crash {

struct FileOp {
  enum class Kind {
    kCreate,     // `path` names the new, empty file `inode`.
    kMakeDir,    // `path` names a new, empty directory.
    kWrite,      // `bytes` at `offset` of `inode`.
    kTruncate,   // `inode` is `offset` bytes long, zeroes where it was shorter.
    kSync,       // What was written to `inode` is durable.
    kSyncDir,    // The names in the directory `path` are durable.
    kRename,     // `path` is now `to`; a file of that name is gone.
    kLink,       // `to` is another name of `path`.
    kRemove,     // The name `path` of a file is gone.
    kRemoveDir,  // The empty directory `path` is gone.
    kMark,       // Not an operation: the test has come to `number`.
  };
  Kind kind;
  uint64_t inode = 0;  // Never used twice.
  std::string path = {};
  std::string to = {};
  uint64_t offset = 0;
  std::string bytes = {};
  uint64_t number = 0;
};

// One at a time. Thread-safe.
class FileTrace {
 public:
  // Begins. `root` exists and is empty; absolute, without symbolic links.
  explicit FileTrace(const std::string& root);
  ~FileTrace();
  FileTrace(const FileTrace&) = delete;
  FileTrace& operator=(const FileTrace&) = delete;

  void Mark(uint64_t number);
  // Ends it. Paths are relative to the root, "" is the root itself.
  std::vector<FileOp> Take();
};

// While it lives syncs return at once, done or not: for looking at thousands of images whose fate does not matter.
class HastySyncs {
 public:
  HastySyncs();
  ~HastySyncs();
};

}  // namespace keel::crash
