#pragma once

// A run of many sequences, and what it tells at its end.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/differential/pair.h"
#include "tests/differential/runner.h"

namespace keel::differential {

struct CampaignOptions {
  Pair::Options servers;
  uint64_t seed = 0;
  uint64_t first = 0;                 // Number of the first generated sequence.
  std::optional<uint64_t> sequences;  // At most so many.
  absl::Duration duration = absl::Seconds(40);
  std::vector<std::string> directed;  // Script files, played first; together they meet every known difference.
  bool only_directed = false;
  size_t findings_max = 1;  // Ends after so many differences.
  size_t shrink_tries_max = 400;
  std::string keep_dir;                       // Shrunk sequences are written here; empty: the system's place for such.
  std::string program = "keel-differential";  // For the replay command.
};

// Owned by one thread. Writes its report to standard output.
class Campaign {
 public:
  explicit Campaign(CampaignOptions options) : options_(std::move(options)) {}

  // The program's exit code: 0 when something was compared and every difference is a known one.
  int Run();

 private:
  // Plays one; restarts the servers if one of them ended. False: cannot go on.
  bool PlayOne(const Sequence& sequence);
  bool StartServers();
  void Report(const Sequence& sequence, const Finding& finding, absl::Duration took);
  // The smallest sequence that shows a difference, and that difference.
  std::pair<Sequence, Finding> ShrinkFinding(const Sequence& sequence, const Finding& finding);
  bool DirectedMeetAll() const;
  void PrintSummary(absl::Duration took) const;

  const CampaignOptions options_;
  std::unique_ptr<Pair> pair_;
  Counts counts_;
  size_t findings_ = 0;
};

}  // namespace keel::differential
