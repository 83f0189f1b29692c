// The hub's thread: brings lagging watchers back to the published revision, and ticks periodic progress.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "server/watch/watch_hub_impl.h"

namespace keel::server {
namespace {

using etcdserverpb::WatchResponse;
using storage::Revision;

// One read serves this many watchers and revisions at most; together they bound a response to one watcher.
constexpr size_t kPassWatchers = 1024;
constexpr int64_t kPassRevisions = 1000;
constexpr size_t kPassBytes = 16u << 20;
// Watchers looked at while choosing, and watchers served per hold of the lock: publishing waits for no more than that.
constexpr size_t kPassLooks = 4096;
constexpr size_t kDeliveriesPerLock = 64;
// A gap of so many revisions is closed under the lock, so that a watcher comes home however fast revisions appear.
constexpr int64_t kLastStepRevisions = 64;
// How exactly periodic progress keeps its time.
constexpr absl::Duration kTickResolution = absl::Milliseconds(100);

}  // namespace

void WatchHubImpl::Run() {
  const absl::Duration resolution =
      std::max(absl::Milliseconds(1), std::min(kTickResolution, options_.progress_interval / 4));
  while (true) {
    {
      absl::MutexLock lock(&mu_);
      auto work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stopped_ || poked_ || !lagging_.empty(); };
      mu_.AwaitWithTimeout(absl::Condition(&work), ticking_.empty() ? absl::InfiniteDuration() : resolution);
      if (stopped_) return;
    }
    Poll();
  }
}

bool WatchHubImpl::Poll() {
  {
    absl::MutexLock lock(&mu_);
    if (stopped_) return false;
    poked_ = false;
    TickProgress();
  }
  CatchUpOnce();
  absl::MutexLock lock(&mu_);
  return !stopped_ && !lagging_.empty();
}

void WatchHubImpl::TickProgress() {
  const absl::Time now = clock_.Now();
  for (auto& [serial, stream] : ticking_) {
    if (now < stream->state().next_tick) continue;
    ScheduleTick(stream);
    if (stream->congested()) continue;
    for (auto& [id, watcher] : stream->state().watchers) {
      if (!watcher->spec->progress_notify) continue;
      if (watcher->quiet && CaughtUp(*watcher)) {
        WatchResponse progress;
        progress.mutable_header()->set_revision(published_.value());
        progress.set_watch_id(id);
        stream->queue().Push(std::move(progress));
      }
      watcher->quiet = true;
    }
  }
}

void WatchHubImpl::CatchUpOnce() {
  CatchUpPass pass = TakePass();
  if (pass.tasks.empty()) return;
  if (const absl::Status status = ReadPass(&pass); !status.ok()) {
    FailPass(pass, status);
    return;
  }
  for (size_t begin = 0; begin < pass.tasks.size(); begin += kDeliveriesPerLock) {
    const size_t end = std::min(begin + kDeliveriesPerLock, pass.tasks.size());
    Match(&pass, begin, end);
    Deliver(&pass, begin, end);
  }
}

WatchHubImpl::CatchUpPass WatchHubImpl::TakePass() {
  CatchUpPass pass;
  absl::MutexLock lock(&mu_);
  const Revision compact = store_.compact_revision();
  std::vector<std::shared_ptr<Watcher>> elsewhere;
  for (size_t looks = 0; looks < kPassLooks && !lagging_.empty() && pass.tasks.size() < kPassWatchers; ++looks) {
    std::shared_ptr<Watcher> watcher = std::move(lagging_.front());
    lagging_.pop_front();
    if (watcher->state != Watcher::State::kLagging) continue;
    if (watcher->next < compact) {
      CancelCompacted(watcher, compact);
    } else if (watcher->next > published_) {
      SetState(watcher.get(), Watcher::State::kSynced);
    } else if (pass.tasks.empty()) {
      // The one that has waited longest decides where to read; those nearby come along.
      pass.first = watcher->next;
      pass.last = std::min(pass.first + (kPassRevisions - 1), published_);
      pass.tasks.push_back(
          {.watcher = watcher, .stream = watcher->stream, .from = watcher->next, .batch = {}, .selection = {}});
    } else if (watcher->next >= pass.first && watcher->next <= pass.last) {
      pass.tasks.push_back(
          {.watcher = watcher, .stream = watcher->stream, .from = watcher->next, .batch = {}, .selection = {}});
    } else {
      elsewhere.push_back(std::move(watcher));
    }
  }
  lagging_.insert(lagging_.begin(), elsewhere.begin(), elsewhere.end());
  if (!pass.tasks.empty() && ring_.Covers(pass.first)) {
    pass.in_memory = true;
    pass.revisions = ring_.Read(pass.first, pass.last, kPassBytes);
  }
  return pass;
}

absl::Status WatchHubImpl::ReadPass(CatchUpPass* pass) const {
  if (!pass->in_memory) {
    auto history = store_.History(pass->first, pass->last, kPassBytes);
    if (!history.ok()) return history.status();
    pass->revisions = *std::move(history);
  }
  // Cut by bytes: the rest is for another pass. Nothing there at all: then up to the end there is nothing.
  if (!pass->revisions.empty()) pass->last = pass->revisions.back()->revision;
  return absl::OkStatus();
}

