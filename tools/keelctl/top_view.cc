#include "tools/keelctl/top_view.h"

#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

std::string Millis(double seconds) { return seconds > 0 ? absl::StrFormat("%.1f", seconds * 1e3) : "-"; }

std::string PerSecond(double count, absl::Duration interval) {
  const double seconds = absl::ToDoubleSeconds(interval);
  return absl::StrFormat("%.1f", seconds > 0 ? count / seconds : 0.0);
}

std::string Size(double bytes) { return HumanSize(static_cast<int64_t>(bytes)); }

}  // namespace

std::string TopText(const TopView& view) {
  std::string text =
      absl::StrFormat("%-24s %-8s %8s %8s %8s %8s %9s %6s %8s %8s %8s %6s %8s\n", "MEMBER", "ROLE", "READ/S", "WRITE/S",
                      "P50 MS", "P99 MS", "FSYNC MS", "LAG", "DB", "IN USE", "WATCHES", "CPU", "MEMORY");
  for (const MemberRates& m : view.members) {
    if (!m.error.empty()) {
      absl::StrAppendFormat(&text, "%-24s %s\n", m.endpoint, m.error);
      continue;
    }
    absl::StrAppendFormat(&text, "%-24s %-8s %8.1f %8.1f %8s %8s %9s %6.0f %8s %8s %8.0f %5.0f%% %8s\n", m.endpoint,
                          m.leader       ? "leader"
                          : m.has_leader ? "follower"
                                         : "LEADERLESS",
                          m.reads_per_second, m.writes_per_second, Millis(m.request_p50_seconds),
                          Millis(m.request_p99_seconds), Millis(m.fsync_p99_seconds), m.lag, Size(m.db_bytes),
                          Size(m.db_in_use_bytes), m.watchers, m.cpu_share * 100, Size(m.resident_bytes));
  }
  if (!view.prefixes_known)
    return absl::StrCat(text, "\nThe busiest prefixes are not known: no watch could be made.\n");
  absl::StrAppendFormat(&text, "\n%-40s %9s %9s %10s\n", "BUSIEST PREFIXES", "PUT/S", "DELETE/S", "BYTES/S");
  for (const PrefixCounter::Row& row : view.prefixes) {
    const std::string quoted = GoQuote(row.prefix);
    absl::StrAppendFormat(&text, "%-40s %9s %9s %10s\n", quoted.substr(1, quoted.size() - 2),
                          PerSecond(static_cast<double>(row.puts), view.interval),
                          PerSecond(static_cast<double>(row.deletes), view.interval),
                          Size(static_cast<double>(row.bytes) / std::max(1e-9, absl::ToDoubleSeconds(view.interval))));
  }
  if (view.prefixes.empty()) text += "(nothing was written)\n";
  return text;
}

std::string TopJson(const TopView& view) {
  nlohmann::ordered_json json;
  json["interval_seconds"] = absl::ToDoubleSeconds(view.interval);
  json["members"] = nlohmann::ordered_json::array();
  for (const MemberRates& m : view.members) {
    nlohmann::ordered_json row;
    row["endpoint"] = m.endpoint;
    if (!m.error.empty()) {
      row["error"] = m.error;
    } else {
      row["leader"] = m.leader;
      row["has_leader"] = m.has_leader;
      row["reads_per_second"] = m.reads_per_second;
      row["writes_per_second"] = m.writes_per_second;
      row["request_p50_seconds"] = m.request_p50_seconds;
      row["request_p99_seconds"] = m.request_p99_seconds;
      row["fsync_p99_seconds"] = m.fsync_p99_seconds;
      row["lag_entries"] = m.lag;
      row["db_bytes"] = m.db_bytes;
      row["db_in_use_bytes"] = m.db_in_use_bytes;
      row["quota_bytes"] = m.quota_bytes;
      row["watchers"] = m.watchers;
      row["cpu_share"] = m.cpu_share;
      row["resident_bytes"] = m.resident_bytes;
    }
    json["members"].push_back(row);
  }
  if (view.prefixes_known) {
    json["prefixes"] = nlohmann::ordered_json::array();
    for (const PrefixCounter::Row& row : view.prefixes) {
      nlohmann::ordered_json each;
      each["prefix"] = row.prefix;
      each["puts"] = row.puts;
      each["deletes"] = row.deletes;
      each["bytes"] = row.bytes;
      json["prefixes"].push_back(each);
    }
  }
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace keel::ctl
