// Whatever a peer says, this member stays up, and what it had committed stays. Random messages, some of them almost
// right, against a core in random states; then random bytes against the decoder. The seed is printed;
// KEEL_FUZZ_SEED=n runs one.

#include <gtest/gtest.h>

#include <cstdlib>

#include "base/random.h"
#include "raft/core.h"
#include "raft/wire.h"
#include "tests/raft/rig.h"

namespace keel::raft {
namespace {

uint64_t FirstSeed() {
  const char* const seed = std::getenv("KEEL_FUZZ_SEED");
  return seed == nullptr ? 1 : std::strtoull(seed, nullptr, 10);
}
uint64_t LastSeed(uint64_t count) { return std::getenv("KEEL_FUZZ_SEED") == nullptr ? count : FirstSeed(); }

class Hostile {
 public:
  explicit Hostile(uint64_t seed) : random_(seed), rig_(Options(seed), Initial()) {}

  void Run(int steps) {
    for (int step = 0; step < steps; ++step) {
      Step();
      const CoreStatus status = rig_.core.status();
      ASSERT_GE(status.commit, commit_);
      ASSERT_GE(status.term, term_);
      commit_ = status.commit;
      term_ = status.term;
    }
  }
  uint64_t refused() const { return refused_; }
  uint64_t taken() const { return taken_; }

 private:
  static CoreOptions Options(uint64_t seed) {
    CoreOptions options = RigOptions();
    options.seed = seed;
    options.uncommitted_bytes_max = 2000;
    options.cached_log_bytes_max = 500;
    options.inflight_messages_max = 4;
    return options;
  }
  InitialState Initial() {
    if (random_.Chance(0.1)) return InitialState{};
    InitialState initial = RigState(1 + random_.Below(4), {1, 1, 2, 2, 3});
    if (random_.Chance(0.5)) {
      initial.snapshot = {Term(1), Index(2)};
      initial.term_runs = {{Index(3), Term(2)}, {Index(5), Term(3)}};
      initial.applied = Index(2 + random_.Below(4));
    }
    if (random_.Chance(0.3)) initial.membership.learners = Ids({7});
    return initial;
  }

  // Often near what is true, sometimes far from anything.
  uint64_t Number(uint64_t near) {
    switch (random_.Below(12)) {
      case 0:
        return random_.Next();
      case 1:
        return 0;
      case 2:
        return ~uint64_t{0} - random_.Below(3);
      case 3:
        return (uint64_t{1} << 62) - 1 + random_.Below(3);
      default:
        return near + random_.Below(5) - std::min<uint64_t>(near, 2);
    }
  }
  EntryId Id() {
    const CoreStatus status = rig_.core.status();
    if (random_.Chance(0.3)) return status.last;
    return {Term(Number(random_.Chance(0.5) ? status.last.term.value() : status.term.value())),
            Index(Number(random_.Chance(0.5) ? status.last.index.value() : status.commit.value()))};
  }
  Membership SomeMembership() {
    Membership membership;
    for (uint64_t id = 1; id <= 6; ++id) {
      if (random_.Chance(0.5)) membership.voters.push_back(MemberId(id));
      if (random_.Chance(0.1)) membership.outgoing_voters.push_back(MemberId(id));
      if (random_.Chance(0.1)) membership.learners.push_back(MemberId(id));
    }
    return membership;
  }
  std::vector<Entry> SomeEntries(EntryId prev) {
    std::vector<Entry> entries;
    for (uint64_t n = random_.Below(4); n > 0; --n) {
      Entry entry;
      entry.id = {prev.term + random_.Below(2), prev.index + 1};
      if (random_.Chance(0.05)) entry.id = Id();
      entry.type = static_cast<EntryType>(random_.Chance(0.9) ? 1 + random_.Below(3) : random_.Below(256));
      entry.payload = entry.type == EntryType::kMembership && random_.Chance(0.9)
                          ? EncodeMembershipEntry(SomeMembership(), "x")
                          : Payload(std::string(random_.Below(200), 'p'));
      prev = entry.id;
      entries.push_back(std::move(entry));
    }
    return entries;
  }
  MessageBody Body() {
    const CoreStatus status = rig_.core.status();
    switch (random_.Below(11)) {
      case 0:
        return VoteRequest{.last = Id(), .pre_vote = random_.Chance(0.5), .transfer = random_.Chance(0.2)};
      case 1:
        return VoteResponse{.granted = random_.Chance(0.8), .pre_vote = random_.Chance(0.5)};
      case 2: {
        const EntryId prev = Id();
        return AppendRequest{.prev = prev,
                             .entries = SomeEntries(prev),
                             .commit = Index(Number(status.commit.value())),
                             .read_round = random_.Next()};
      }
      case 3:
        return AppendResponse{.rejected = random_.Chance(0.4),
                              .index = Index(Number(status.last.index.value())),
                              .hint = Id(),
                              .read_round = Number(1)};
      case 4:
        // One of an entry that is not there proves a loss of data, after which nothing more would happen.
        return Heartbeat{.commit = random_.Chance(0.5) ? status.last : EntryId(),
                         .read_round = random_.Next(),
                         .quiet = random_.Chance(0.3)};
      case 5:
        return HeartbeatResponse{.read_round = Number(1)};
      case 6:
        return ReadIndexRequest{.id = ReadId(random_.Next())};
      case 7:
        return ReadIndexResponse{.id = ReadId(random_.Next()), .index = Index(random_.Next())};
      case 8:
        return ForwardProposal{.payloads = {Payload(std::string(random_.Below(300), 'f'))}};
      case 9:
        return SnapshotInstalled{.last = Id()};
      default:
        return TimeoutNow{};
    }
  }

