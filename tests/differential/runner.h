#pragma once

// Plays a sequence on both servers and compares every answer.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "tests/differential/comparer.h"
#include "tests/differential/known_differences.h"
#include "tests/differential/pair.h"
#include "tests/differential/sequence.h"
#include "tests/differential/watch_player.h"

namespace keel::differential {

struct Counts {
  uint64_t sequences = 0;
  uint64_t requests = 0;
  uint64_t fields = 0;
  uint64_t events = 0;
  std::map<std::string, uint64_t> by_method;
  std::map<std::string, uint64_t> errors;  // By etcd's message, for errors both gave alike.
  std::map<std::string, uint64_t> known;   // Known differences met, by name.

  void Add(const Counts& other);
};

struct Finding {
  size_t step = 0;  // The last step played when it was seen.
  std::vector<FieldDifference> differences;
  Answer etcd;  // Of that step; of a watch's log neither.
  Answer keel;
};

struct Played {
  absl::Status status;  // Not ok: a server ended or cannot be levelled; nothing more can be played on the pair.
  std::optional<Finding> finding;
  Counts counts;
  absl::Duration took;
};

// Owned by one thread.
class Runner {
 public:
  // `patience`: how long one server may deliver watch events behind the other.
  explicit Runner(Pair* pair, absl::Duration patience = absl::Seconds(10)) : pair_(pair), patience_(patience) {}

  // Levels the servers first, so that sequences do not depend on each other.
  Played Play(const Sequence& sequence);

 private:
  struct Exchange {
    Answer etcd;
    Answer keel;
    MessagePtr request;  // As etcd got it.
    bool stream_has_waiting = false;
  };

  Exchange Perform(const Step& step, WatchPlayer* watches, std::array<std::unique_ptr<Stream>, 2>* keepalives);
  Exchange CallBoth(const Step& step);
  Exchange CallUntilGone(const Step& step);
  Exchange KeepAlive(const Step& step, std::array<std::unique_ptr<Stream>, 2>* keepalives);
  Exchange ServerStream(const Step& step);
  std::array<MessagePtr, 2> ResolveFor(const Step& step) const;
  // Learns from the answers what the symbols stand for now, then normalises them.
  void Digest(const Step& step, Exchange* exchange);

  Pair* const pair_;
  const absl::Duration patience_;
};

}  // namespace keel::differential
