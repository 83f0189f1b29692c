#include "client/src/watch_stream.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/check.h"
#include "base/grpc_status.h"
#include "client/src/connect_error.h"
#include "client/src/convert.h"
#include "client/src/retry_policy.h"

namespace keel::client {
namespace {

// A member that does not answer a create for so long is left for another.
constexpr absl::Duration kCreateTimeout = absl::Seconds(5);

// True if another stream may do better.
bool MayReconnect(const grpc::Status& status) {
  switch (status.error_code()) {
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
    case grpc::StatusCode::INVALID_ARGUMENT:
    case grpc::StatusCode::UNIMPLEMENTED:
      return false;
    case grpc::StatusCode::FAILED_PRECONDITION:
      return status.error_message() == "etcdserver: rpc not supported for learner";
    default:
      return true;
  }
}

}  // namespace

// Belongs to the I/O thread of its connection, under the watch's mu_; deletes itself when the stream has ended.
class WatchStream::Attempt {
 public:
  Attempt(std::shared_ptr<WatchStream> watch, Route route) : watch_(std::move(watch)), route_(std::move(route)) {}

  // These need the watch's mu_.
  void Open() {
    if (watch_->options_.require_leader) context_.AddMetadata("hasleader", "true");
    stream_ = route_.connection->watch->AsyncWatch(&context_, route_.connection->queue, &opened_);
  }
  void Cancel() {
    context_.TryCancel();
    // A stream that is not being read tells of its end only when asked.
    if (is_open_ && !reading_ && !writing_ && !finishing_) Finish();
  }
  void ResumeReading() {
    if (is_open_ && !reading_ && !finishing_ && !broken_) Read();
  }
  void RequestProgress() {
    if (writing_) {
      progress_wanted_ = true;
      return;
    }
    etcdserverpb::WatchRequest request;
    request.mutable_progress_request();
    Write(request);
  }
  bool is_created() const { return is_created_; }
  void Created() {
    is_created_ = true;
    if (create_timer_) watch_->core_->timers().Cancel(*create_timer_);
  }
  void set_create_timer(TimerThread::Id id) { create_timer_ = id; }
  const Route& route() const { return route_; }

 private:
  // A tag for each kind of operation, since several are under way at once.
  class Tag final : public QueueTag {
   public:
    Tag(Attempt* attempt, void (Attempt::*handler)(bool)) : attempt_(attempt), handler_(handler) {}
    void Done(bool ok) override { (attempt_->*handler_)(ok); }

   private:
    Attempt* const attempt_;
    void (Attempt::*const handler_)(bool);
  };

  void Opened(bool ok) {
    absl::MutexLock lock(&watch_->mu_);
    is_open_ = true;
    if (!ok || watch_->ended_) return Finish();
    etcdserverpb::WatchRequest request = watch_->create_;
    request.mutable_create_request()->set_start_revision(watch_->received_next_);
    Write(request);
    Read();
  }

  void Written(bool) {
    absl::MutexLock lock(&watch_->mu_);
    writing_ = false;
    if (broken_ || watch_->ended_) {
      if (!reading_ && !finishing_) Finish();
    } else if (std::exchange(progress_wanted_, false)) {
      RequestProgress();
    }
  }

  void HasRead(bool ok) {
    absl::MutexLock lock(&watch_->mu_);
    reading_ = false;
    if (ok && !watch_->ended_) {
      watch_->Receive(in_);
      if (!watch_->ended_) {
        if (watch_->has_room()) Read();
        return;
      }
      context_.TryCancel();
    }
    broken_ = true;
    if (!writing_ && !finishing_) Finish();
  }

  void Finished(bool) {
    const std::shared_ptr<WatchStream> watch = watch_;
    const Route route = route_;
    const grpc::Status status = status_;
    const bool refused = route_.connection->FailedToConnect(context_, status_);
    {
      absl::MutexLock lock(&watch->mu_);
      if (create_timer_) watch->core_->timers().Cancel(*create_timer_);
      watch->attempt_ = nullptr;
      watch->failures_ = is_created_ ? 0 : watch->failures_ + 1;
    }
    delete this;
    watch->Disconnected(route, status, refused);
  }

  void Write(const etcdserverpb::WatchRequest& request) {
    writing_ = true;
    stream_->Write(request, &written_);
  }
  void Read() {
    reading_ = true;
    stream_->Read(&in_, &read_);
  }
  void Finish() {
    finishing_ = true;
    stream_->Finish(&status_, &finished_);
  }

