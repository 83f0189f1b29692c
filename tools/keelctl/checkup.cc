#include "tools/keelctl/checkup.h"

#include <algorithm>
#include <map>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

constexpr double kSlowSyncSeconds = 0.05;
constexpr double kStuckSyncSeconds = 0.5;
constexpr double kSyncsToJudge = 100;
constexpr double kFullWarning = 0.80;
constexpr double kFullProblem = 0.95;
constexpr uint64_t kLagWarning = 1'000;
constexpr uint64_t kLagProblem = 10'000;
constexpr absl::Duration kClocksApart = absl::Milliseconds(500);
constexpr absl::Duration kSlowRead = absl::Seconds(1);
constexpr absl::Duration kRenewSoon = absl::Hours(30 * 24);
constexpr absl::Duration kRenewNow = absl::Hours(3 * 24);
constexpr double kElectionsPerHour = 6;
constexpr double kFilesWarning = 0.8;

std::string Named(const MemberFacts& member) {
  return member.endpoint.empty() || member.endpoint == member.name
             ? member.name
             : absl::StrCat(member.name, " (", member.endpoint, ")");
}

class Examination {
 public:
  explicit Examination(const ClusterFacts& facts) : facts_(facts) {}

  std::vector<Finding> Run() {
    Members();
    Quorum();
    Leader();
    Read();
    // Of members that say nothing there is nothing else to tell.
    const bool somebody_answers =
        std::any_of(facts_.members.begin(), facts_.members.end(),
                    [](const MemberFacts& member) { return member.status.ok() || member.metrics.ok(); });
    if (!somebody_answers) return std::move(findings_);
    Versions();
    Alarms();
    Space();
    Disk();
    Lag();
    Integrity();
    Elections();
    Files();
    Clocks();
    Certificates();
    return std::move(findings_);
  }

 private:
  void Say(Severity severity, const char* subject, std::string text, std::string advice = "") {
    findings_.push_back({severity, subject, std::move(text), std::move(advice)});
  }
  // All is well with `subject`, unless something has been said of it.
  void SayOkUnlessFound(const char* subject, std::string text) {
    const bool found =
        std::any_of(findings_.begin(), findings_.end(), [&](const Finding& f) { return f.subject == subject; });
    if (!found) Say(Severity::kOk, subject, std::move(text));
  }
  template <typename Body>
  void ForEachStatus(const Body& body) {
    for (const MemberFacts& member : facts_.members) {
      if (member.status.ok()) body(member, *member.status);
    }
  }
  template <typename Body>
  void ForEachMetrics(const Body& body) {
    for (const MemberFacts& member : facts_.members) {
      if (member.metrics.ok()) body(member, *member.metrics);
    }
  }

  void Members() {
    for (const MemberFacts& member : facts_.members) {
      if (member.endpoint.empty()) {
        Say(Severity::kWarning, "members", absl::StrCat("member ", member.name, " has been added but never started"),
            "start it with the environment that `member add` printed, or `member remove` it: it counts for the quorum");
      } else if (!member.status.ok()) {
        Say(Severity::kProblem, "members",
            absl::StrCat(Named(member), " does not answer: ", member.status.status().message()),
            "look at its process, its log and the network in between; if it is lost for good, `member replace` it");
      } else if (!member.metrics.ok()) {
        Say(Severity::kWarning, "members",
            absl::StrCat(Named(member), " serves requests but no metrics: ", member.metrics.status().message()),
            "disk, lag and other things of it are not judged here");
      }
    }
    const size_t count = facts_.members.size();
    SayOkUnlessFound("members", count == 1 ? "the only one answers" : absl::StrCat("all ", count, " answer"));
  }

