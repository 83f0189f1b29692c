#pragma once

// Where the two servers differ and are meant to: because Keel follows a newer version of the protocol than the etcd it
// is compared with, because the layer below speaks with a different voice, or on purpose. The one place for it.

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "tests/differential/comparer.h"
#include "tests/differential/connection.h"
#include "tests/differential/sequence.h"

namespace keel::differential {

// The path of a DELETE that keel's watcher of history was sent and etcd's was not, of the revision of a compaction.
inline constexpr char kTombstoneAtCompaction[] = "delete at the compact revision";

// One differing field and where it was found.
struct Divergence {
  const Step& step;
  const google::protobuf::Message* request;  // As sent; null for raw bytes.
  const FieldDifference& field;
  const Answer& etcd;
  const Answer& keel;
  // For a progress request: that a watcher of the stream is not there yet, or there is none.
  bool stream_has_waiting = false;
};

enum class After {
  kGoOn,
  kEnd,  // The servers' states differ from here on: the sequence ends, without fault.
};

struct KnownDifference {
  std::string name;
  std::string reason;
  bool (*explains)(const Divergence&);
  After after = After::kGoOn;
  std::string shown_by;   // The directed sequence that must meet it.
  std::string not_shown;  // Or why none can.
};

const std::vector<KnownDifference>& KnownDifferences();

// Null: nothing explains it.
const KnownDifference* FindExplanation(const Divergence& divergence);

}  // namespace keel::differential
