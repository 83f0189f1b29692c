// keelctl beside Debian's etcdctl (release 3.4), command by command on the same cluster: what is printed on stdout and
// the exit code are the same, in every format and also for commands that fail. What differs on purpose stands in
// kDifferences with the reason, and must differ.

#include <gtest/gtest.h>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <future>
#include <regex>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proto/etcdserver_cluster.pb.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_maintenance.pb.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/end_to_end/fixture.h"

namespace keel::test {
namespace {

using Words = std::vector<std::string>;

struct Case {
  Words args;
  std::string input = {};
  Words formats = {"simple", "json", "fields", "protobuf", "table"};
  std::string message = {};  // What the bytes of `-w protobuf` are.
};

const Words kOnce = {""};  // The format makes no difference, or the case is about something else.
const Words kFailures = {"simple"};
constexpr char kRange[] = "etcdserverpb.RangeResponse";
constexpr char kPut[] = "etcdserverpb.PutResponse";
constexpr char kDelete[] = "etcdserverpb.DeleteRangeResponse";
constexpr char kTxn[] = "etcdserverpb.TxnResponse";

// A command line that begins so, in one of these formats ("" all), answers differently. Each with its reason.
struct Difference {
  Words begins;
  Words formats;
  const char* why;
};
const Difference kDifferences[] = {
    {{"txn"}, {"json"}, "names of operations are those of releases from 3.5 on: response_range, not ResponseRange"},
    {{"endpoint", "health"}, {"simple"}, "releases from 3.5 on print healthy endpoints on stdout, not on stderr"},
    {{"endpoint", "status"}, {"simple", "json", "fields", "table"}, "columns and fields of releases from 3.6 on"},
    {{"endpoint", "hashkv"}, {"simple", "json", "fields", "table"}, "the hashed revision, as releases from 3.6 on"},
    {{"defrag"}, {""}, "says how long it took, as releases from 3.6 on"},
    {{"lease", "grant"}, {"protobuf"}, "etcdctl writes the header alone, without the lease"},
    {{"lease", "timetolive"}, {"protobuf"}, "etcdctl writes the header alone, without the lease"},
    {{"lease", "list"}, {"protobuf"}, "etcdctl writes the header alone, without the leases"},
    {{"lock", "l", "--", "sh", "-c", "exit 7"}, {""}, "the status of the command, as releases from 3.5 on"},
    {{"watch", "a"}, {"json"}, "the word CancelReason, as releases from 3.7 on"},
    {{"version"}, {""}, "it is another program"},
    {{"get", "a", "--hex"}, {"fields"}, "ids are in hexadecimal too, as releases from 3.6 on"},
    {{"member", "list"}, {"fields"}, "releases from 3.6 on leave out a revision that the answer does not have"},
    {{"member", "list", "--hex"}, {"json"}, "ids are in hexadecimal, as releases from 3.5 on"},
    {{"alarm", "disarm"}, {"fields"}, "etcdctl 3.4 dies of it"},
    {{"get", "a", "b", "c"}, {"simple"}, "an argument too many is refused, not ignored"},
    {{"put", "c", "1", "2"}, {"simple"}, "an argument too many is refused, not ignored"},
    {{"get", "a", "--count-only"}, {"simple"}, "3.4 does not have it"},
    {{"get", "a", "-w", "table", "--rev=99999"},
     {""},
     "a format that a command lacks is refused before it does anything"},
    {{"put", "a", "v", "-w", "table", "--lease=zz"}, {""}, "the same"},
    {{"get", "a", "--nosuch"}, {"simple"}, "stdout is for data: etcdctl prints the usage there"},
    {{"get", "a", "--limit=x"}, {"simple"}, "the same"},
    {{"member"}, {""}, "help is each program's own"},
    {{}, {""}, "the same"},
};

// Looks up the reason; marks it as used.
class Reasons {
 public:
  const char* For(const Words& args, const std::string& format) {
    const Difference* best = nullptr;
    for (const Difference& each : kDifferences) {
      const bool begins = each.begins.size() <= args.size() &&
                          std::equal(each.begins.begin(), each.begins.end(), args.begin()) &&
                          (!each.begins.empty() || args.empty()) &&
                          // A group on its own says nothing about its commands.
                          (each.begins != Words{"member"} || args.size() == 1);
      const bool in_format = std::find(each.formats.begin(), each.formats.end(), format) != each.formats.end() ||
                             each.formats == Words{""};
      if (begins && in_format && (best == nullptr || best->begins.size() < each.begins.size())) best = &each;
    }
    if (best != nullptr) used_.insert(best);
    return best == nullptr ? nullptr : best->why;
  }
  void ExpectAllUsed() const {
    for (const Difference& each : kDifferences) {
      EXPECT_TRUE(used_.contains(&each)) << "no case shows: " << absl::StrJoin(each.begins, " ") << ": " << each.why;
    }
  }