  void Quorum() {
    int voters = 0;
    int answering = 0;
    for (const MemberFacts& member : facts_.members) {
      if (member.learner) continue;
      ++voters;
      answering += member.status.ok();
    }
    const int quorum = voters / 2 + 1;
    const std::string text = absl::StrCat(answering, " of ", voters, " voters answer, ", quorum, " are needed");
    if (answering < quorum) {
      Say(Severity::kProblem, "quorum", absl::StrCat(text, ": nothing can be written"),
          "bring members back; if a majority is lost for good, start a survivor once with --force-new-cluster");
    } else if (voters > 1 && answering == quorum) {
      Say(Severity::kWarning, "quorum", absl::StrCat(text, ": one more failure stops the cluster"),
          voters == 2 ? "add a third voter: two tolerate no failure" : "bring the others back, or replace them");
    } else if (voters > 1 && voters % 2 == 0) {
      Say(Severity::kWarning, "quorum", absl::StrCat(text, ": an even number"),
          absl::StrCat(voters, " voters tolerate no more failures than ", voters - 1, "; add one or remove one"));
    } else if (voters == 1) {
      Say(Severity::kOk, "quorum", "a single voter: any failure of it stops the cluster");
    } else {
      Say(Severity::kOk, "quorum", absl::StrCat(text, "; ", answering - quorum, " more may fail"));
    }
  }

  void Leader() {
    std::set<uint64_t> leaders;
    std::set<uint64_t> terms;
    ForEachStatus([&](const MemberFacts& member, const StatusResponse& status) {
      if (status.leader == 0) {
        Say(Severity::kProblem, "leader", absl::StrCat(Named(member), " knows no leader"),
            "check whether it reaches the others on their peer URLs");
      }
      leaders.insert(status.leader);
      terms.insert(status.raft_term);
    });
    if (leaders.size() > 1) {
      Say(Severity::kWarning, "leader", absl::StrCat("the members disagree, at terms ", absl::StrJoin(terms, ", ")),
          "an election may be under way; ask again, and look at the network between the members if it stays so");
    }
    if (leaders.empty()) return;
    SayOkUnlessFound("leader", absl::StrCat("member ", absl::Hex(*leaders.begin()), " at term ", *terms.begin()));
  }

  void Read() {
    if (!facts_.read.ok()) {
      Say(Severity::kProblem, "reads", absl::StrCat("a linearizable read failed: ", facts_.read.status().message()),
          "the cluster serves nothing but serializable reads; see quorum and leader");
    } else if (*facts_.read > kSlowRead) {
      Say(Severity::kWarning, "reads",
          absl::StrCat("a linearizable read took ",
                       absl::FormatDuration(absl::Trunc(*facts_.read, absl::Milliseconds(1)))),
          "look for slow disks, a busy leader or a slow network");
    } else {
      Say(Severity::kOk, "reads",
          absl::StrCat("a linearizable read took ",
                       absl::FormatDuration(absl::Trunc(*facts_.read, absl::Microseconds(100)))));
    }
  }

  void Versions() {
    std::map<std::string, std::vector<std::string>> by_version;
    ForEachStatus([&](const MemberFacts& member, const StatusResponse& status) {
      by_version[status.version].push_back(member.name);
    });
    if (by_version.empty()) return;
    if (by_version.size() == 1)
      return Say(Severity::kOk, "versions", absl::StrCat("all serve ", by_version.begin()->first));
    std::vector<std::string> parts;
    for (const auto& [version, names] : by_version) {
      parts.push_back(absl::StrCat(version, " on ", absl::StrJoin(names, ", ")));
    }
    Say(Severity::kWarning, "versions", absl::StrJoin(parts, "; "), "finish the rolling upgrade: one member at a time");
  }

  void Alarms() {
    for (const Alarm& alarm : facts_.alarms) {
      const std::string who = absl::StrCat("member ", absl::Hex(alarm.member_id), " raised ");
      if (alarm.type == AlarmType::kNoSpace) {
        Say(Severity::kProblem, "alarms", absl::StrCat(who, "NOSPACE: writes are refused"),
            "compact and delete, or raise --quota-backend-bytes; then `alarm disarm`");
      } else {
        Say(Severity::kProblem, "alarms", absl::StrCat(who, "CORRUPT: its state differs from the others'"),
            "take it out of service, and `member replace` it by an empty one");
      }
    }
    SayOkUnlessFound("alarms", "none");
  }

