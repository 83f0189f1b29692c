// keel-interop: client programs of other languages against three members.
//
//   keel-interop list                      the programs, and what each tries
//   keel-interop build go                  downloads and compiles; exit code 77 and a reason where that cannot be done
//   keel-interop run go                    all its stories against keeld
//   keel-interop run go --server etcd      the same against etcd, to see that the stories expect what etcd does
//   keel-interop pair go rust              two programs, one lock

#include <CLI/CLI.hpp>
#include <iostream>
#include <string>

#include "tests/interop/client_program.h"
#include "tests/interop/trial.h"
#include "tests/interop/workshop.h"

namespace keel::interop {
namespace {

constexpr int kSkipCode = 77;  // What ctest takes for "skipped".

Workshop WorkshopOf(const ClientProgram& program) {
  return Workshop(program, std::string(CLIENTS_PATH "/") + program.folder, std::string(WORK_PATH "/") + program.name);
}

int Fail(const absl::Status& status) {
  std::cerr << "interop: " << status.message() << "\n";
  return 1;
}

int Skip(const ClientProgram& program, const std::string& reason) {
  std::cout << "Skipped: interop with " << program.name << ": " << reason << "\n";
  return kSkipCode;
}

int Build(const std::string& name) {
  const auto program = FindClientProgram(WORK_PATH, name);
  if (!program.ok()) return Fail(program.status());
  const auto outcome = WorkshopOf(*program).Build();
  if (!outcome.ok()) return Fail(outcome.status());
  if (outcome->skipped) return Skip(*program, outcome->reason);
  std::cout << "built " << program->name << ": " << program->client << "\n";
  return 0;
}

int Run(const std::vector<std::string>& names, const std::string& server) {
  std::vector<ClientProgram> programs;
  for (const std::string& name : names) {
    auto program = FindClientProgram(WORK_PATH, name);
    if (!program.ok()) return Fail(program.status());
    const auto outcome = WorkshopOf(*program).Outcome();
    if (!outcome.ok()) return Fail(outcome.status());
    if (outcome->skipped) return Skip(*program, outcome->reason);
    programs.push_back(*std::move(program));
  }
  const absl::Status status =
      programs.size() == 1 ? RunStories(programs[0], server) : RunPair(programs[0], programs[1], server);
  return status.ok() ? 0 : Fail(status);
}

int List() {
  for (const ClientProgram& program : ClientPrograms(WORK_PATH)) {
    std::cout << program.name << ": " << program.client << "\n";
  }
  return 0;
}

int Main(int argc, char** argv) {
  std::string name;
  std::string other;
  std::string server = KEELD_PATH;
  CLI::App app("Runs etcd clients of other languages against three members of keeld, or of another server.");
  app.require_subcommand(1);
  CLI::App* list = app.add_subcommand("list", "the client programs");
  CLI::App* build = app.add_subcommand("build", "build one");
  build->add_option("client", name)->required();
  CLI::App* run = app.add_subcommand("run", "let one tell its stories");
  run->add_option("client", name)->required();
  run->add_option("--server", server, "keeld or etcd: a path, or a name in PATH");
  CLI::App* pair = app.add_subcommand("pair", "let two share a lock");
  pair->add_option("client", name)->required();
  pair->add_option("other", other)->required();
  pair->add_option("--server", server, "keeld or etcd: a path, or a name in PATH");
  CLI11_PARSE(app, argc, argv);

  if (list->parsed()) return List();
  if (build->parsed()) return Build(name);
  return Run(pair->parsed() ? std::vector<std::string>{name, other} : std::vector<std::string>{name}, server);
}

}  // namespace
}  // namespace keel::interop

int main(int argc, char** argv) { return keel::interop::Main(argc, argv); }