 private:
  std::set<const Difference*> used_;
};

// Two runs happen at different revisions: those are taken out of messages, at any depth.
void ClearRevisions(google::protobuf::Message* message) {
  const google::protobuf::Reflection& reflection = *message->GetReflection();
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  reflection.ListFields(*message, &fields);
  for (const google::protobuf::FieldDescriptor* field : fields) {
    if (absl::EndsWith(field->name(), "revision") || field->name() == "version") {
      if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_INT64) reflection.ClearField(message, field);
    } else if (field->cpp_type() == google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) {
      if (field->is_repeated()) {
        for (int i = 0; i < reflection.FieldSize(*message, field); ++i) {
          ClearRevisions(reflection.MutableRepeatedMessage(message, field, i));
        }
      } else {
        ClearRevisions(reflection.MutableMessage(message, field));
      }
    }
  }
}

std::string ReadMessage(const std::string& type, const std::string& bytes) {
  const google::protobuf::Descriptor* descriptor =
      google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
  if (descriptor == nullptr) return "no such message: " + type;
  google::protobuf::DynamicMessageFactory factory;
  std::unique_ptr<google::protobuf::Message> message(factory.GetPrototype(descriptor)->New());
  if (!message->ParseFromString(bytes)) return "not a " + type;
  ClearRevisions(message.get());
  return message->DebugString();
}

// Revisions, lease ids, times and counts of changes move between two runs.
std::string Normalise(std::string text) {
  static const std::pair<std::regex, const char*> kMoving[] = {
      {std::regex("(\"?(Prev)?([Mm]od_?|[Cc]reate_?)?[Rr]evision\"? ?: ?)[0-9]+"), "$1N"},
      {std::regex("(\"(Prev)?[Vv]ersion\" ?: ?)[0-9]+"), "$1N"},
      {std::regex("lease [0-9a-f]{16}"), "lease L"},
      {std::regex("(\"ID\" ?: ?)[0-9]+"), "$1L"},
      {std::regex("[0-9.]+(m|µ)?s(?![a-z])"), "TIME"},
      {std::regex("-{4,}"), "----"},  // Columns as wide as a time.
      {std::regex(" {2,}"), " "},
  };
  for (const auto& [what, with] : kMoving) text = std::regex_replace(text, what, with);
  return text;
}

class EtcdctlComparisonTest : public ClusterTest {
 protected:
  void SetUp() override {
    if (EtcdctlPath().empty()) GTEST_SKIP() << "etcdctl is not installed (Debian package etcd-client)";
    StartCluster(1);  // So that both speak of the same member, and the leader is the one that was asked.
    Must({"put", "a", "1"});
    Must({"put", "b", "two\nlines"});
    Must({"put", "a", "3"});
    Must({"put", "bin\x01", "\xff\xfe"});
  }

  tools::CommandResult Run(const std::string& program, const Words& args, const std::string& input,
                           Words environment = {}) {
    Words argv = {program, "--endpoints=" + cluster_->endpoint(0)};
    if (program == KEELCTL_PATH) argv.push_back("--base64");
    argv.insert(argv.end(), args.begin(), args.end());
    environment.push_back("ETCDCTL_API=3");
    auto result = tools::RunCommand({.argv = argv, .environment = std::move(environment), .stdin_text = input});
    if (!result.ok()) {
      ADD_FAILURE() << program << " " << absl::StrJoin(args, " ") << ": " << result.status();
      return {};
    }
    return *result;
  }

