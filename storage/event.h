#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/revision.h"

namespace keel::storage {

// One change of one key, as watchers see it. Immutable and shared: the bytes are encoded once, when it is applied.
struct Event {
  enum class Type { kPut, kDelete };

  Type type = Type::kPut;
  ChangeId change;
  std::string key;
  // Wire bytes of mvccpb.KeyValue. Put: the whole pair. Delete: key and mod_revision only.
  std::shared_ptr<const std::string> kv;
  // The pair this change replaced or deleted; !exists() for a creation. StateStore::RecordAt() has its bytes.
  ChangeId previous;
};

// Everything one revision changed, in sub-revision order. Never split, never empty.
struct RevisionEvents {
  Revision revision;
  std::vector<Event> events;
  size_t bytes = 0;  // What it weighs in a byte limit.
};

using RevisionEventsPtr = std::shared_ptr<const RevisionEvents>;

}  // namespace keel::storage
