#include "tools/keelctl/prefix_counter.h"

#include <algorithm>

namespace keel::ctl {
namespace {

constexpr size_t kPrefixesMax = 10'000;
constexpr const char kOthers[] = "(others)";

}  // namespace

std::string PrefixCounter::PrefixOf(const std::string& key, int depth) {
  // A slash in front opens no part of its own.
  size_t end = 0;
  for (int part = 0; part < depth; ++part) {
    const size_t slash = key.find('/', part == 0 && !key.empty() && key[0] == '/' ? 1 : end);
    if (slash == std::string::npos) return part == 0 ? key : key.substr(0, end);
    end = slash + 1;
  }
  return key.substr(0, end);
}

void PrefixCounter::Add(const Event& event) {
  std::string prefix = PrefixOf(event.kv.key, depth_);
  absl::MutexLock lock(&mutex_);
  if (rows_.size() >= kPrefixesMax && !rows_.contains(prefix)) prefix = kOthers;
  Row& row = rows_[prefix];
  row.prefix = prefix;
  ++(event.type == Event::Type::kPut ? row.puts : row.deletes);
  row.bytes += static_cast<int64_t>(event.kv.key.size() + event.kv.value.size());
}

std::vector<PrefixCounter::Row> PrefixCounter::Take(size_t most) {
  std::map<std::string, Row> taken;
  {
    absl::MutexLock lock(&mutex_);
    taken.swap(rows_);
  }
  std::vector<Row> rows;
  for (auto& [prefix, row] : taken) rows.push_back(std::move(row));
  std::stable_sort(rows.begin(), rows.end(),
                   [](const Row& a, const Row& b) { return a.puts + a.deletes > b.puts + b.deletes; });
  if (rows.size() > most) rows.resize(most);
  return rows;
}

}  // namespace keel::ctl
