// keel-differential: the same requests to a real etcd and to keeld, every answer compared.
//
//   keel-differential                            the directed sequences, then generated ones for 40 s
//   keel-differential --duration 3600 --seed 7   longer, and a seed of one's own
//   keel-differential --replay FILE              one script

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "base/random.h"
#include "tests/differential/campaign.h"

int main(int argc, char** argv) {
  using namespace keel::differential;
  CampaignOptions options;
  options.program = argv[0];
  options.servers.keeld = KEELD_PATH;
  options.seed = keel::Random::EntropySeed() % 1'000'000'000;
  double seconds = 40;
  std::string replay;
  std::string scripts = SEQUENCES_PATH;

  CLI::App app("Compares keeld with etcd, request by request.");
  app.add_option("--seed", options.seed, "seed of the generated sequences; printed, and by default a new one");
  app.add_option("--duration", seconds, "seconds to go on for");
  app.add_option("--sequences", options.sequences, "generated sequences, at most");
  app.add_option("--first", options.first, "number of the first generated sequence");
  app.add_option("--findings", options.findings_max, "end after so many differences");
  app.add_option("--replay", replay, "play this script alone");
  app.add_option("--directed", scripts, "folder of the directed sequences");
  app.add_option("--keep", options.keep_dir, "folder for what a difference was shrunk to");
  app.add_option("--etcd", options.servers.etcd, "etcd to compare with");
  app.add_option("--keeld", options.servers.keeld, "keeld to compare");
  CLI11_PARSE(app, argc, argv);

  options.duration = absl::Seconds(seconds);
  if (!replay.empty()) {
    options.directed = {replay};
    options.only_directed = true;
  } else {
    for (const auto& entry : std::filesystem::directory_iterator(scripts)) {
      if (entry.path().extension() == ".txt") options.directed.push_back(entry.path());
    }
    std::sort(options.directed.begin(), options.directed.end());
  }
  return Campaign(std::move(options)).Run();
}
