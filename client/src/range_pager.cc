#include "keel/range_pager.h"

#include <algorithm>
#include <utility>

#include "client/src/convert.h"
#include "keel/client.h"
#include "keel/kv.h"

namespace keel {
namespace {

// How many pairs a page of no fixed size has at first; then about as many as fit kPageBytes.
constexpr int64_t kFirstPageKeys = 100;
constexpr int64_t kPageKeysMax = 10000;
constexpr int64_t kPageBytes = 1 << 20;

}  // namespace

RangePager::RangePager(Client& client, std::string_view key, const RangeOptions& options, int64_t page_keys)
    : RangePager(client.kv(), key, options, page_keys) {}

RangePager::RangePager(Kv& kv, std::string_view key, const RangeOptions& options, int64_t page_keys)
    : kv_(kv), fixed_size_(page_keys > 0), options_(options), page_keys_(page_keys > 0 ? page_keys : kFirstPageKeys) {
  if (options.sort_order == SortOrder::kDescend || options.sort_target != SortTarget::kKey) {
    status_ = absl::UnimplementedError("pages of a range come in the order of its keys only");
    ended_ = true;
    return;
  }
  // The interval must stay what it is while its first key moves on.
  absl::StatusOr<client::KeySpan> span = client::MakeSpan(key, options.range_end, options.prefix, options.from_key);
  if (!span.ok()) {
    status_ = span.status();
    ended_ = true;
    return;
  }
  options_.prefix = options_.from_key = false;
  options_.range_end = std::move(span->range_end);
  next_key_ = std::move(span->key);
}

RangeOptions RangePager::NextRange() const {
  RangeOptions range = options_;
  range.limit = options_.limit > 0 ? std::min(page_keys_, options_.limit - delivered_) : page_keys_;
  return range;
}

bool RangePager::Next(const CallOptions& call) {
  page_.clear();
  if (ended_) return false;
  return Take(kv_.Get(next_key_, NextRange(), call));
}

void RangePager::NextAsync(const CallOptions& call, std::function<void(bool)> done) {
  page_.clear();
  if (ended_) return done(false);
  kv_.GetAsync(next_key_, NextRange(), call,
               [this, done = std::move(done)](absl::StatusOr<RangeResponse> r) { done(Take(std::move(r))); });
}

bool RangePager::Take(absl::StatusOr<RangeResponse> response) {
  status_ = response.status();
  if (!response.ok()) return false;
  if (!std::exchange(began_, true)) {
    header_ = response->header;
    count_ = response->count;
    if (options_.revision <= 0) options_.revision = header_.revision;
  }
  page_ = std::move(response->kvs);
  delivered_ += static_cast<int64_t>(page_.size());
  ended_ = page_.empty() || !response->more || (options_.limit > 0 && delivered_ >= options_.limit);
  if (page_.empty()) return false;
  next_key_ = page_.back().key + '\0';
  if (!fixed_size_) {
    size_t bytes = 0;
    for (const KeyValue& kv : page_) bytes += kv.key.size() + kv.value.size();
    page_keys_ = std::clamp<int64_t>(kPageBytes * static_cast<int64_t>(page_.size()) / static_cast<int64_t>(bytes), 1,
                                     kPageKeysMax);
  }
  return true;
}

}  // namespace keel
