// KeyspaceQuery::ReadRange: interval, filters, order and limit of a RangeRequest, in as little memory as they allow.

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "base/status_macros.h"
#include "storage/state/keyspace_query.h"
#include "storage/state/record_check.h"
#include "storage/state/state_errors.h"

namespace keel::storage {
namespace {

using etcdserverpb::RangeRequest;

constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

// Records fetched at a time: enough for the database to gain by it, and no more than this many bytes unless a change of
// size surprises.
constexpr size_t kLoadMin = 8;
constexpr size_t kLoadMax = 32;
constexpr size_t kLoadBytes = 512u << 10;
// How many hits more than wanted are kept, at the least, before the worst of them go.
constexpr size_t kSpareHits = 512;
// How much what is held may grow before the sink hears of it.
constexpr size_t kHoldStepBytes = 64u << 10;

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

// A limit at a given revision is the next page of a list that began at it.
bool IsLaterPage(const RangeRequest& request) { return request.limit() > 0 && request.revision() > 0; }

bool IsPlainGet(const RangeRequest& request) {
  return request.range_end().empty() && !request.keys_only() && !request.count_only() && !HasFilters(request);
}

}  // namespace

// One execution of a RangeRequest. Without an order, what passes goes to the sink as it is met; with one, no more is
// kept than limit and order need, and sent in the end.
class KeyspaceQuery::RangeRun {
 public:
  RangeRun(const KeyspaceQuery& query, const RangeRequest& request, Revision at, RangeSink* sink)
      : query_(query), request_(request), at_(at), sink_(sink) {
    filters_ = HasFilters(request);
    descending_ = request.sort_order() == RangeRequest::DESCEND;
    sorted_ = descending_ || request.sort_target() != RangeRequest::KEY;
    by_value_ = request.sort_target() == RangeRequest::VALUE;
    limit_ = request.limit() > 0 ? static_cast<size_t>(request.limit()) : kNoLimit;
    wanted_ = limit_ == kNoLimit ? kNoLimit : limit_ + 1;
    // Without an order, a target other than the key sorts only the first limit + 1 keys; with one, or with filters
    // (which make the whole interval be read), it sorts all of them. So the v3 protocol has it.
    const bool cut_first = !sorted_ || (request.sort_order() == RangeRequest::NONE && !filters_);
    take_ = cut_first ? wanted_ : kNoLimit;
    caching_ = IsLaterPage(request) ? Caching::kBypass : sink->caching();
  }

  absl::StatusOr<RangeTotals> Execute() {
    const KeyInterval interval = IntervalOf(request_.key(), request_.range_end());
    RangeTotals totals;
    if (request_.count_only()) {
      KEEL_ASSIGN_OR_RETURN(totals.count, query_.Count(interval, at_));
      return totals;
    }
    bool whole = true;  // The scan reached the end, so what it met is the count.
    absl::Status failure;
    KEEL_RETURN_IF_ERROR(query_.Scan(interval, at_, take_, caching_, [&](std::string_view key, Version version) {
      ++totals.count;
      if (PassesFilters(request_, version.facts)) failure = Take(key, std::move(version));
      whole = failure.ok() && !stopped_ && taken_ < take_;
      return whole;
    }));
    KEEL_RETURN_IF_ERROR(failure);
    if (!stopped_) KEEL_RETURN_IF_ERROR(sorted_ ? SendSorted() : SendTaken());
    if (stopped_) return RangeTotals{.stopped = true};
    totals.more = more_;
    if (!whole && !interval.single) {
      KEEL_ASSIGN_OR_RETURN(totals.count, query_.Count(interval, at_));
    }
    return totals;
  }

 private:
  using Pair = std::shared_ptr<const std::string>;  // Wire bytes of a mvccpb.KeyValue.

  struct Hit {
    KeyFacts facts;
    uint64_t order = 0;  // Its place in key order; also breaks ties.
    std::string key;     // Only when that is all that is shown.
    Pair pair;           // When it had to be read already.
  };

  static size_t BytesOf(const Hit& hit) {
    return sizeof(Hit) + hit.key.size() + (hit.pair == nullptr ? 0 : hit.pair->size());
  }

