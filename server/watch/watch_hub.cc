#include "server/watch/watch_hub.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "server/watch/watch_hub_impl.h"

namespace keel::server {
namespace {

using etcdserverpb::WatchCreateRequest;
using etcdserverpb::WatchResponse;
using storage::Revision;

WatchResponse Answer(Revision revision, int64_t watch_id) {
  WatchResponse response;
  response.mutable_header()->set_revision(revision.value());
  response.set_watch_id(watch_id);
  return response;
}

const std::string kFirstKey(1, '\0');

// False: the range is empty.
bool ParseRange(const WatchCreateRequest& request, KeyRange* keys) {
  keys->begin = request.key().empty() ? kFirstKey : request.key();
  if (request.range_end().empty()) {
    keys->kind = KeyRange::Kind::kKey;
  } else if (request.range_end() == kFirstKey) {
    keys->kind = KeyRange::Kind::kFromKey;
  } else {
    keys->kind = KeyRange::Kind::kHalfOpen;
    keys->end = request.range_end();
    return keys->begin < keys->end;
  }
  return true;
}

}  // namespace

std::unique_ptr<WatchHub> WatchHub::Create(const Options& options, storage::StateStore* store, const Clock* clock) {
  return std::make_unique<WatchHubImpl>(options, store, clock);
}

WatchHubImpl::WatchHubImpl(const Options& options, storage::StateStore* store, const Clock* clock)
    : options_(options),
      store_(*store),
      clock_(*clock),
      published_(store->current_revision()),
      ring_(options.ring_bytes_max, published_ + 1),
      jitter_(options.seed.has_value() ? *options.seed : Random::EntropySeed()) {}

WatchHubImpl::~WatchHubImpl() {
  Stop();
  absl::MutexLock lock(&mu_);
  KEEL_CHECK(streams_.empty()) << "a watch stream outlives its hub";
}

void WatchHubImpl::Start() {
  absl::MutexLock lock(&mu_);
  KEEL_CHECK(!started_);
  if (stopped_) return;
  started_ = true;
  if (options_.drive == Drive::kThread) thread_ = std::thread([this] { Run(); });
}

void WatchHubImpl::Stop() {
  {
    absl::MutexLock lock(&mu_);
    if (!stopped_) {
      stopped_ = true;
      for (auto& [serial, stream] : streams_) stream->queue().Close();
    }
  }
  if (thread_.joinable()) thread_.join();
}

std::unique_ptr<WatchStream> WatchHubImpl::OpenStream(std::function<void()> ready) {
  auto stream = std::make_unique<WatchStreamImpl>(this, std::move(ready));
  absl::MutexLock lock(&mu_);
  stream->state().serial = next_serial_++;
  streams_.emplace(stream->state().serial, stream.get());
  if (stopped_) stream->queue().Close();
  ++stats_.streams;
  return stream;
}

void WatchHubImpl::CloseStream(WatchStreamImpl* stream) {
  absl::MutexLock lock(&mu_);
  WatchStreamImpl::State& state = stream->state();
  while (!state.watchers.empty()) {
    const std::shared_ptr<Watcher> watcher = state.watchers.begin()->second;
    Remove(watcher);
  }
  streams_.erase(state.serial);
  ticking_.erase(state.serial);
  progress_requests_.erase(std::remove(progress_requests_.begin(), progress_requests_.end(), stream),
                           progress_requests_.end());
  --stats_.streams;
}

// --- Watchers.

void WatchHubImpl::Refuse(WatchStreamImpl* stream, const char* reason) {
  WatchResponse refusal = Answer(store_.current_revision(), -1);
  refusal.set_created(true);
  refusal.set_canceled(true);
  refusal.set_cancel_reason(reason);
  stream->queue().Push(std::move(refusal));
}

void WatchHubImpl::CreateWatcher(WatchStreamImpl* stream, const WatchCreateRequest& request) {
  auto spec = std::make_shared<WatchSpec>();
  const bool range_ok = ParseRange(request, &spec->keys);
  spec->id = request.watch_id();
  spec->start = Revision(request.start_revision());
  spec->prev_kv = request.prev_kv();
  spec->progress_notify = request.progress_notify();
  spec->fragment = request.fragment();
  for (int filter : request.filters()) {
    if (filter == WatchCreateRequest::NOPUT) spec->puts = false;
    if (filter == WatchCreateRequest::NODELETE) spec->deletes = false;
  }

  absl::MutexLock lock(&mu_);
  if (stopped_) return;
  if (request.start_revision() < 0) {
    return Refuse(stream, "etcdserver: mvcc: required revision has been compacted");
  }
  if (!range_ok) return Refuse(stream, "mvcc: watcher range is empty");
  WatchStreamImpl::State& state = stream->state();
  if (spec->id != 0 && state.IdInUse(spec->id)) {
    return Refuse(stream, "mvcc: duplicate watch ID provided on the WatchStream");
  }
  if (spec->id == 0) {
    while (state.IdInUse(state.next_automatic_id)) ++state.next_automatic_id;
    spec->id = state.next_automatic_id++;
  }

  // What has been committed may not have been published yet. A watcher from now on starts behind all of it: its client
  // has read, or written, that revision already.
  const Revision current = std::max(store_.current_revision(), published_);
  auto watcher = std::make_shared<Watcher>();
  watcher->spec = spec;
  watcher->stream = stream;
  watcher->serial = next_serial_++;
  watcher->next = spec->start.value() == 0 ? current + 1 : spec->start;
  state.watchers.emplace(spec->id, watcher);
  ++stats_.watchers;
  if (spec->progress_notify && state.progress_watchers++ == 0) ScheduleTick(stream);

  WatchResponse created = Answer(current, spec->id);
  created.set_created(true);
  stream->queue().Push(std::move(created));
  if (watcher->next > published_) {
    SetState(watcher.get(), Watcher::State::kSynced);
  } else {
    MakeLagging(watcher);
  }
}

void WatchHubImpl::CancelWatcher(WatchStreamImpl* stream, int64_t watch_id) {
  absl::MutexLock lock(&mu_);
  WatchStreamImpl::State& state = stream->state();
  if (const auto found = state.watchers.find(watch_id); found != state.watchers.end()) {
    const std::shared_ptr<Watcher> watcher = found->second;
    Remove(watcher);
  } else if (state.compacted_ids.erase(watch_id) == 0) {
    return;  // Unknown.
  }
  WatchResponse canceled = Answer(std::max(store_.current_revision(), published_), watch_id);
  canceled.set_canceled(true);
  stream->queue().Push(std::move(canceled));
}

// The only place that moves a watcher in and out of the index and the counts.
void WatchHubImpl::SetState(Watcher* watcher, Watcher::State state) {
  if (watcher->state == state) return;
  auto lags = [](Watcher::State s) { return s == Watcher::State::kLagging || s == Watcher::State::kBlocked; };
  if (watcher->state == Watcher::State::kSynced) index_.Erase(watcher);
  if (lags(watcher->state)) --stats_.lagging_watchers;
  watcher->state = state;
  if (state == Watcher::State::kSynced) index_.Insert(watcher);
  if (lags(state)) ++stats_.lagging_watchers;
}

void WatchHubImpl::MakeLagging(const std::shared_ptr<Watcher>& watcher) {
  SetState(watcher.get(), Watcher::State::kLagging);
  lagging_.push_back(watcher);
}

void WatchHubImpl::Remove(const std::shared_ptr<Watcher>& watcher) {
  WatchStreamImpl::State& state = watcher->stream->state();
  if (watcher->state == Watcher::State::kBlocked) {
    state.blocked.erase(std::find(state.blocked.begin(), state.blocked.end(), watcher));
  }
  if (watcher->spec->progress_notify && --state.progress_watchers == 0) ticking_.erase(state.serial);
  SetState(watcher.get(), Watcher::State::kGone);
  watcher->stream = nullptr;
  --stats_.watchers;
  state.watchers.erase(watcher->spec->id);
}

void WatchHubImpl::Block(Watcher* watcher) {
  SetState(watcher, Watcher::State::kBlocked);
  WatchStreamImpl::State& state = watcher->stream->state();
  state.blocked.push_back(state.watchers.at(watcher->spec->id));
}

bool WatchHubImpl::Deliver(Watcher* watcher, EventBatch&& batch) {
  const auto events = static_cast<int64_t>(batch.events);
  if (!watcher->stream->queue().Push(std::move(batch), &watcher->place)) {
    Block(watcher);
    return false;
  }
  watcher->quiet = false;
  stats_.events_total += events;
  return true;
}

void WatchHubImpl::Unblock(WatchStreamImpl* stream) {
  absl::MutexLock lock(&mu_);
  std::vector<std::shared_ptr<Watcher>> blocked = std::exchange(stream->state().blocked, {});
  for (const std::shared_ptr<Watcher>& watcher : blocked) MakeLagging(watcher);
}

// --- Publishing.

void WatchHubImpl::Publish(const std::vector<storage::RevisionEventsPtr>& revisions) {
  absl::MutexLock lock(&mu_);
  if (stopped_) return;
  for (const storage::RevisionEventsPtr& revision : revisions) {
    if (revision->revision <= published_) continue;  // Came with a snapshot already.
    touched_.clear();
    for (size_t position = 0; position < revision->events.size(); ++position) {
      const storage::Event& event = revision->events[position];
      const size_t weight = WeightOf(event);
      index_.Match(event.key, [&](Watcher* watcher) {
        if (!watcher->spec->Wants(event.type) || revision->revision < watcher->next) return;
        if (watcher->publishing.empty()) touched_.push_back(watcher);
        watcher->publishing.Add(position, weight);
      });
    }
    published_ = revision->revision;
    ring_.Append(revision);
    for (Watcher* watcher : touched_) {
      EventBatch batch;
      batch.spec = watcher->spec;
      batch.header = revision->revision;
      batch.Add(revision, std::exchange(watcher->publishing, {}));
      watcher->next = revision->revision;
      if (Deliver(watcher, std::move(batch))) watcher->next = revision->revision + 1;
    }
  }
  AnswerProgressRequests();
}

void WatchHubImpl::OnStateReplaced() {
  absl::MutexLock lock(&mu_);
  if (stopped_) return;
  const Revision reached = published_ + 1;
  published_ = std::max(published_, store_.current_revision());
  ring_.Reset(published_ + 1);
  for (auto& [serial, stream] : streams_) {
    for (auto& [id, watcher] : stream->state().watchers) {
      if (watcher->state != Watcher::State::kSynced) continue;
      watcher->next = std::max(watcher->next, reached);
      if (watcher->next <= published_) MakeLagging(watcher);
    }
  }
  AnswerProgressRequests();
}

// --- Progress.

bool WatchHubImpl::CaughtUp(const Watcher& watcher) const {
  return watcher.state == Watcher::State::kSynced && watcher.next <= published_ + 1 &&
         watcher.spec->start <= published_;
}

bool WatchHubImpl::AllCaughtUp(WatchStreamImpl* stream) const {
  const auto& watchers = stream->state().watchers;
  return !watchers.empty() &&
         std::all_of(watchers.begin(), watchers.end(), [this](const auto& w) { return CaughtUp(*w.second); });
}

void WatchHubImpl::RequestProgress(WatchStreamImpl* stream) {
  absl::MutexLock lock(&mu_);
  if (stopped_) return;
  const auto& watchers = stream->state().watchers;
  if (!std::all_of(watchers.begin(), watchers.end(),
                   [](const auto& w) { return w.second->state == Watcher::State::kSynced; })) {
    return;
  }
  // The answer must not stand behind what the client may have been told of already by its own writes. What is
  // committed is about to be published.
  stream->state().progress_target = std::max(store_.current_revision(), published_);
  if (std::find(progress_requests_.begin(), progress_requests_.end(), stream) == progress_requests_.end()) {
    progress_requests_.push_back(stream);
  }
  AnswerProgressRequests();
}

void WatchHubImpl::AnswerProgressRequests() {
  if (progress_requests_.empty()) return;
  auto answer = [this](WatchStreamImpl* stream) {
    WatchStreamImpl::State& state = stream->state();
    if (state.progress_target > published_) return false;  // Later.
    if (AllCaughtUp(stream)) stream->queue().Push(Answer(published_, -1));
    state.progress_target = Revision(0);
    return true;
  };
  progress_requests_.erase(std::remove_if(progress_requests_.begin(), progress_requests_.end(), answer),
                           progress_requests_.end());
}

void WatchHubImpl::ScheduleTick(WatchStreamImpl* stream) {
  // Up to a tenth more, so that streams opened together do not tick together.
  const double stretch = 1.0 + 0.1 * static_cast<double>(jitter_.Below(1000)) / 1000.0;
  stream->state().next_tick = clock_.Now() + options_.progress_interval * stretch;
  if (ticking_.emplace(stream->state().serial, stream).second) poked_ = true;
}

WatchHub::Stats WatchHubImpl::stats() const {
  absl::MutexLock lock(&mu_);
  Stats stats = stats_;
  for (const auto& [serial, stream] : streams_) stats.pending_events += static_cast<int64_t>(stream->queue().events());
  return stats;
}

}  // namespace keel::server
