#pragma once

// A real etcd and a Keel member, brought to equal states before each sequence.

#include <array>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tests/differential/connection.h"
#include "tests/differential/normaliser.h"
#include "tests/differential/server_process.h"

namespace keel::differential {

// The key that sequences leave to the runner: it exists at the start of each and marks what has been delivered.
inline constexpr char kMarkerKey[] = "~marker";

struct Side {
  std::unique_ptr<ServerProcess> process;
  std::unique_ptr<Connection> connection;
  ServerFacts facts;
};

// Owned by one thread.
class Pair {
 public:
  struct Options {
    std::string etcd = "etcd";
    std::string keeld;
  };

  // Two fresh servers. An error says which did not start, and what it logged.
  static absl::StatusOr<std::unique_ptr<Pair>> Start(const Options& options);

  // Empties both (keys, leases, alarms), levels their revisions, compacts at the revision that results, and makes that
  // the base of both sides' symbols. The only key is then the marker, put by that very revision.
  absl::Status Level();

  Side& etcd() { return sides_[0]; }
  Side& keel() { return sides_[1]; }
  std::array<Side, 2>& sides() { return sides_; }

  // Ok while both processes run.
  absl::Status Health();

 private:
  Pair() = default;
  absl::Status Empty(Side* side);
  absl::StatusOr<int64_t> PutMarker(Side* side);

  std::array<Side, 2> sides_;
};

}  // namespace keel::differential