  absl::Status Take(std::string_view key, Version version) {
    Hit hit{.facts = version.facts, .order = taken_++, .key = {}, .pair = {}};
    if (!sorted_ && hit.order >= limit_) {  // One more than wanted is all there is to know.
      more_ = true;
      return absl::OkStatus();
    }
    if (request_.keys_only()) hit.key = std::string(key);
    if (version.record.has_value() && (by_value_ || !request_.keys_only())) hit.pair = std::move(version.record->kv);
    if (!sorted_ && request_.keys_only()) {
      SendKey(hit);
      return absl::OkStatus();
    }
    held_ += BytesOf(hit);
    hits_.push_back(std::move(hit));
    if (!sorted_) return hits_.size() < load_at_once_ ? absl::OkStatus() : SendTaken();
    if (by_value_ && hits_.size() - with_values_ >= load_at_once_) KEEL_RETURN_IF_ERROR(LoadValuesToSort());
    // The best `wanted_` are kept; the rest goes when it has become as many again, or when memory asks for it.
    if (wanted_ != kNoLimit && hits_.size() / 2 >= wanted_ + kSpareHits) KEEL_RETURN_IF_ERROR(KeepBest());
    if (held_ < told_ + kHoldStepBytes || Tell()) return absl::OkStatus();
    KEEL_RETURN_IF_ERROR(KeepBest());
    stopped_ = !Tell();
    return absl::OkStatus();
  }

  bool Tell() {
    told_ = held_;
    return sink_->Hold(held_);
  }

  absl::Status KeepBest() {
    if (take_ != kNoLimit || hits_.size() <= wanted_) return absl::OkStatus();
    KEEL_RETURN_IF_ERROR(LoadValuesToSort());
    std::nth_element(hits_.begin(), hits_.begin() + static_cast<ptrdiff_t>(wanted_), hits_.end(), Before());
    hits_.resize(wanted_);
    with_values_ = hits_.size();
    held_ = 0;
    for (const Hit& hit : hits_) held_ += BytesOf(hit);
    told_ = std::min(told_, held_);
    return absl::OkStatus();
  }

  absl::Status LoadValuesToSort() {
    if (!by_value_) return absl::OkStatus();
    while (with_values_ < hits_.size()) {
      const size_t last = std::min(with_values_ + load_at_once_, hits_.size());
      KEEL_ASSIGN_OR_RETURN(const size_t loaded, LoadPairs(with_values_, last));
      held_ += loaded;
      with_values_ = last;
    }
    return absl::OkStatus();
  }

  // Makes sure that hits [first, last) have their pairs. The bytes that this took.
  absl::StatusOr<size_t> LoadPairs(size_t first, size_t last) {
    std::vector<ChangeId> changes;
    std::vector<size_t> places;
    for (size_t i = first; i < last; ++i) {
      if (hits_[i].pair != nullptr) continue;
      changes.push_back(hits_[i].facts.mod);
      places.push_back(i);
    }
    if (changes.empty()) return size_t{0};
    const Caching caching = loaded_ < kCachedRecords ? caching_ : Caching::kBypass;
    loaded_ += changes.size();
    std::vector<Record> records;
    if (changes.size() == 1) {
      absl::StatusOr<Record> record = query_.source_.Load(changes[0], caching);
      if (!record.ok()) return MustExist(record.status());
      records.push_back(*std::move(record));
    } else if (absl::Status status = query_.source_.LoadMany(changes, caching, &records); !status.ok()) {
      return MustExist(std::move(status));
    }
    size_t bytes = 0;
    for (size_t i = 0; i < places.size(); ++i) {
      bytes += records[i].kv->size();
      hits_[places[i]].pair = std::move(records[i].kv);
    }
    load_at_once_ = std::clamp(bytes > kLoadBytes ? load_at_once_ / 4 : load_at_once_ * 2, kLoadMin, kLoadMax);
    return bytes;
  }

