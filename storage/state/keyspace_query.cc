#include "storage/state/keyspace_query.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "storage/state/state_errors.h"

namespace keel::storage {
namespace {

using etcdserverpb::RangeRequest;
using etcdserverpb::RangeResponse;

// Entries copied under the index lock at a time, and records fetched at a time.
constexpr size_t kChunkEntries = 512;
constexpr size_t kLoadAtOnce = 256;

absl::Status Damaged(ChangeId change, std::string_view how) {
  return absl::DataLossError(absl::StrCat("state: the record of change ", change.revision.value(), ".", change.sub, " ",
                                          absl::string_view(how.data(), how.size()),
                                          "; restore this member from a snapshot"));
}

// A record that the index or another record points to at a readable revision must be there.
absl::Status MustExist(absl::Status status) {
  if (!absl::IsNotFound(status)) return status;
  return absl::DataLossError(absl::StrCat(status.message(), "; restore this member from a snapshot"));
}

absl::StatusOr<KeyValueFields> Fields(ChangeId change, const Record& record) {
  std::optional<KeyValueFields> fields = DecodeKeyValue(*record.kv);
  if (!fields.has_value()) return Damaged(change, "cannot be decoded");
  return *fields;
}

bool HasFilters(const RangeRequest& request) {
  return request.min_mod_revision() != 0 || request.max_mod_revision() != 0 || request.min_create_revision() != 0 ||
         request.max_create_revision() != 0;
}

bool PassesFilters(const RangeRequest& request, const KeyFacts& facts) {
  int64_t mod = facts.mod.revision.value();
  int64_t create = facts.create.value();
  if (request.min_mod_revision() != 0 && mod < request.min_mod_revision()) return false;
  if (request.max_mod_revision() != 0 && mod > request.max_mod_revision()) return false;
  if (request.min_create_revision() != 0 && create < request.min_create_revision()) return false;
  if (request.max_create_revision() != 0 && create > request.max_create_revision()) return false;
  return true;
}

bool IsPlainGet(const RangeRequest& request) {
  return request.range_end().empty() && !request.keys_only() && !request.count_only() && !HasFilters(request);
}

}  // namespace

absl::StatusOr<std::optional<Version>> KeyspaceQuery::VersionAt(const IndexEntry& latest, Revision at) const {
  if (latest.mod.revision <= at) {
    if (!latest.is_live()) return std::nullopt;
    return Version{.facts = latest.facts(), .record = std::nullopt};
  }
  if (!latest.has_previous) return std::nullopt;
  ChangeId change = latest.mod;  // Always a change after `at`.
  while (true) {
    absl::StatusOr<Record> record = source_.Load(change);
    if (!record.ok()) return MustExist(record.status());
    const ChangeId previous = record->previous;
    if (!previous.exists()) return std::nullopt;
    // The farthest that is still after `at`.
    ChangeId next = previous;
    for (size_t level = record->lineage.levels(); level-- > 0;) {
      if (record->lineage.shortcuts[level].revision <= at) continue;
      next = record->lineage.shortcuts[level];
      break;
    }
    if (next >= change) return Damaged(change, "points forward");
    if (next.revision > at) {
      change = next;
      continue;
    }
    KEEL_ASSIGN_OR_RETURN(KeyValueFields newer, Fields(change, *record));
    // What precedes a creation is a tombstone, and may be compacted away already.
    if (!record->tombstone && newer.version == 1) return std::nullopt;
    absl::StatusOr<Record> found = source_.Load(previous);
    if (!found.ok()) return MustExist(found.status());
    if (found->tombstone) return Damaged(previous, "is a tombstone where a pair must be");
    KEEL_ASSIGN_OR_RETURN(KeyValueFields fields, Fields(previous, *found));
    return Version{
        .facts = {.mod = previous, .create = fields.create, .version = fields.version, .lease = fields.lease},
        .record = *std::move(found)};
  }
}

absl::Status KeyspaceQuery::Scan(const KeyInterval& interval, Revision at, size_t entries_hint, Visit visit) const {
  if (interval.single) {
    std::optional<IndexEntry> latest = source_.Latest(interval.first);
    if (!latest.has_value()) return absl::OkStatus();
    KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(*latest, at));
    if (version.has_value()) visit(interval.first, *std::move(version));
    return absl::OkStatus();
  }
  EntryChunk chunk;
  std::optional<std::string> after;
  while (true) {
    chunk.Clear();
    bool done = source_.ReadEntries(interval, after, std::clamp<size_t>(entries_hint, 1, kChunkEntries), &chunk);
    for (size_t i = 0; i < chunk.size(); ++i) {
      KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(chunk.entry(i), at));
      if (version.has_value() && !visit(chunk.key(i), *std::move(version))) return absl::OkStatus();
    }
    if (done) return absl::OkStatus();
    after = std::string(chunk.key(chunk.size() - 1));
  }
}