  void Count(const absl::Status& status) {
    ++(status.ok() ? taken_ : refused_);
    ASSERT_FALSE(absl::IsDataLoss(status)) << status;
  }

  void Step() {
    const CoreStatus status = rig_.core.status();
    switch (random_.Below(24)) {
      case 0:
        return rig_.Tick();
      case 1:
        return rig_.Tick(static_cast<int>(random_.Below(2 * kElectionTicks)));
      case 2:
        return rig_.Sync();
      case 3:
        if (!rig_.install) rig_.Apply();
        return;
      case 4:
        (void)rig_.Propose(std::string(random_.Below(300), 'x'));
        return;
      case 5:
        (void)rig_.Change({.add_voters = random_.Chance(0.5) ? Ids({1 + random_.Below(7)}) : Ids({}),
                           .remove = random_.Chance(0.5) ? Ids({1 + random_.Below(7)}) : Ids({})});
        return;
      case 6:
        (void)rig_.core.TransferLeadership(MemberId(random_.Below(7)));
        return rig_.Drain();
      case 7:
        rig_.core.ReadIndex(ReadId(next_read_++));
        return rig_.Drain();
      case 8:
        rig_.core.OnPeerDied(MemberId(random_.Below(7)));
        return rig_.Drain();
      case 9:
        rig_.core.Campaign();
        return rig_.Drain();
      case 10:
        for (const FetchWork& fetch : std::exchange(rig_.fetches, {})) rig_.core.OnFetched(fetch.follower, {});
        for (const SnapshotWork& work : std::exchange(rig_.snapshots, {})) {
          rig_.core.OnSnapshotSent(work.follower,
                                   random_.Chance(0.5) ? absl::OkStatus() : absl::UnavailableError("lost"), Id());
        }
        return rig_.Drain();
      case 11:
        rig_.core.OfferSnapshot(MemberId(random_.Below(7)), Term(Number(status.term.value())),
                                {.last = Id(), .membership = SomeMembership()});
        return rig_.Drain();
      case 12:
        if (!rig_.install) return;
        rig_.Sync();
        rig_.core.OnSnapshotInstalled(*std::exchange(rig_.install, std::nullopt));
        return rig_.Drain();
      default: {
        // The usual, from somebody who may be anybody, in a term that may be any.
        const uint64_t term = random_.Chance(0.7) ? status.term.value() : Number(status.term.value());
        // Once at the end of terms nothing more can happen.
        if (term > status.term.value() + 1000 && random_.Chance(0.99)) return;
        Message message{.from = MemberId(random_.Below(8)),
                        .to = MemberId(random_.Chance(0.98) ? 1 : random_.Below(4)),
                        .term = Term(term),
                        .body = Body()};
        Count(rig_.core.Step(std::move(message)));
        return rig_.Drain();
      }
    }
  }