  void Must(const Words& args) {
    const tools::CommandResult result = Run(KEELCTL_PATH, args, "");
    EXPECT_EQ(result.exit_code, 0) << absl::StrJoin(args, " ") << ": " << result.err;
  }

  // `one_by_one`: a case changes what the next sees.
  void Compare(const std::vector<Case>& cases, bool one_by_one = true) {
    for (const Case& c : cases) {
      for (const std::string& format : c.formats) {
        Words args = c.args;
        // In front: what follows "--" is not ours.
        if (!format.empty()) args.insert(args.begin(), "--write-out=" + format);
        SCOPED_TRACE(absl::StrJoin(args, " "));
        auto theirs_later = std::async(one_by_one ? std::launch::deferred : std::launch::async,
                                       [&] { return Run(EtcdctlPath(), args, c.input); });
        if (one_by_one) theirs_later.wait();
        const tools::CommandResult mine = Run(KEELCTL_PATH, args, c.input);
        const tools::CommandResult theirs = theirs_later.get();
        const bool as_message = format == "protobuf" && !c.message.empty() && theirs.exit_code == 0;
        const std::string my_text = as_message ? ReadMessage(c.message, mine.out) : Normalise(mine.out);
        const std::string their_text = as_message ? ReadMessage(c.message, theirs.out) : Normalise(theirs.out);
        if (const char* why = reasons_.For(c.args, format); why != nullptr) {
          EXPECT_TRUE(my_text != their_text || mine.exit_code != theirs.exit_code)
              << "they are the same now, although: " << why;
          continue;
        }
        EXPECT_EQ(my_text, their_text) << mine.err;
        EXPECT_EQ(mine.exit_code, theirs.exit_code) << mine.err << theirs.err;
      }
    }
  }

