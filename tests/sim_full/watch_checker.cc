#include "tests/sim_full/watch_checker.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace keel::sim {
namespace {

const std::string kToTheEnd(1, '\0');

}  // namespace

WatchChecker::WatchChecker(Ledger* ledger, const Oracle* oracle, etcdserverpb::WatchCreateRequest request)
    : oracle_(*oracle),
      request_(std::move(request)),
      next_(request_.start_revision()),
      delivers_(ledger, "watch-delivers-exactly"),
      progress_(ledger, "watch-progress-is-true"),
      previous_(ledger, "watch-previous-pair"),
      compacted_(ledger, "watch-compaction-is-true"),
      ended_(ledger, "watch-ends-with-reason"),
      resumed_(ledger, "watch-resumed"),
      saw_compaction_(ledger, "watch-cancelled-by-compaction"),
      saw_fragment_(ledger, "watch-response-in-fragments"),
      caught_up_many_(ledger, "watch-caught-up-over-revisions") {}

void WatchChecker::Open(std::unique_ptr<server::WatchStream> stream) {
  resumed_.Reached(next_ > 0 && next_ != request_.start_revision());
  stream_ = std::move(stream);
  fragments_.clear();
  etcdserverpb::WatchCreateRequest create = request_;
  create.set_start_revision(next_);
  stream_->Create(create);
}

void WatchChecker::Close() { stream_.reset(); }

bool WatchChecker::Read() {
  etcdserverpb::WatchResponse response;
  while (stream_ != nullptr && stream_->Next(&response)) {
    if (!Take(response)) return false;
    response.Clear();
  }
  return true;
}

bool WatchChecker::Take(const etcdserverpb::WatchResponse& response) {
  const int64_t header = response.header().revision();
  if (response.canceled()) {
    const bool is_empty =
        !request_.range_end().empty() && request_.range_end() != kToTheEnd && request_.range_end() <= request_.key();
    ended_.Require(is_empty ? response.cancel_reason() == "mvcc: watcher range is empty"
                            : response.compact_revision() > 0 && !response.created(),
                   [&] { return absl::StrCat("a watcher ends with ", response.ShortDebugString()); });
    if (is_empty) {
      refused_ = true;
    } else {
      saw_compaction_.Reached();
      compacted_.Require(
          response.compact_revision() > next_ && response.compact_revision() <= oracle_.model().compact(), [&] {
            return absl::StrCat("cancelled for compaction at ", response.compact_revision(), " while at ", next_,
                                ", compacted is ", oracle_.model().compact());
          });
      next_ = response.compact_revision();
    }
    Close();
    return false;
  }
  if (response.created()) {
    if (next_ == 0) next_ = header + 1;
    return true;
  }
  if (response.events().empty()) {
    progress_.Require(header <= oracle_.model().revision(),
                      [&] { return absl::StrCat("progress to ", header, ", which does not exist"); });
    for (int64_t revision = next_; revision <= header; ++revision) {
      const std::vector<Model::Event>& events = oracle_.model().EventsOf(revision);
      progress_.Require(std::none_of(events.begin(), events.end(), [this](const auto& e) { return Wants(e); }),
                        [&] { return absl::StrCat("progress to ", header, " before the events of ", revision); });
    }
    next_ = std::max(next_, header + 1);
    return true;
  }
  fragments_.insert(fragments_.end(), response.events().begin(), response.events().end());
  if (response.fragment()) {
    saw_fragment_.Reached();
    return true;
  }
  TakeEvents(std::exchange(fragments_, {}), header);
  return true;
}

bool WatchChecker::Wants(const Model::Event& event) const {
  if (!Model::Inside(event.key, request_.key(), request_.range_end())) return false;
  const auto unwanted =
      event.pair.has_value() ? etcdserverpb::WatchCreateRequest::NOPUT : etcdserverpb::WatchCreateRequest::NODELETE;
  return std::find(request_.filters().begin(), request_.filters().end(), unwanted) == request_.filters().end();
}

void WatchChecker::TakeEvents(const std::vector<mvccpb::Event>& events, int64_t header) {
  const int64_t last = events.back().kv().mod_revision();
  const auto wrong = [&] {
    return absl::StrCat("at ", next_, " came ", events.size(), " events of ", events.front().kv().mod_revision(), "..",
                        last, " with header ", header);
  };
  delivers_.Require(header >= last && last <= oracle_.model().revision(), wrong);
  size_t position = 0;
  for (int64_t revision = next_; revision <= last; ++revision) {
    for (const Model::Event& expected : oracle_.model().EventsOf(revision)) {
      if (!Wants(expected)) continue;
      delivers_.Require(position < events.size(), wrong);
      CheckEvent(events[position++], expected, revision);
    }
  }
  delivers_.Require(position == events.size(), wrong);
  caught_up_many_.Reached(events.front().kv().mod_revision() != last);
  next_ = last + 1;
}

void WatchChecker::CheckEvent(const mvccpb::Event& event, const Model::Event& expected, int64_t revision) {
  mvccpb::KeyValue wanted;
  if (expected.pair.has_value()) {
    Model::Fill(expected.key, *expected.pair, &wanted);
  } else {
    wanted.set_key(expected.key);
    wanted.set_mod_revision(revision);
  }
  const bool is_put = event.type() == mvccpb::Event::PUT;
  delivers_.Require(is_put == expected.pair.has_value() && event.kv().SerializeAsString() == wanted.SerializeAsString(),
                    [&] { return absl::StrCat(event.ShortDebugString(), " instead of ", wanted.ShortDebugString()); });
  // As of the revision before, however often this one changed the key; a creation has none.
  const bool created = expected.pair.has_value() && expected.pair->version == 1;
  const std::optional<Model::Pair> pair = created ? std::nullopt : oracle_.model().PairAt(expected.key, revision - 1);
  if (!request_.prev_kv() || !pair.has_value()) {
    previous_.Require(!event.has_prev_kv(),
                      [&] { return absl::StrCat("a previous pair nobody asked for, or of nothing"); });
    return;
  }
  mvccpb::KeyValue before;
  Model::Fill(expected.key, *pair, &before);
  // It may have been compacted away by now.
  const bool may_be_gone = revision - 1 < oracle_.model().compact();
  previous_.Require(
      event.has_prev_kv() ? event.prev_kv().SerializeAsString() == before.SerializeAsString() : may_be_gone, [&] {
        return absl::StrCat("previous pair ", event.prev_kv().ShortDebugString(), " instead of ",
                            before.ShortDebugString(), " at ", revision, " for ", event.ShortDebugString(),
                            ", compacted ", oracle_.model().compact());
      });
}

}  // namespace keel::sim