  Random random_;
  Rig rig_;
  uint64_t next_read_ = 1;
  uint64_t refused_ = 0;
  uint64_t taken_ = 0;
  Index commit_;
  Term term_;
};

TEST(RaftHostilePeerTest, NoMessageBringsAMemberDown) {
  uint64_t refused = 0;
  uint64_t taken = 0;
  const uint64_t last = LastSeed(400);
  for (uint64_t seed = FirstSeed(); seed <= last; ++seed) {
    // The process ends where a check fails: the last seed printed is the one.
    SCOPED_TRACE(testing::Message() << "KEEL_FUZZ_SEED=" << seed);
    if (seed % 100 == 1 || seed == last) std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    Hostile hostile(seed);
    hostile.Run(400);
    if (testing::Test::HasFatalFailure()) return;
    refused += hostile.refused();
    taken += hostile.taken();
  }
  std::printf("%llu messages taken, %llu refused\n", static_cast<unsigned long long>(taken),
              static_cast<unsigned long long>(refused));
  EXPECT_GT(taken, refused / 10);
  EXPECT_GT(refused, taken / 10);
}

TEST(RaftHostilePeerTest, NoBytesBringTheDecoderDown) {
  uint64_t decoded = 0;
  uint64_t refused = 0;
  const uint64_t last = LastSeed(20000);
  for (uint64_t seed = FirstSeed(); seed <= last; ++seed) {
    SCOPED_TRACE(testing::Message() << "KEEL_FUZZ_SEED=" << seed);
    Random random(seed);
    Message message{.from = MemberId(2), .to = MemberId(1), .term = Term(3), .body = {}};
    std::vector<Entry> entries = Entries(5, {2, 3});
    entries[0].type = EntryType::kMembership;
    entries[0].payload = EncodeMembershipEntry({.voters = Ids({1, 2, 3}), .learners = Ids({4})}, "context");
    switch (random.Below(4)) {
      case 0:
        message.body = AppendRequest{.prev = {Term(2), Index(4)}, .entries = entries, .commit = Index(4)};
        break;
      case 1:
        message.body = ForwardProposal{.payloads = {Payload("abc"), Payload("")}};
        break;
      case 2:
        message.body = AppendResponse{.rejected = true, .index = Index(5), .hint = {Term(1), Index(2)}};
        break;
      default:
        message.body = VoteRequest{.last = {Term(2), Index(4)}, .pre_vote = true};
    }
    raftpb::Message pb;
    EncodeMessage(message, &pb);
    std::string bytes = pb.SerializeAsString();
    for (uint64_t n = random.Below(6); n > 0; --n) {
      switch (random.Below(3)) {
        case 0:
          bytes[random.Below(bytes.size())] = static_cast<char>(random.Below(256));
          break;
        case 1:
          bytes.insert(random.Below(bytes.size()), 1, static_cast<char>(random.Below(256)));
          break;
        case 2:
          if (bytes.size() > 1) bytes.erase(random.Below(bytes.size()), 1);
          break;
      }
    }
    raftpb::Message parsed;
    if (!parsed.ParseFromString(bytes)) {
      ++refused;
      continue;
    }
    absl::StatusOr<Message> result = DecodeMessage(std::move(parsed));
    if (!result.ok()) {
      ++refused;
      continue;
    }
    ++decoded;
    Rig rig(3);
    (void)rig.core.Step(std::move(*result));
    rig.Sync();
  }
  std::printf("%llu decoded, %llu refused\n", static_cast<unsigned long long>(decoded),
              static_cast<unsigned long long>(refused));
  if (last > FirstSeed()) {
    EXPECT_GT(decoded, 1000u);
    EXPECT_GT(refused, 1000u);
  }
}

}  // namespace
}  // namespace keel::raft
