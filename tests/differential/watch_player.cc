#include "tests/differential/watch_player.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "proto/etcdserver_kv.pb.h"
#include "tests/differential/known_differences.h"

namespace keel::differential {
namespace {

using etcdserverpb::WatchRequest;
using etcdserverpb::WatchResponse;

constexpr absl::Duration kPatience = absl::Seconds(10);
constexpr size_t kAll = std::numeric_limits<size_t>::max();

const WatchResponse& AsResponse(const MessagePtr& message) { return static_cast<const WatchResponse&>(*message); }

// Counts the marker's messages that `kind` picks, among `messages`.
template <typename Kind>
size_t Count(const std::vector<MessagePtr>& messages, const Kind& kind) {
  return static_cast<size_t>(std::count_if(messages.begin(), messages.end(),
                                           [&](const MessagePtr& message) { return kind(AsResponse(message)); }));
}

bool MarkerCreated(const WatchResponse& r) { return r.watch_id() == kMarkerWatch && r.created(); }
bool MarkerCanceled(const WatchResponse& r) { return r.watch_id() == kMarkerWatch && r.canceled(); }

}  // namespace

WatchPlayer::Streams& WatchPlayer::Open(int stream) {
  Streams& streams = streams_[stream];
  if (streams.sides[0] == nullptr) {
    for (int side = 0; side < 2; ++side) {
      streams.sides[side] = pair_->sides()[side].connection->Open(*FindMethod("watch"));
    }
  }
  return streams;
}

void WatchPlayer::Write(Streams* streams, const WatchRequest& request) {
  for (int side = 0; side < 2; ++side) {
    WatchRequest resolved = request;
    Resolve(pair_->sides()[side].facts.symbols, &resolved);
    streams->sides[side]->Send(resolved.SerializeAsString());
  }
}

Answer WatchPlayer::Pick(const Streams& streams, int side, size_t from,
                         const std::function<bool(const WatchResponse&)>& is_answer) const {
  const std::vector<MessagePtr> messages = streams.sides[side]->messages();
  Answer answer;
  for (size_t i = from; i < messages.size(); ++i) {
    const WatchResponse& response = AsResponse(messages[i]);
    if (response.watch_id() == kMarkerWatch || !is_answer(response)) continue;
    auto copy = std::make_shared<WatchResponse>(response);
    Normalise(pair_->sides()[side].facts, copy.get());
    answer.messages.push_back(std::move(copy));
  }
  if (streams.sides[side]->ended()) answer.status = streams.sides[side]->status();
  return answer;
}

WatchPlayer::Exchange WatchPlayer::Send(int stream, const WatchRequest& request) {
  Streams& streams = Open(stream);
  std::function<bool(const WatchResponse&)> is_answer;
  if (request.has_create_request()) {
    is_answer = [](const WatchResponse& r) { return r.created(); };
  } else if (request.has_cancel_request()) {
    // What was on its way to the watcher may or may not come after its cancellation was asked for.
    Settle();
    is_answer = [](const WatchResponse& r) { return r.canceled() && !r.created() && r.compact_revision() == 0; };
  } else {
    Settle();
    is_answer = [](const WatchResponse& r) { return !r.created() && !r.canceled() && r.events_size() == 0; };
  }
  ForgetCancelled();
  Exchange exchange;
  const int64_t now = pair_->etcd().facts.symbols.now;
  exchange.stream_has_waiting = streams.live.empty();
  for (const auto& [id, start] : streams.live) exchange.stream_has_waiting |= start > now;

  std::array<size_t, 2> before = {streams.sides[0]->size(), streams.sides[1]->size()};
  Write(&streams, request);
  if (request.has_create_request()) {
    for (int side = 0; side < 2; ++side) {
      streams.sides[side]->Await(
          [&](const std::vector<MessagePtr>& messages) {
            return std::any_of(messages.begin() + static_cast<ptrdiff_t>(before[side]), messages.end(),
                               [&](const MessagePtr& m) { return is_answer(AsResponse(m)); });
          },
          kPatience);
    }
  } else {
    Fence(&streams);
  }
  exchange.etcd = Pick(streams, 0, before[0], is_answer);
  exchange.keel = Pick(streams, 1, before[1], is_answer);

  if (request.has_create_request() && !exchange.keel.messages.empty()) {
    const WatchResponse& created = AsResponse(exchange.keel.messages[0]);
    WatchRequest resolved = request;
    Resolve(pair_->keel().facts.symbols, &resolved);
    const int64_t start = resolved.create_request().start_revision();
    if (!created.canceled()) {
      streams.live[created.watch_id()] = start;
      if (start != 0 && start <= created.header().revision()) {
        reads_history_ = true;
        for (auto& side : streams.catching_up) side[created.watch_id()] = kAll;
      }
    }
  }
  if (request.has_cancel_request()) streams.live.erase(request.cancel_request().watch_id());
  return exchange;
}

void WatchPlayer::ForgetCancelled() {
  for (auto& [number, streams] : streams_) {
    // An id may have been given again after it was cancelled.
    std::map<int64_t, bool> cancelled;
    for (const MessagePtr& message : streams.sides[0]->messages()) {
      const WatchResponse& response = AsResponse(message);
      if (response.created()) cancelled[response.watch_id()] = false;
      if (response.compact_revision() != 0) cancelled[response.watch_id()] = true;
    }
    for (const auto& [id, is_cancelled] : cancelled) {
      if (is_cancelled) streams.live.erase(id);
    }
  }
}

void WatchPlayer::CreateMarker(Streams* streams) {
  WatchRequest create;
  create.mutable_create_request()->set_key(kMarkerKey);
  create.mutable_create_request()->set_watch_id(kMarkerWatch);
  const std::array<size_t, 2> before = {Count(streams->sides[0]->messages(), MarkerCreated),
                                        Count(streams->sides[1]->messages(), MarkerCreated)};
  Write(streams, create);
  for (int side = 0; side < 2; ++side) {
    streams->sides[side]->Await(
        [&](const std::vector<MessagePtr>& messages) { return Count(messages, MarkerCreated) > before[side]; },
        kPatience);
  }
}

void WatchPlayer::CancelMarker(Streams* streams) {
  WatchRequest cancel;
  cancel.mutable_cancel_request()->set_watch_id(kMarkerWatch);
  const std::array<size_t, 2> before = {Count(streams->sides[0]->messages(), MarkerCanceled),
                                        Count(streams->sides[1]->messages(), MarkerCanceled)};
  Write(streams, cancel);
  for (int side = 0; side < 2; ++side) {
    streams->sides[side]->Await(
        [&](const std::vector<MessagePtr>& messages) { return Count(messages, MarkerCanceled) > before[side]; },
        kPatience);
  }
}

void WatchPlayer::Fence(Streams* streams) {
  CreateMarker(streams);
  CancelMarker(streams);
}

bool WatchPlayer::PutMarker() {
  etcdserverpb::PutRequest put;
  put.set_key(kMarkerKey);
  bool ok = true;
  for (Side& side : pair_->sides()) {
    etcdserverpb::PutResponse response;
    ok &= side.connection->Call("put", put, &response).ok();
    if (ok) side.facts.symbols.now = marker_revision_ = response.header().revision();
  }
  return ok;
}

void WatchPlayer::AwaitHistory(Side* side) {
  WatchRequest create;
  create.mutable_create_request()->set_key(kMarkerKey);
  create.mutable_create_request()->set_start_revision(marker_revision_ != 0 ? marker_revision_
                                                                            : side->facts.symbols.base);
  const std::unique_ptr<Stream> stream = side->connection->Open(*FindMethod("watch"));
  stream->Send(create.SerializeAsString());
  stream->Await(
      [](const std::vector<MessagePtr>& messages) {
        return Count(messages, [](const WatchResponse& r) { return r.events_size() > 0 || r.compact_revision() != 0; });
      },
      kPatience);
}

bool WatchPlayer::Settle() {
  if (reads_history_) {
    for (Side& side : pair_->sides()) AwaitHistory(&side);
  }
  for (auto& [number, streams] : streams_) CreateMarker(&streams);
  const bool put = PutMarker();
  for (auto& [number, streams] : streams_) {
    for (const auto& stream : streams.sides) {
      if (!put) break;
      stream->Await(
          [this](const std::vector<MessagePtr>& messages) {
            return Count(messages, [this](const WatchResponse& r) {
              return r.watch_id() == kMarkerWatch && r.events_size() > 0 &&
                     r.events(0).kv().mod_revision() == marker_revision_;
            });
          },
          kPatience);
    }
    CancelMarker(&streams);
  }
  return put;
}

void WatchPlayer::SetTombstonesApart(const std::string& where, const std::vector<MessagePtr>& etcd,
                                     std::vector<MessagePtr>* keel, std::vector<FieldDifference>* differences) const {
  for (size_t i = 0; i < keel->size(); ++i) {
    const WatchResponse& response = AsResponse((*keel)[i]);
    if (response.has_header() || response.events_size() != 1) continue;  // Not of a watcher that was catching up.
    const mvccpb::Event& event = response.events(0);
    if (event.type() != mvccpb::Event::DELETE || compactions_.count(event.kv().mod_revision()) == 0) continue;
    if (i < etcd.size() && etcd[i]->SerializeAsString() == response.SerializeAsString()) continue;
    differences->push_back({absl::StrCat(where, kTombstoneAtCompaction), "(none)", PrintMessage(response)});
    keel->erase(keel->begin() + static_cast<ptrdiff_t>(i--));
  }
}

std::vector<FieldDifference> WatchPlayer::CompareOnce(uint64_t* fields, uint64_t* events) const {
  std::vector<FieldDifference> differences;
  *fields = *events = 0;
  for (const auto& [number, streams] : streams_) {
    std::array<WatchLog, 2> logs;
    for (int side = 0; side < 2; ++side) {
      logs[side] = ReadWatchLog(pair_->sides()[side].facts, streams.sides[side]->messages(), streams.catching_up[side]);
      for (const std::string& violation : logs[side].violations) {
        differences.push_back(
            {absl::StrCat("stream ", number), side == 0 ? violation : "", side == 1 ? violation : ""});
      }
      for (const auto& [id, log] : logs[side].watchers) logs[1 - side].watchers[id];
    }
    for (const auto& [id, log] : logs[0].watchers) {
      for (const MessagePtr& message : log) *events += static_cast<uint64_t>(AsResponse(message).events_size());
      const std::string where = absl::StrCat("stream ", number, " watcher ", id, " ");
      Answer etcd{.messages = log};
      Answer keel{.messages = logs[1].watchers[id]};
      SetTombstonesApart(where, etcd.messages, &keel.messages, &differences);
      for (FieldDifference& difference : CompareAnswers(etcd, keel, fields)) {
        difference.path = where + difference.path;
        differences.push_back(std::move(difference));
      }
    }
  }
  return differences;
}

std::vector<FieldDifference> WatchPlayer::Compare(const std::function<bool(const FieldDifference&)>& explained,
                                                  uint64_t* fields, uint64_t* events) {
  const absl::Time deadline = absl::Now() + patience_;
  std::vector<FieldDifference> differences;
  while (true) {
    differences = CompareOnce(fields, events);
    differences.erase(std::remove_if(differences.begin(), differences.end(), explained), differences.end());
    if (differences.empty() || absl::Now() > deadline) break;
    // The slower server's next message ends this wait; there is no one condition over all streams.
    absl::SleepFor(absl::Milliseconds(5));
  }
  if (!differences.empty()) return differences;
  for (auto& [number, streams] : streams_) {
    for (int side = 0; side < 2; ++side) {
      for (auto& [id, until] : streams.catching_up[side]) {
        if (until == kAll) until = streams.sides[side]->size();
      }
    }
  }
  reads_history_ = false;
  return differences;
}

}  // namespace keel::differential