absl::StatusOr<int64_t> KeyspaceQuery::Count(const KeyInterval& interval, Revision at) const {
  int64_t total = 0;
  KeyInterval rest = interval;
  IndexCount count;
  std::string first;
  for (bool done = false; !done;) {
    count.live = 0;
    count.unsure.clear();
    done = source_.Count(rest, at, &count);
    total += count.live;
    for (const IndexEntry& entry : count.unsure) {
      KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(entry, at));
      if (version.has_value()) ++total;
    }
    first = std::move(count.resume);
    rest.first = first;
  }
  return total;
}

absl::StatusOr<std::optional<KeyFacts>> KeyspaceQuery::Find(std::string_view key) const {
  std::optional<IndexEntry> latest = source_.Latest(key);
  if (!latest.has_value()) return std::nullopt;
  KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(*latest, at_));
  if (!version.has_value()) return std::nullopt;
  return version->facts;
}

absl::StatusOr<std::string> KeyspaceQuery::Value(std::string_view key) const {
  std::optional<IndexEntry> latest = source_.Latest(key);
  std::optional<Version> version;
  if (latest.has_value()) {
    KEEL_ASSIGN_OR_RETURN(version, VersionAt(*latest, at_));
  }
  if (!version.has_value()) return absl::NotFoundError("state: no such key");
  if (!version->record.has_value()) {
    absl::StatusOr<Record> record = source_.Load(version->facts.mod);
    if (!record.ok()) return MustExist(record.status());
    version->record = *std::move(record);
  }
  KEEL_ASSIGN_OR_RETURN(KeyValueFields fields, Fields(version->facts.mod, *version->record));
  return std::string(fields.value);
}