  void Space() {
    double most = 0;
    ForEachStatus([&](const MemberFacts& member, const StatusResponse& status) {
      if (status.db_size_quota <= 0) return;
      const double used = static_cast<double>(status.db_size) / static_cast<double>(status.db_size_quota);
      most = std::max(most, used);
      if (used < kFullWarning) return;
      Say(used < kFullProblem ? Severity::kWarning : Severity::kProblem, "space",
          absl::StrFormat("%s uses %s of its quota of %s (%.0f%%)", Named(member), HumanSize(status.db_size),
                          HumanSize(status.db_size_quota), used * 100),
          "compact old revisions (--auto-compaction-retention), delete what is not needed, or raise "
          "--quota-backend-bytes on every member; beyond the quota writes are refused");
    });
    SayOkUnlessFound("space", absl::StrFormat("at most %.1f%% of the quota is used", most * 100));
  }

  void Disk() {
    double slowest = 0;
    ForEachMetrics([&](const MemberFacts& member, const MetricsPage& page) {
      const HistogramDelta syncs(page, nullptr, "etcd_disk_wal_fsync_duration_seconds");
      if (syncs.count() < kSyncsToJudge) return;
      const double p99 = syncs.Quantile(0.99);
      slowest = std::max(slowest, p99);
      if (p99 < kSlowSyncSeconds) return;
      Say(p99 < kStuckSyncSeconds ? Severity::kWarning : Severity::kProblem, "disk",
          absl::StrFormat("%s: 1%% of the syncs of the log took more than %.0f ms", Named(member), p99 * 1e3),
          "every write waits for a sync: give the log a disk of its own (--wal-dir), a faster one, or fewer "
          "neighbours");
    });
    SayOkUnlessFound("disk", slowest > 0 ? absl::StrFormat("99%% of the syncs take less than %.1f ms", slowest * 1e3)
                                         : "too few syncs yet to judge");
  }

  void Lag() {
    uint64_t committed = 0;
    uint64_t most = 0;
    ForEachStatus([&](const MemberFacts&, const StatusResponse& s) { committed = std::max(committed, s.raft_index); });
    ForEachStatus([&](const MemberFacts& member, const StatusResponse& status) {
      const uint64_t lag = committed - std::min(committed, status.raft_applied_index);
      most = std::max(most, lag);
      if (lag < kLagWarning) return;
      Say(lag < kLagProblem ? Severity::kWarning : Severity::kProblem, "lag",
          absl::StrCat(Named(member), " is ", lag, " entries behind"),
          "it may be catching up after a restart; if it does not, look at its disk, CPU and network");
    });
    SayOkUnlessFound("lag", absl::StrCat("no member is more than ", most, " entries behind"));
  }

  void Integrity() {
    bool checked = false;
    ForEachMetrics([&](const MemberFacts& member, const MetricsPage& page) {
      checked = checked || page.has("keel_state_hash_checks_total");
      if (page.Sum("keel_state_hash_mismatches_total") == 0) return;
      Say(Severity::kProblem, "integrity", absl::StrCat(Named(member), " found members whose states differ"),
          "compare `endpoint hashkv --cluster`; replace the one that is alone");
    });
    if (checked) SayOkUnlessFound("integrity", "no comparison of states found a difference");
  }