  Reasons reasons_;
};

TEST_F(EtcdctlComparisonTest, CommandByCommand) {
  const Words kEach = {"simple", "json", "fields", "protobuf"};
  Compare(
      {
          {{"get", "a"}, "", {"simple", "json", "fields", "protobuf", "table"}},
          {{"get", "absent"}, "", {"simple", "json", "fields"}},
          {{"get", "--prefix", ""}, "", kEach},
          {{"get", "a", "--rev=2"}, "", {"simple", "json"}},
          {{"get", "--prefix", "", "--limit=2"}, "", {"json", "fields", "protobuf"}},
          {{"get", "--prefix", "", "--keys-only"}, "", {"simple", "json", "fields"}},
          {{"get", "a", "--consistency=s"}, "", {"simple"}},
          {{"get", "--prefix", "", "--order=descend", "--sort-by=MODIFY"}, "", {"simple"}},
          {{"get", "--prefix", "", "--sort-by=version"}, "", {"simple"}},
          {{"get", "--prefix", "", "--print-value-only"}, "", {"simple", "json"}},
          {{"get", "a", "--hex"}, "", {"simple", "json", "fields"}},
          {{"get", "a", "--count-only"}, "", {"simple"}},
          {{"get", "a", "b", "c"}, "", {"simple"}},
          {{"get"}, "", kFailures},
          {{"get", ""}, "", kFailures},
          {{"get", "a", "--consistency=x"}, "", kFailures},
          {{"get", "a", "--sort-by=x"}, "", kFailures},
          {{"get", "a", "--order=x"}, "", kFailures},
          {{"get", "a", "--prefix", "--from-key"}, "", kFailures},
          {{"get", "a", "b", "--prefix"}, "", kFailures},
          {{"get", "a", "--rev=99999"}, "", kFailures},
          {{"get", "a", "--nosuch"}, "", kFailures},
          {{"get", "a", "--limit=x"}, "", kFailures},
          {{"get", "a", "--cert="}, "", kFailures},
          {{"get", "a", "-w", "xml"}, "", kOnce},
          {{"get", "a", "-w", "table", "--rev=99999"}, "", kOnce},
          {{"mem", "li"}, "", {"simple"}},
          {{"frobnicate"}, "", kOnce},
          {{"member"}, "", kOnce},
          {{}, "", kOnce},
          {{"version"}, "", kOnce},
          {{"member", "list"}},
          {{"member", "list", "--hex"}, "", {"simple", "json"}},
          {{"member", "remove", "xyz"}, "", kFailures},
          {{"member", "remove", "1234"}, "", kFailures},
          {{"member", "remove"}, "", kFailures},
          {{"member", "add", "n4"}, "", kFailures},
          {{"member", "add"}, "", kFailures},
          {{"member", "add", "n4", "http://127.0.0.1:1"}, "", kFailures},
          {{"member", "add", "n4", "--peer-urls=bogus"}, "", kFailures},
          {{"member", "update", "1234"}, "", kFailures},
          {{"endpoint", "health"}},
          {{"endpoint", "health", "--cluster"}, "", {"json"}},
          {{"endpoint", "status"}},
          {{"endpoint", "hashkv"}},
          {{"endpoint", "hashkv", "--rev=99999"}, "", {"table"}},
          {{"alarm", "list"}},
          {{"alarm", "list", "x"}, "", kFailures},
          {{"alarm", "disarm"}},
          {{"defrag"}, "", kOnce},
          {{"move-leader", "1234"}, "", kFailures},
          {{"move-leader", "zz"}, "", kFailures},
          {{"move-leader"}, "", kFailures},
          {{"check", "perf", "--load=zz"}, "", kFailures},
          {{"make-mirror", "a", "b"}, "", kFailures},
          {{"make-mirror", "--no-dest-prefix", "--dest-prefix=x", "127.0.0.1:1"}, "", kFailures},
          {{"snapshot", "save"}, "", kFailures},
          {{"snapshot", "save", "/nonexistent/x"}, "", kFailures},
          {{"snapshot", "status", "/nonexistent"}, "", kFailures},
          {{"lease", "timetolive", "1234"}},
          {{"lease", "timetolive", "zz"}, "", kFailures},
          {{"lease", "revoke", "1234"}, "", kFailures},
          {{"lease", "revoke"}, "", kFailures},
          {{"lease", "grant"}, "", kFailures},
          {{"lease", "grant", "x"}, "", kFailures},
          {{"lease", "grant", "99999999999"}, "", kFailures},
          {{"lease", "keep-alive", "--once", "1234"}, "", kFailures},
          {{"lease", "keep-alive", "1234"}, "", {"simple", "json"}},
          {{"lease", "keep-alive"}, "", kFailures},
          {{"watch"}, "", kFailures},
          {{"watch", "a", "b", "--prefix"}, "", kFailures},
          {{"watch", "--", "echo"}, "", kFailures},
          {{"watch", "-i"}, "watch\nfoo\n\nprogress x\n", kFailures},
          {{"watch", "a", "--rev=2", "--", "false"}, "", {"simple", "json", "fields"}},
          {{"lock"}, "", kFailures},
          {{"elect"}, "", kFailures},
          {{"elect", "e"}, "", kFailures},
          {{"elect", "-l", "e", "x"}, "", kFailures},
          {{"txn", "x"}, "", kFailures},
          {{"txn"}, "nonsense\n\n\n\n", kFailures},
          {{"txn"}, "foo(\"a\") = \"1\"\n\n\n\n", kFailures},
          {{"txn"}, "mod(\"a\") > \"x\"\n\n\n\n", kFailures},
          {{"txn"}, "\nput\n\n\n", kFailures},
          {{"txn"}, "\nbogus a\n\n\n", kFailures},
          {{"txn"}, "\nput a 1\nput a 2\n\n\n", kFailures},
          {{"txn"}, "\n\n", kFailures},
          {{"put", "c"}, "", kFailures},
          {{"put", "", "x"}, "", kFailures},
          {{"put", "c", "1", "2"}, "", {"simple"}},
          {{"put", "c", "x", "--ignore-value"}, "", kFailures},
          {{"put", "nokey", "--ignore-value"}, "", kFailures},
          {{"put", "c", "x", "--lease=1234"}, "", kFailures},
          {{"put", "c", "x", "--lease=zz"}, "", kFailures},
          {{"put", "a", "v", "-w", "table", "--lease=zz"}, "", kOnce},
          {{"del"}, "", kFailures},
          {{"del", "a", "b", "--prefix"}, "", kFailures},
          {{"del", "absent"}, "", {"simple", "json", "fields"}},
          {{"compaction", "99999"}, "", kFailures},
          {{"compaction", "x"}, "", kFailures},
          {{"compaction"}, "", kFailures},
      },
      /*one_by_one=*/false);

  // What changes something, one after the other.
  Compare({
      {{"put", "c", "1"}, "", kEach, kPut},
      {{"put", "--prev-kv", "c", "1"}, "", kEach, kPut},
      {{"put", "c"}, "from stdin\n", {"simple"}},
      {{"put", "c", "--ignore-value"}, "", {"simple"}},
      {{"put", "c", "--", "-v"}, "", {"simple"}},
      {{"get", "c"}, "", {"simple", "protobuf"}, kRange},
      {{"lease", "grant", "600"}, "", kEach},
      {{"lease", "grant", "0"}, "", {"simple"}},
      {{"lease", "list"}, "", kEach},
      {{"lock", "l", "true"}, "", kOnce},
      {{"lock", "l", "nosuchcommand"}, "", kFailures},
      {{"lock", "l", "--", "sh", "-c", "exit 7"}, "", {"simple"}},
      {{"txn"}, "mod(\"a\") > \"0\"\nvalue(\"b\") != \"x\"\n\nget a\nput d 1\ndel d2\n\nget b\n\n", kEach, kTxn},
      {{"txn"}, "version(\"a\") = \"0\"\n\nput d 1\n\nget b --keys-only\nput d 1 --prev-kv\n\n", kEach, kTxn},
      {{"txn", "-i"}, "version(\"a\") = \"0\"\n\nput d 1\n\nget b\n\n", {"simple"}},
  });
  for (const std::string& format : kEach) {
    for (const Words& args :
         {Words{"del", "d"}, Words{"del", "--prev-kv", "d"}, Words{"del", "--prefix", "", "--prev-kv"}}) {
      // The same keys for each of the two.
      const auto run = [&](const std::string& program) {
        Must({"del", "--from-key", ""});
        Must({"put", "d", "1"});
        Must({"put", "e", "2"});
        Words words = args;
        words.push_back("--write-out=" + format);
        const std::string out = Run(program, words, "").out;
        return format == "protobuf" ? ReadMessage(kDelete, out) : Normalise(out);
      };
      EXPECT_EQ(run(KEELCTL_PATH), run(EtcdctlPath())) << absl::StrJoin(args, " ") << " as " << format;
    }
  }
  reasons_.ExpectAllUsed();
}

// A watch of the past that ends by its handler; and the formats of events.
TEST_F(EtcdctlComparisonTest, WatchedEvents) {
  Must({"del", "a"});
  const auto watch = [&](const std::string& program, const std::string& format) {
    return Run(program, {"--write-out=" + format, "watch", "--prefix", "", "--prev-kv", "--rev=2", "--", "false"}, "");
  };
  for (const std::string format : {"simple", "json", "fields"}) {
    const auto mine = watch(KEELCTL_PATH, format);
    const auto theirs = watch(EtcdctlPath(), format);
    // A word of releases from 3.7 on.
    const std::string text = std::regex_replace(mine.out, std::regex(",\"CancelReason\":\"\""), "");
    EXPECT_EQ(text, theirs.out) << format;
    EXPECT_EQ(mine.exit_code, theirs.exit_code);
  }
  for (const std::string variable : {"ETCDCTL_WATCH_KEY=b", "ETCDCTL_WATCH_RANGE_END=b"}) {
    EXPECT_EQ(Run(KEELCTL_PATH, {"watch", "a"}, "", {variable, "ETCDCTL_WATCH_KEY=b"}).exit_code,
              Run(EtcdctlPath(), {"watch", "a"}, "", {variable, "ETCDCTL_WATCH_KEY=b"}).exit_code);
  }
  for (const std::string& program : {std::string(KEELCTL_PATH), EtcdctlPath()}) {
    EXPECT_EQ(Run(program, {"watch"}, "", {"ETCDCTL_WATCH_RANGE_END=b"}).exit_code, 128);
    EXPECT_EQ(Run(program, {"get", "b"}, "", {"ETCDCTL_WRITE_OUT=fields"}).out.find("\"ClusterID\""), 0u);
  }
}

}  // namespace
}  // namespace keel::test