absl::Status KeyspaceQuery::ForEach(
    std::string_view key, std::string_view range_end,
    const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const {
  return Scan(IntervalOf(key, range_end), at_, kChunkEntries,
              [&](std::string_view found, const Version& version) { return visit(found, version.facts); });
}

// One execution of a RangeRequest: collects what may be shown, keeps no more of it than limit and sort order need, then
// fetches the values of what is left.
class KeyspaceQuery::RangeRun {
 public:
  RangeRun(const KeyspaceQuery& query, const RangeRequest& request, Revision at)
      : query_(query), request_(request), at_(at) {
    limit_ = request.limit() > 0 ? static_cast<size_t>(request.limit()) : 0;
    filters_ = HasFilters(request);
    descending_ = request.sort_order() == RangeRequest::DESCEND;
    sorted_ = descending_ || request.sort_target() != RangeRequest::KEY;
    // Without an order, a target other than the key sorts only the first limit + 1 keys; with one, or with filters
    // (which make the whole interval be read), it sorts all of them. So the v3 protocol has it.
    bool cut_first = !sorted_ || (request.sort_order() == RangeRequest::NONE && !filters_);
    wanted_ = limit_ == 0 || limit_ == kNoLimit ? kNoLimit : limit_ + 1;
    take_ = cut_first ? wanted_ : kNoLimit;
    by_value_ = request.sort_target() == RangeRequest::VALUE;
  }

  absl::Status Execute(RangeResponse* response) {
    const KeyInterval interval = IntervalOf(request_.key(), request_.range_end());
    if (request_.count_only()) {
      KEEL_ASSIGN_OR_RETURN(int64_t count, query_.Count(interval, at_));
      response->set_count(count);
      return absl::OkStatus();
    }
    int64_t count = 0;
    bool whole = true;  // The scan reached the end, so what it met is the count.
    absl::Status failure;
    KEEL_RETURN_IF_ERROR(query_.Scan(interval, at_, take_, [&](std::string_view key, Version version) {
      ++count;
      if (PassesFilters(request_, version.facts)) failure = Take(key, std::move(version));
      whole = failure.ok() && taken_ < take_;
      return whole;
    }));
    KEEL_RETURN_IF_ERROR(failure);
    if (!whole && !interval.single) {
      KEEL_ASSIGN_OR_RETURN(count, query_.Count(interval, at_));
    }
    KEEL_RETURN_IF_ERROR(LoadValuesToSort());
    if (sorted_) Sort();
    bool more = limit_ > 0 && hits_.size() > limit_;
    if (more) hits_.resize(limit_);
    KEEL_RETURN_IF_ERROR(Fill(response));
    response->set_more(more);
    response->set_count(count);
    return absl::OkStatus();
  }

 private:
  static constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

  struct Hit {
    KeyFacts facts;
    uint64_t order = 0;            // Its place in key order; also breaks ties.
    std::string key;               // Only when that is all that is shown.
    std::optional<Record> record;  // When it had to be read already.
  };

  bool shows_keys_only() const { return request_.keys_only(); }

  absl::Status Take(std::string_view key, Version version) {
    Hit hit{.facts = version.facts, .order = taken_++, .key = {}, .record = {}};
    if (shows_keys_only()) hit.key = std::string(key);
    if (by_value_ || !shows_keys_only()) hit.record = std::move(version.record);
    hits_.push_back(std::move(hit));
    if (by_value_ && hits_.size() - with_values_ >= kLoadAtOnce) KEEL_RETURN_IF_ERROR(LoadValuesToSort());
    // The best `wanted_` are kept; the rest goes when it has become as many again.
    if (sorted_ && take_ == kNoLimit && wanted_ != kNoLimit && hits_.size() / 2 >= wanted_ + kChunkEntries) {
      KEEL_RETURN_IF_ERROR(LoadValuesToSort());
      std::nth_element(hits_.begin(), hits_.begin() + static_cast<ptrdiff_t>(wanted_), hits_.end(), Before());
      hits_.resize(wanted_);
      with_values_ = hits_.size();
    }
    return absl::OkStatus();
  }

  absl::Status LoadValuesToSort() {
    if (!by_value_) return absl::OkStatus();
    KEEL_RETURN_IF_ERROR(LoadRecords(with_values_, hits_.size()));
    with_values_ = hits_.size();
    return absl::OkStatus();
  }

  // Makes sure that hits [first, last) have their records.
  absl::Status LoadRecords(size_t first, size_t last) {
    std::vector<ChangeId> changes;
    std::vector<size_t> places;
    for (size_t i = first; i < last; ++i) {
      if (hits_[i].record.has_value()) continue;
      changes.push_back(hits_[i].facts.mod);
      places.push_back(i);
    }
    if (changes.empty()) return absl::OkStatus();
    if (changes.size() == 1) {
      absl::StatusOr<Record> record = query_.source_.Load(changes[0]);
      if (!record.ok()) return MustExist(record.status());
      hits_[places[0]].record = *std::move(record);
      return absl::OkStatus();
    }
    std::vector<Record> records;
    absl::Status status = query_.source_.LoadMany(changes, &records);
    if (!status.ok()) return MustExist(std::move(status));
    for (size_t i = 0; i < places.size(); ++i) hits_[places[i]].record = std::move(records[i]);
    return absl::OkStatus();
  }

  static std::string_view ValueOf(const Hit& hit) {
    // A record that does not decode sorts as empty here and is reported when it is shown.
    std::optional<KeyValueFields> fields = DecodeKeyValue(*hit.record->kv);
    return fields.has_value() ? fields->value : std::string_view();
  }

  int Compare(const Hit& a, const Hit& b) const {
    auto three_way = [](auto x, auto y) { return x < y ? -1 : (y < x ? 1 : 0); };
    switch (request_.sort_target()) {
      case RangeRequest::VERSION:
        return three_way(a.facts.version, b.facts.version);
      case RangeRequest::CREATE:
        return three_way(a.facts.create, b.facts.create);
      case RangeRequest::MOD:
        return three_way(a.facts.mod.revision, b.facts.mod.revision);
      case RangeRequest::VALUE:
        return three_way(ValueOf(a), ValueOf(b));
      default:
        return three_way(a.order, b.order);
    }
  }

  // Strict total order of the answer: by target and direction, ties in key order.
  std::function<bool(const Hit&, const Hit&)> Before() const {
    return [this](const Hit& a, const Hit& b) {
      int order = Compare(a, b);
      if (order != 0) return descending_ ? order > 0 : order < 0;
      return a.order < b.order;
    };
  }

  void Sort() { std::sort(hits_.begin(), hits_.end(), Before()); }

  absl::Status Fill(RangeResponse* response) {
    response->mutable_kvs()->Reserve(static_cast<int>(hits_.size()));
    if (shows_keys_only()) {
      for (Hit& hit : hits_) {
        FillKeyValue({.key = hit.key,
                      .create = hit.facts.create,
                      .mod = hit.facts.mod.revision,
                      .version = hit.facts.version,
                      .value = {},
                      .lease = hit.facts.lease},
                     WithValue::kNo, response->add_kvs());
      }
      return absl::OkStatus();
    }
    for (size_t first = 0; first < hits_.size(); first += kLoadAtOnce) {
      size_t last = std::min(first + kLoadAtOnce, hits_.size());
      absl::Status status = LoadRecords(first, last);
      for (size_t i = first; status.ok() && i < last; ++i) {
        absl::StatusOr<KeyValueFields> fields = Fields(hits_[i].facts.mod, *hits_[i].record);
        status = fields.status();
        if (status.ok()) FillKeyValue(*fields, WithValue::kYes, response->add_kvs());
        hits_[i].record.reset();  // Its value is in the response now.
      }
      if (!status.ok()) {
        response->clear_kvs();
        return status;
      }
    }
    return absl::OkStatus();
  }

  const KeyspaceQuery& query_;
  const RangeRequest& request_;
  const Revision at_;
  size_t limit_ = 0;          // 0: none.
  size_t wanted_ = kNoLimit;  // Hits needed to answer: one more than the limit.
  size_t take_ = kNoLimit;    // Hits to take in key order before only counting on.
  bool filters_ = false;
  bool descending_ = false;
  bool sorted_ = false;
  bool by_value_ = false;
  size_t taken_ = 0;
  size_t with_values_ = 0;  // hits_ before this have their records, when sorting by value.
  std::vector<Hit> hits_;
};

// One key needs neither a list nor an order.
absl::Status KeyspaceQuery::Get(const RangeRequest& request, Revision at, RangeResponse* response) const {
  const std::optional<IndexEntry> latest = source_.Latest(request.key());
  if (!latest.has_value()) return absl::OkStatus();
  KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(*latest, at));
  if (!version.has_value()) return absl::OkStatus();
  if (!version->record.has_value()) {
    absl::StatusOr<Record> record = source_.Load(version->facts.mod);
    if (!record.ok()) return MustExist(record.status());
    version->record = *std::move(record);
  }
  KEEL_ASSIGN_OR_RETURN(const KeyValueFields fields, Fields(version->facts.mod, *version->record));
  FillKeyValue(fields, WithValue::kYes, response->add_kvs());
  response->set_count(1);
  return absl::OkStatus();
}

absl::Status KeyspaceQuery::Range(const RangeRequest& request, RangeResponse* response) const {
  Revision at = request.revision() > 0 ? Revision(request.revision()) : at_;
  if (at > at_) return FutureRevisionError();
  if (at < floor_) return CompactedError();
  if (IsPlainGet(request)) return Get(request, at, response);
  return RangeRun(*this, request, at).Execute(response);
}

}  // namespace keel::storage