  void Elections() {
    double most = 0;
    ForEachMetrics([&](const MemberFacts& member, const MetricsPage& page) {
      const double started = page.Sum("process_start_time_seconds");
      if (started <= 0) return;
      const double hours = std::max(1.0, (absl::ToDoubleSeconds(facts_.now - absl::UnixEpoch()) - started) / 3600);
      const double changes = page.Sum("etcd_server_leader_changes_seen_total");
      most = std::max(most, changes / hours);
      if (changes / hours < kElectionsPerHour) return;
      Say(Severity::kWarning, "elections",
          absl::StrFormat("%s has seen %.0f changes of leader in %.1f hours", Named(member), changes, hours),
          "look for slow disks, long pauses and a lossy network; over long distances raise --election-timeout");
    });
    SayOkUnlessFound("elections", absl::StrFormat("at most %.1f changes of leader an hour", most));
  }

  void Files() {
    ForEachMetrics([&](const MemberFacts& member, const MetricsPage& page) {
      const double limit = page.Sum("process_max_fds");
      if (limit <= 0 || page.Sum("process_open_fds") < kFilesWarning * limit) return;
      Say(Severity::kWarning, "files",
          absl::StrFormat("%s has %.0f of %.0f file descriptors open", Named(member), page.Sum("process_open_fds"),
                          limit),
          "raise its limit (LimitNOFILE), or look for clients that leak connections");
    });
    SayOkUnlessFound("files", "file descriptors suffice");
  }

  void Clocks() {
    const MemberFacts* slowest = nullptr;
    const MemberFacts* fastest = nullptr;
    for (const MemberFacts& member : facts_.members) {
      if (!member.clock.known()) continue;
      if (slowest == nullptr || member.clock.high < slowest->clock.high) slowest = &member;
      if (fastest == nullptr || member.clock.low > fastest->clock.low) fastest = &member;
    }
    if (slowest == nullptr) return Say(Severity::kOk, "clocks", "not measured: the members do not tell their time");
    // What surely lies between the two, whatever the truth within the bounds.
    const absl::Duration apart = fastest->clock.low - slowest->clock.high;
    if (apart > kClocksApart) {
      Say(Severity::kWarning, "clocks",
          absl::StrCat(Named(*fastest), " is ahead of ", Named(*slowest), " by ",
                       absl::FormatDuration(absl::Trunc(apart, absl::Milliseconds(10))), " or more"),
          "run chrony or ntpd on all: nothing stored depends on it, but logs and certificates do");
    } else {
      Say(Severity::kOk, "clocks",
          absl::StrCat("no two are surely more than ", absl::FormatDuration(kClocksApart), " apart"));
    }
  }

  void Certificates() {
    bool any = false;
    absl::Time first = absl::InfiniteFuture();
    for (const MemberFacts& member : facts_.members) {
      for (const Certificate& certificate : member.certificates) {
        any = true;
        first = std::min(first, certificate.expires);
        const absl::Duration left = certificate.expires - facts_.now;
        if (left > kRenewSoon) continue;
        Say(left > kRenewNow ? Severity::kWarning : Severity::kProblem, "certificates",
            absl::StrCat(Named(member), ": ", certificate.subject,
                         left > absl::ZeroDuration() ? " expires on " : " expired on ",
                         absl::FormatTime("%Y-%m-%d", certificate.expires, absl::UTCTimeZone())),
            "renew it before clients and members refuse each other");
      }
    }
    if (!any) return Say(Severity::kOk, "certificates", "none in use: the endpoints are plain text");
    SayOkUnlessFound("certificates",
                     absl::StrCat("the first expires on ", absl::FormatTime("%Y-%m-%d", first, absl::UTCTimeZone())));
  }

  const ClusterFacts& facts_;
  std::vector<Finding> findings_;
};

}  // namespace

void ClockBounds::Narrow(absl::Time asked, absl::Time answered, absl::Time server_time) {
  low = std::max(low, server_time - answered);
  high = std::min(high, server_time + absl::Seconds(1) - asked);
}

std::vector<Finding> Examine(const ClusterFacts& facts) { return Examination(facts).Run(); }

}  // namespace keel::ctl
