#include "tests/differential/generator.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "proto/etcdserver_lease.pb.h"
#include "tests/differential/request_maker.h"

namespace keel::differential {
namespace {

// How often each kind of step comes, and how many steps there are.
struct Profile {
  const char* name;
  int weight;
  int steps_max;
  int range, put, erase, txn, compact, lease, watch, maintenance, malformed, long_txn, large;
};

constexpr Profile kProfiles[] = {
    {"kv", 25, 60, 30, 40, 12, 6, 4, 4, 0, 0, 1, 1, 0},
    {"txn", 25, 40, 12, 25, 6, 50, 3, 6, 0, 0, 0, 1, 0},
    {"lease", 15, 60, 10, 25, 5, 10, 2, 48, 0, 0, 0, 0, 0},
    {"watch", 25, 40, 3, 35, 12, 14, 4, 6, 26, 0, 0, 0, 0},
    {"maintenance", 5, 40, 15, 25, 5, 10, 8, 10, 0, 25, 0, 0, 0},
    {"limits", 2, 20, 10, 20, 5, 10, 5, 5, 0, 0, 30, 10, 5},
    {"everything", 10, 80, 20, 30, 8, 15, 3, 12, 10, 0, 1, 0, 0},
};

const Profile& ChooseProfile(Random* random) {
  int total = 0;
  for (const Profile& profile : kProfiles) total += profile.weight;
  int64_t at = random->Between(0, total - 1);
  for (const Profile& profile : kProfiles) {
    at -= profile.weight;
    if (at < 0) return profile;
  }
  return kProfiles[0];
}

Step ChooseStep(const Profile& profile, RequestMaker* maker) {
  Vocabulary& words = maker->words();
  const int total = profile.range + profile.put + profile.erase + profile.txn + profile.compact + profile.lease +
                    profile.watch + profile.maintenance + profile.malformed + profile.long_txn + profile.large;
  int64_t at = words.Between(0, total - 1);
  const auto falls = [&at](int weight) { return (at -= weight) < 0; };
  if (falls(profile.range)) return MakeStep("range", maker->Range());
  if (falls(profile.put)) return MakeStep("put", maker->Put());
  if (falls(profile.erase)) return MakeStep("delete", maker->Delete());
  if (falls(profile.txn)) return MakeStep("txn", maker->WholeTxn());
  if (falls(profile.compact)) return MakeStep("compact", maker->Compact());
  if (falls(profile.lease)) return maker->LeaseStep();
  if (falls(profile.watch)) return MakeStep("watch", maker->Watch(), static_cast<int>(words.Between(0, 1)));
  if (falls(profile.maintenance)) return maker->MaintenanceStep();
  if (falls(profile.malformed)) return maker->MalformedStep();
  if (falls(profile.long_txn)) return MakeStep("txn", maker->LongTxn());
  return maker->LargeStep();
}

// What is left must be the same too: every pair, every lease and what hangs on it.
void AddFinalReads(Sequence* sequence) {
  etcdserverpb::RangeRequest everything;
  everything.set_key(std::string(1, '\0'));
  everything.set_range_end(std::string(1, '\0'));
  sequence->steps.push_back(MakeStep("range", everything));
  sequence->steps.push_back(MakeStep("leases", etcdserverpb::LeaseLeasesRequest()));
  for (int64_t id = 1; id <= 4; ++id) {
    etcdserverpb::LeaseTimeToLiveRequest lease;
    lease.set_id(id);
    lease.set_keys(true);
    sequence->steps.push_back(MakeStep("timetolive", lease));
  }
}

}  // namespace

Sequence Generate(uint64_t seed, uint64_t number) {
  // Sequences of neighbouring numbers and seeds share nothing: the generator mixes its seed well.
  Random mix(seed * 0x9e3779b97f4a7c15u + number);
  RequestMaker maker(mix.Next());
  const Profile& profile = ChooseProfile(&maker.words().random());
  Sequence sequence{.name = absl::StrCat(profile.name, "-", seed, "-", number)};
  const int64_t steps = maker.words().Between(5, profile.steps_max);
  // Something to meet.
  for (int i = 0; i < 4; ++i) sequence.steps.push_back(MakeStep("put", maker.Put()));
  if (profile.watch > 0) {
    // Somebody who sees it.
    for (int stream = 0; stream < 2; ++stream) {
      etcdserverpb::WatchRequest everything;
      everything.mutable_create_request()->set_key(std::string(1, '\0'));
      everything.mutable_create_request()->set_range_end(std::string(1, '\0'));
      everything.mutable_create_request()->set_prev_kv(maker.words().Chance(0.5));
      sequence.steps.push_back(MakeStep("watch", everything, stream));
    }
  }
  for (int64_t i = 0; i < steps; ++i) sequence.steps.push_back(ChooseStep(profile, &maker));
  AddFinalReads(&sequence);
  return sequence;
}

}  // namespace keel::differential
