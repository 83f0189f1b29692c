#pragma once

// Keys as a tree of their parts between slashes, for `get --tree`.

#include <string>
#include <vector>

#include "keel/types.h"

namespace keel::ctl {

struct TreeStyle {
  bool values = true;  // Beside the keys.
};

// `kvs` in key order. A key that is also the beginning of others stands on its own line, with those below it. Parts
// that have no key of their own and only one below them share its line: "config/app/". Bytes that are no text are
// escaped.
std::string KeyTree(const std::vector<KeyValue>& kvs, const TreeStyle& style = {});

}  // namespace keel::ctl