  const std::shared_ptr<WatchStream> watch_;
  const Route route_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<etcdserverpb::WatchRequest, etcdserverpb::WatchResponse>> stream_;
  etcdserverpb::WatchResponse in_;
  grpc::Status status_;
  std::optional<TimerThread::Id> create_timer_;
  bool is_open_ = false;
  bool is_created_ = false;
  bool reading_ = false;
  bool writing_ = false;
  bool finishing_ = false;
  bool broken_ = false;  // A read has failed: nothing more will come.
  bool progress_wanted_ = false;
  Tag opened_{this, &Attempt::Opened};
  Tag written_{this, &Attempt::Written};
  Tag read_{this, &Attempt::HasRead};
  Tag finished_{this, &Attempt::Finished};
};

std::shared_ptr<WatchStream> WatchStream::Start(std::shared_ptr<Core> core, std::string_view key,
                                                const WatchOptions& options, WatchCallback callback) {
  auto watch = std::make_shared<WatchStream>(std::move(core), options, std::move(callback));
  absl::StatusOr<KeySpan> span = MakeSpan(key, options.range_end, options.prefix, options.from_key);
  if (span.ok() && options.start_revision < 0) span = absl::InvalidArgumentError("start_revision is negative");
  if (span.ok()) {
    etcdserverpb::WatchCreateRequest& create = *watch->create_.mutable_create_request();
    create.set_key(std::move(span->key));
    create.set_range_end(std::move(span->range_end));
    create.set_progress_notify(options.progress_notify);
    create.set_prev_kv(options.prev_kv);
    create.set_fragment(true);
    if (options.without_puts) create.add_filters(etcdserverpb::WatchCreateRequest::NOPUT);
    if (options.without_deletes) create.add_filters(etcdserverpb::WatchCreateRequest::NODELETE);
    if (absl::Status entered = watch->core_->key_prefix().Enter(&create); !entered.ok()) span = std::move(entered);
  }
  bool registered = false;
  if (span.ok()) {
    {
      absl::MutexLock lock(&watch->mu_);
      watch->self_ = watch;  // Before Register: the Core may cancel at once.
    }
    registered = watch->core_->Register(watch.get());
  }
  if (!registered) {
    absl::MutexLock lock(&watch->mu_);
    watch->self_ = nullptr;
    watch->EndWith(span.ok() ? Core::ClosedError() : span.status());
    return watch;
  }
  watch->Connect();
  return watch;
}

WatchStream::WatchStream(std::shared_ptr<Core> core, const WatchOptions& options, WatchCallback callback)
    : core_(std::move(core)),
      options_(options),
      callback_(std::move(callback)),
      received_next_(options.start_revision),
      taken_next_(options.start_revision),
      last_error_(absl::UnavailableError("not connected yet")),
      down_since_(absl::Now()) {}

void WatchStream::Connect() {
  bool is_over = false;
  {
    absl::MutexLock lock(&mu_);
    absl::StatusOr<Route> route =
        options_.endpoint.empty() ? tour_.Next(*core_) : core_->PickExactly(options_.endpoint);
    if (!route.ok()) EndWith(route.status());
    is_over = ended_;
    if (!is_over) {
      fragments_.reset();
      fragment_bytes_ = 0;
      attempt_ = new Attempt(shared_from_this(), *std::move(route));
      const uint64_t number = ++connects_;
      attempt_->set_create_timer(
          core_->timers().Schedule(kCreateTimeout, [weak = weak_from_this(), number](TimerThread::Outcome outcome) {
            const std::shared_ptr<WatchStream> watch = weak.lock();
            if (watch == nullptr || outcome == TimerThread::Outcome::kStopped) return;
            absl::MutexLock watch_lock(&watch->mu_);
            if (watch->connects_ != number || watch->attempt_ == nullptr) return;
            if (!watch->attempt_->is_created()) watch->attempt_->Cancel();
          }));
      attempt_->Open();
    }
  }
  if (is_over) Settle();
}

void WatchStream::ConnectAfter(absl::Duration delay) {
  core_->timers().Schedule(delay, [watch = shared_from_this()](TimerThread::Outcome outcome) {
    if (outcome == TimerThread::Outcome::kStopped) {
      absl::MutexLock lock(&watch->mu_);
      watch->EndWith(Core::ClosedError());
    }
    watch->Connect();  // Settles if it has ended meanwhile.
  });
}

void WatchStream::Settle() {
  core_->Unregister(this);
  std::shared_ptr<WatchStream> self;
  absl::MutexLock lock(&mu_);
  self.swap(self_);
}

void WatchStream::Disconnected(const Route& route, const grpc::Status& status, bool refused) {
  absl::Duration delay = absl::ZeroDuration();
  bool is_over = false;
  {
    absl::MutexLock lock(&mu_);
    const int endpoints = options_.endpoint.empty() ? static_cast<int>(core_->endpoint_count()) : 1;
    if (last_error_.ok()) down_since_ = absl::Now();
    last_error_ = absl::UnavailableError("the server ended the stream");
    if (!status.ok()) {
      const std::string text = NameStranger(route.connection->endpoint, status.error_message());
      last_error_ = FromGrpc(grpc::Status(status.error_code(), text));
    }
    if (refused) {
      tour_.Refused(route.connection->endpoint, status.error_message(), absl::Now());
      last_error_ = absl::UnavailableError(tour_.Explanation(endpoints));
      // A watch that has begun is patient for ever; one that never has wants to know that nobody is there.
      const bool is_patient = options_.wait_for_ready || core_->has_connected() || created_told_;
      if (!is_patient && tour_.UnreachableFor(endpoints, absl::Now())) EndWith(last_error_);
    } else {
      tour_.Reached();
    }
    if (!ended_ && !MayReconnect(status)) EndWith(last_error_);
    is_over = ended_;
    progress_requests_ = 0;
    // Once round the endpoints without a pause.
    if (failures_ > 0) delay = RoundBackoff(failures_ / endpoints, core_->Jitter());
    if (failures_ < endpoints) delay = absl::ZeroDuration();
  }
  if (is_over) return Settle();
  core_->Failed(route);
  if (delay <= absl::ZeroDuration()) return Connect();
  ConnectAfter(delay);
}

void WatchStream::EndWith(absl::Status status) {
  if (ended_) return;
  ended_ = true;
  end_status_ = std::move(status);
  if (last_error_.ok()) down_since_ = absl::Now();
  if (callback_ != nullptr) PostDrain();
}

void WatchStream::CancelFromCore() {
  absl::MutexLock lock(&mu_);
  EndWith(Core::ClosedError());
  if (attempt_ != nullptr) attempt_->Cancel();
}

void WatchStream::Cancel() {
  absl::MutexLock lock(&mu_);
  muted_ = true;
  EndWith(absl::CancelledError("the watch was cancelled"));
  if (attempt_ != nullptr) attempt_->Cancel();
}

void WatchStream::AwaitCallback() {
  absl::MutexLock lock(&mu_);
  mu_.Await(absl::Condition(this, &WatchStream::CallbackIsAway));
}

void WatchStream::Receive(etcdserverpb::WatchResponse& in) {
  if (in.canceled()) return ReceiveCancel(in);
  if (in.created()) {
    attempt_->Created();
    core_->Succeeded(attempt_->route());
    last_error_ = absl::OkStatus();
    tour_ = Tour();
    // Events come after this revision, so this is where a later stream has to begin even if none has come.
    if (received_next_ == 0) received_next_ = in.header().revision() + 1;
    if (taken_next_ == 0) taken_next_ = received_next_;
    if (!std::exchange(created_told_, true) && options_.created_notify) {
      Push({.header = FromProto(in.header()), .watch_id = in.watch_id(), .created = true}, 0);
    }
    return;
  }
  if (in.events_size() > 0 || in.fragment() || fragments_) return ReceiveEvents(in);

  // Progress: everything up to the header's revision has been sent.
  received_next_ = std::max(received_next_, in.header().revision() + 1);
  const bool was_asked = progress_requests_ > 0;
  if (was_asked) --progress_requests_;
  if (was_asked || options_.progress_notify) {
    Push({.header = FromProto(in.header()), .watch_id = in.watch_id()}, 0);
  }
}

void WatchStream::ReceiveEvents(etcdserverpb::WatchResponse& in) {
  const size_t bytes = in.ByteSizeLong();
  core_->key_prefix().Leave(&in);
  if (!fragments_) fragments_ = WatchResponse{.header = FromProto(in.header()), .watch_id = in.watch_id()};
  fragment_bytes_ += bytes;
  for (mvccpb::Event& event : *in.mutable_events()) {
    // A member should not send what we have; if it does, nobody has to see it twice.
    if (event.kv().mod_revision() < received_next_) continue;
    fragments_->events.push_back(FromProto(event));
  }
  if (in.fragment()) return;
  WatchResponse whole = *std::move(fragments_);
  fragments_.reset();
  const size_t whole_bytes = std::exchange(fragment_bytes_, 0);
  if (whole.events.empty()) return;
  // Not the header's revision: while catching up it is ahead of the events.
  received_next_ = whole.events.back().kv.mod_revision + 1;
  Push(std::move(whole), whole_bytes);
}

void WatchStream::ReceiveCancel(const etcdserverpb::WatchResponse& in) {
  Push({.header = FromProto(in.header()),
        .watch_id = in.watch_id(),
        .created = in.created(),
        .canceled = true,
        .compact_revision = in.compact_revision(),
        .cancel_reason = in.cancel_reason()},
       0);
  compact_revision_ = in.compact_revision();
  EndWith(compact_revision_ != 0 ? absl::OutOfRangeError("etcdserver: mvcc: required revision has been compacted")
                                 : FromCancelReason(in.cancel_reason()));
}

void WatchStream::Push(WatchResponse response, size_t bytes) {
  buffered_bytes_ += bytes;
  buffer_.push_back({.response = std::move(response), .bytes = bytes, .next_revision = received_next_});
  if (callback_ != nullptr) PostDrain();
}

std::optional<WatchResponse> WatchStream::Take() {
  if (buffer_.empty()) return std::nullopt;
  Item item = std::move(buffer_.front());
  buffer_.pop_front();
  buffered_bytes_ -= item.bytes;
  taken_next_ = item.next_revision;
  // Half empty before reading on, so that a slow consumer does not stop and start the stream at every response.
  if (attempt_ != nullptr && buffered_bytes_ <= options_.buffer_bytes_max / 2) attempt_->ResumeReading();
  return std::move(item.response);
}

absl::StatusOr<WatchResponse> WatchStream::Next(absl::Time deadline) {
  KEEL_CHECK(callback_ == nullptr) << "Next() of a watch that has a callback";
  absl::MutexLock lock(&mu_);
  if (!mu_.AwaitWithDeadline(absl::Condition(this, &WatchStream::HasNext), deadline)) {
    if (last_error_.ok()) return absl::DeadlineExceededError("nothing has changed");
    return absl::DeadlineExceededError(absl::StrCat("the watch is not connected: ", last_error_.message()));
  }
  // What was received before the end is still good, unless the application itself ended it.
  if (!muted_) {
    if (std::optional<WatchResponse> response = Take()) return *std::move(response);
  }
  return end_status_;
}

absl::Status WatchStream::RequestProgress() {
  absl::MutexLock lock(&mu_);
  if (ended_) return end_status_;
  if (attempt_ == nullptr || !attempt_->is_created()) return absl::UnavailableError("the watch is not connected");
  ++progress_requests_;
  attempt_->RequestProgress();
  return absl::OkStatus();
}

void WatchStream::PostDrain() {
  if (drain_posted_ || muted_) return;
  drain_posted_ = core_->callbacks().Post([watch = shared_from_this()] { watch->Drain(); });
}

void WatchStream::Drain() {
  mu_.Lock();
  while (!muted_) {
    absl::StatusOr<WatchResponse> next = ended_ ? end_status_ : absl::UnknownError("");
    if (std::optional<WatchResponse> response = Take()) {
      next = *std::move(response);
    } else if (!ended_ || std::exchange(end_told_, true)) {
      break;
    }
    running_callback_ = std::this_thread::get_id();
    mu_.Unlock();
    callback_(next);
    mu_.Lock();
    running_callback_ = std::thread::id();
  }
  drain_posted_ = false;
  mu_.Unlock();
}

Watcher::Connection WatchStream::connection() const {
  absl::MutexLock lock(&mu_);
  if (ended_) return {.status = end_status_, .since = down_since_};
  return {.status = last_error_, .since = last_error_.ok() ? absl::InfiniteFuture() : down_since_};
}

int64_t WatchStream::compact_revision() const {
  absl::MutexLock lock(&mu_);
  return compact_revision_;
}

int64_t WatchStream::next_revision() const {
  absl::MutexLock lock(&mu_);
  return taken_next_;
}

}  // namespace keel::client