  static std::string_view ValueOf(const Hit& hit) {
    // A record that does not decode sorts as empty here and is reported when it is shown.
    std::optional<KeyValueFields> fields = DecodeKeyValue(*hit.pair);
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

  absl::Status SendSorted() {
    KEEL_RETURN_IF_ERROR(LoadValuesToSort());
    std::sort(hits_.begin(), hits_.end(), Before());
    more_ = hits_.size() > limit_;
    if (more_) hits_.resize(limit_);
    return SendTaken();
  }

  // Hands over all that is held and lets go of it.
  absl::Status SendTaken() {
    for (size_t first = 0; first < hits_.size() && !stopped_;) {
      const size_t last = request_.keys_only() ? hits_.size() : std::min(first + load_at_once_, hits_.size());
      if (!request_.keys_only()) {
        KEEL_ASSIGN_OR_RETURN(const size_t loaded, LoadPairs(first, last));
        held_ += loaded;
      }
      for (; first < last && !stopped_; ++first) {
        Hit& hit = hits_[first];
        if (request_.keys_only()) {
          SendKey(hit);
        } else {
          KEEL_RETURN_IF_ERROR(PairOf(hit.facts.mod, *hit.pair).status());
          stopped_ = !sink_->Add(*hit.pair);
        }
        held_ -= BytesOf(hit);
        hit = Hit();  // It is with the sink now.
      }
      if (sorted_) Tell();
    }
    hits_.clear();
    held_ = told_ = with_values_ = 0;
    return absl::OkStatus();
  }

  void SendKey(const Hit& hit) {
    stopped_ = !sink_->Add(EncodeKeyValue({.key = hit.key,
                                           .create = hit.facts.create,
                                           .mod = hit.facts.mod.revision,
                                           .version = hit.facts.version,
                                           .value = {},
                                           .lease = hit.facts.lease}));
  }

  const KeyspaceQuery& query_;
  const RangeRequest& request_;
  const Revision at_;
  RangeSink* const sink_;
  bool filters_ = false;
  bool descending_ = false;
  bool sorted_ = false;
  bool by_value_ = false;
  Caching caching_ = Caching::kFill;  // Of the first records.
  size_t limit_ = kNoLimit;
  size_t wanted_ = kNoLimit;  // Hits needed to answer: one more than the limit.
  size_t take_ = kNoLimit;    // Hits to take in key order before only counting on.

  size_t taken_ = 0;
  size_t load_at_once_ = kLoadMin;
  size_t loaded_ = 0;       // Records so far.
  std::vector<Hit> hits_;   // Not sent yet.
  size_t with_values_ = 0;  // hits_ before this have their pairs, when sorting by value.
  size_t held_ = 0;         // Bytes of hits_.
  size_t told_ = 0;         // As the sink knows it.
  bool more_ = false;
  bool stopped_ = false;
};

// One key needs neither a list nor an order.
absl::StatusOr<RangeTotals> KeyspaceQuery::Get(const RangeRequest& request, Revision at, RangeSink* sink) const {
  const std::optional<IndexEntry> latest = source_.Latest(request.key());
  if (!latest.has_value()) return RangeTotals();
  KEEL_ASSIGN_OR_RETURN(std::optional<Version> version, VersionAt(*latest, at, Caching::kFill));
  if (!version.has_value()) return RangeTotals();
  if (!version->record.has_value()) {
    absl::StatusOr<Record> record = source_.Load(version->facts.mod, Caching::kFill);
    if (!record.ok()) return MustExist(record.status());
    version->record = *std::move(record);
  }
  KEEL_RETURN_IF_ERROR(PairOf(version->facts.mod, *version->record->kv).status());
  if (!sink->Add(*version->record->kv)) return RangeTotals{.stopped = true};
  return RangeTotals{.count = 1};
}

absl::StatusOr<RangeTotals> KeyspaceQuery::ReadRange(const RangeRequest& request, RangeSink* sink) const {
  Revision at = request.revision() > 0 ? Revision(request.revision()) : at_;
  if (at > at_) return FutureRevisionError();
  if (at < floor_) return CompactedError();
  if (IsPlainGet(request)) return Get(request, at, sink);
  return RangeRun(*this, request, at, sink).Execute();
}

}  // namespace keel::storage