void WatchHubImpl::Match(CatchUpPass* pass, size_t begin, size_t end) {
  WatcherIndex index;
  for (size_t i = begin; i < end; ++i) {
    CatchUpTask& task = pass->tasks[i];
    if (pass->full.contains(task.stream)) continue;
    task.batch.spec = task.watcher->spec;
    task.watcher->task = i;
    index.Insert(task.watcher.get());
  }
  std::vector<CatchUpTask*> touched;
  for (const storage::RevisionEventsPtr& revision : pass->revisions) {
    touched.clear();
    for (size_t position = 0; position < revision->events.size(); ++position) {
      const storage::Event& event = revision->events[position];
      const size_t weight = WeightOf(event);
      index.Match(event.key, [&](Watcher* watcher) {
        CatchUpTask* task = &pass->tasks[watcher->task];
        if (!task->batch.spec->Wants(event.type) || revision->revision < task->from) return;
        if (task->selection.empty()) touched.push_back(task);
        task->selection.Add(position, weight);
      });
    }
    for (CatchUpTask* task : touched) task->batch.Add(revision, std::exchange(task->selection, {}));
  }
}

void WatchHubImpl::Deliver(CatchUpPass* pass, size_t begin, size_t end) {
  absl::MutexLock lock(&mu_);
  for (size_t i = begin; i < end; ++i) {
    CatchUpTask& task = pass->tasks[i];
    Watcher* const watcher = task.watcher.get();
    if (watcher->state != Watcher::State::kLagging) continue;
    if (task.batch.spec == nullptr) {  // Its stream was full before its turn came.
      if (watcher->stream->queue().AwaitRoom()) {
        Block(watcher);
      } else {
        lagging_.push_back(task.watcher);
      }
      continue;
    }
    task.batch.header = published_;
    if (!task.batch.parts.empty() && !Deliver(watcher, std::move(task.batch))) {
      pass->full.insert(task.stream);
      continue;
    }
    watcher->next = pass->last + 1;
    Advance(task.watcher);
  }
}

void WatchHubImpl::Advance(const std::shared_ptr<Watcher>& watcher) {
  if (watcher->next <= published_ && published_ - watcher->next < kLastStepRevisions && ring_.Covers(watcher->next)) {
    EventBatch batch;
    batch.spec = watcher->spec;
    batch.header = published_;
    for (const storage::RevisionEventsPtr& revision : ring_.Read(watcher->next, published_, SIZE_MAX)) {
      EventSelection selection;
      for (size_t position = 0; position < revision->events.size(); ++position) {
        const storage::Event& event = revision->events[position];
        if (watcher->spec->Wants(event.type) && watcher->spec->keys.Contains(event.key)) {
          selection.Add(position, WeightOf(event));
        }
      }
      if (!selection.empty()) batch.Add(revision, std::move(selection));
    }
    if (!batch.parts.empty() && !Deliver(watcher.get(), std::move(batch))) return;
    watcher->next = published_ + 1;
  }
  if (watcher->next > published_) {
    SetState(watcher.get(), Watcher::State::kSynced);
  } else {
    MakeLagging(watcher);
  }
}

void WatchHubImpl::FailPass(const CatchUpPass& pass, const absl::Status& status) {
  absl::MutexLock lock(&mu_);
  const Revision compact = store_.compact_revision();
  if (absl::IsOutOfRange(status) && pass.first < compact) {
    // Compaction went by; choosing again sorts out whom it hit.
    for (const CatchUpTask& task : pass.tasks) {
      if (task.watcher->state == Watcher::State::kLagging) lagging_.push_back(task.watcher);
    }
    return;
  }
  // Ending them is better than a gap; clients ask again, and may find a member whose disk can be read.
  KEEL_LOG_ERROR("cannot read history for watchers", {{"revision", pass.first}, {"error", status}});
  for (const CatchUpTask& task : pass.tasks) {
    const std::shared_ptr<Watcher>& watcher = task.watcher;
    if (watcher->state != Watcher::State::kLagging) continue;
    WatchStreamImpl* stream = watcher->stream;
    WatchResponse canceled;
    canceled.mutable_header()->set_revision(published_.value());
    canceled.set_watch_id(watcher->spec->id);
    canceled.set_canceled(true);
    canceled.set_cancel_reason(status.ToString());
    Remove(watcher);
    stream->queue().Push(std::move(canceled));
  }
}

void WatchHubImpl::CancelCompacted(const std::shared_ptr<Watcher>& watcher, Revision compact) {
  WatchStreamImpl* stream = watcher->stream;
  WatchResponse canceled;
  canceled.mutable_header()->set_revision(0);
  canceled.set_watch_id(watcher->spec->id);
  canceled.set_canceled(true);
  canceled.set_compact_revision(compact.value());
  Remove(watcher);
  // The client still cancels it and waits for the answer.
  stream->state().compacted_ids.insert(watcher->spec->id);
  stream->queue().Push(std::move(canceled));
}

}  // namespace keel::server
