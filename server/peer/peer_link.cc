#include "server/peer/peer_link.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "raft/wire.h"
#include "server/peer/peer_service.h"
#include "server/peer/stream_connection.h"

namespace keel::server {
namespace {

// A frame holds at least one message, and more as long as it stays about below this.
constexpr size_t kFrameBytes = 1u << 20;
// What the encoding may add to MessageBytes() in the receiver's limit.
constexpr size_t kFrameSlackBytes = 64u << 10;

// A peer that refuses us needs a person, not haste; one that does not know us yet is about to.
constexpr absl::Duration kRefusedDelay = absl::Seconds(1);
constexpr absl::Duration kStrangerDelay = absl::Milliseconds(100);

}  // namespace

// One attempt: a connection and what is said on it. Two hold it, the connection's events and the link's writer, because
// writes start on foreign threads; when both have let go it is over.
class PeerLink::Stream final {
 public:
  explicit Stream(PeerLink* link) : link_(*link) {}

  void Open(PeerIo* io, const Url& url, size_t message_bytes_max, const raftpb::PeerHello& hello) {
    raftpb::PeerFrame first;
    *first.mutable_hello() = hello;
    writing_bytes_ = first.ByteSizeLong();
    // The events may come before this returns, but nothing is written before the first of them.
    absl::MutexLock lock(&mu_);
    connection_ =
        StreamConnection::Dial(io, url, PeerService::StreamMethod(), first, {.message_bytes_max = message_bytes_max},
                               {.message = [this](std::string_view message) { OnMessage(message); },
                                .written = [this](bool ok) { link_.OnWritten(this, ok); },
                                .ended = [this](const absl::Status& status) { OnEnded(status); }});
    if (cancelled_) connection_->Close();
  }

  // REQUIRES: the writer is this call's.
  StreamConnection::Written Write(const std::vector<raft::Message>& messages) {
    arena_.Reset();
    auto* frame = google::protobuf::Arena::CreateMessage<raftpb::PeerFrame>(&arena_);
    for (const raft::Message& message : messages) raft::EncodeMessage(message, frame->add_messages());
    writing_bytes_ = frame->ByteSizeLong();
    writing_messages_ = messages.size();
    return connection()->Write(*frame);
  }

  void Cancel() {
    absl::MutexLock lock(&mu_);
    cancelled_ = true;
    if (connection_ != nullptr) connection_->Close();
  }
  // Once by each holder.
  void Release() {
    if (holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) link_.OnStreamDone(this, status_);
  }
  size_t writing_bytes() const { return writing_bytes_; }
  size_t writing_messages() const { return writing_messages_; }

  bool broken = false;  // Guarded by the link's lock, as is `accepted`.
  bool accepted = false;
  bool is_stranger = false;

 private:
  StreamConnection* connection() {
    absl::MutexLock lock(&mu_);
    return connection_.get();
  }

  void OnMessage(std::string_view message) {
    raftpb::PeerAck ack;
    if (!ack.ParseFromArray(message.data(), static_cast<int>(message.size()))) return Cancel();
    if (ack.refusal() == raftpb::PeerAck::NONE) {
      link_.OnAccepted(this);
    } else {
      link_.OnRefused(this, ack);
    }
  }

  void OnEnded(const absl::Status& status) {
    status_ = status;
    link_.OnBroken(this);
    Release();
  }

  PeerLink& link_;
  std::atomic<int> holders_{2};
  absl::Status status_;            // Set before its holder releases.
  google::protobuf::Arena arena_;  // Of the frame being written.
  size_t writing_bytes_ = 0;
  size_t writing_messages_ = 0;
  absl::Mutex mu_;
  bool cancelled_ ABSL_GUARDED_BY(mu_) = false;
  std::shared_ptr<StreamConnection> connection_ ABSL_GUARDED_BY(mu_);  // Stays once it is there.
};

PeerLink::PeerLink(const PeerLinkOptions& options, PeerIo* io, const PeerIdentity* identity, PeerLinkEvents events)
    : options_(options), io_(*io), identity_(*identity), events_(std::move(events)), retry_delay_(options.redial_min) {
  KEEL_CHECK(!options_.urls.empty()) << "member " << options_.peer << " has no peer URLs";
}

PeerLink::~PeerLink() {
  absl::MutexLock lock(&mu_);
  KEEL_CHECK(stream_ == nullptr && alarms_ == 0);
}

void PeerLink::Start() { Dial(); }

void PeerLink::Dial() {
  Stream* stream;
  const Url* url;
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kStopped) return;
    KEEL_CHECK(stream_ == nullptr);
    stream_ = std::make_unique<Stream>(this);
    stream = stream_.get();
    url = &options_.urls[attempt_ % options_.urls.size()];
    writer_ = Writer::kBusy;  // With the hello.
  }
  // It cannot end before it is open: the call is not started.
  stream->Open(&io_, *url, options_.message_bytes_max, identity_.HelloTo(options_.peer));
}

void PeerLink::DialLater(absl::Duration delay) {
  ++alarms_;
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(std::chrono::system_clock::now() + absl::ToChronoMicroseconds(delay), [this](bool) {
    Dial();
    // Counted until here, so that a stop waits for the dialling.
    absl::MutexLock lock(&mu_);
    --alarms_;
  });
}

void PeerLink::DialNow() {
  absl::MutexLock lock(&mu_);
  if (state_ == State::kUnreachable && stream_ == nullptr) alarm_->Cancel();  // Which dials.
}

void PeerLink::Send(std::vector<raft::Message> messages) {
  bool tell = false;
  Stream* stream = nullptr;
  std::vector<raft::Message> frame;
  {
    absl::MutexLock lock(&mu_);
    for (raft::Message& message : messages) {
      const size_t bytes = raft::MessageBytes(message);
      const bool up = state_ == State::kUp || state_ == State::kOpening;
      if (!up || queue_.size() >= options_.queue_messages_max || queue_bytes_ + bytes > options_.queue_bytes_max ||
          bytes + kFrameSlackBytes > options_.message_bytes_max) {
        sent_failures_.fetch_add(1, std::memory_order_relaxed);
        if (state_ != State::kStopped) tell = BeginEpisode() || tell;
        continue;
      }
      queue_bytes_ += bytes;
      queue_.push_back(std::move(message));
    }
    if (MayWrite() && TakeFrame(&frame)) stream = stream_.get();
  }
  if (stream != nullptr) WriteFrames(stream, std::move(frame));
  if (tell) events_.unreachable();
}

bool PeerLink::TakeFrame(std::vector<raft::Message>* messages) {
  size_t bytes = 0;
  while (!queue_.empty()) {
    const size_t next = raft::MessageBytes(queue_.front());
    if (bytes != 0 && bytes + next > kFrameBytes) break;
    bytes += next;
    queue_bytes_ -= next;
    messages->push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  writer_ = messages->empty() ? Writer::kIdle : Writer::kBusy;
  if (queue_.empty() && state_ == State::kUp) in_episode_ = false;
  return writer_ == Writer::kBusy;
}

void PeerLink::ClearQueue() {
  sent_failures_.fetch_add(queue_.size(), std::memory_order_relaxed);
  queue_.clear();
  queue_bytes_ = 0;
}

bool PeerLink::BeginEpisode() { return !std::exchange(in_episode_, true); }

bool PeerLink::MayWrite() const { return writer_ == Writer::kIdle && stream_->accepted; }

void PeerLink::OnAccepted(Stream* stream) {
  std::vector<raft::Message> frame;
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kStopped || stream->broken || stream->accepted) return;
    stream->accepted = true;
    state_ = State::kUp;
    in_episode_ = false;
    retry_delay_ = options_.redial_min;
    last_error_.clear();
    connected_since_ = Clock::Real().Now();
    if (MayWrite()) TakeFrame(&frame);
  }
  WriteFrames(stream, std::move(frame));
  KEEL_LOG_INFO("peer stream established", {{"member", identity_.self()}, {"peer", options_.peer}});
  events_.reachable();
}

void PeerLink::OnRefused(Stream* stream, const raftpb::PeerAck& ack) {
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kStopped) return;
    stream->is_stranger = ack.refusal() == raftpb::PeerAck::STRANGER;
  }
  events_.refused(ack.refusal(), ack.reason());
}

void PeerLink::WriteFrames(Stream* stream, std::vector<raft::Message> frame) {
  while (!frame.empty()) {
    const StreamConnection::Written written = stream->Write(frame);
    if (written == StreamConnection::Written::kLater) return;  // OnWritten() goes on.
    frame = NextFrame(stream, written == StreamConnection::Written::kDone);
  }
}

std::vector<raft::Message> PeerLink::NextFrame(Stream* stream, bool ok) {
  std::vector<raft::Message> frame;
  {
    absl::MutexLock lock(&mu_);
    if (ok) {
      sent_bytes_.fetch_add(stream->writing_bytes(), std::memory_order_relaxed);
    } else {
      sent_failures_.fetch_add(stream->writing_messages(), std::memory_order_relaxed);
    }
    if (ok && !stream->broken && state_ != State::kStopped) {
      writer_ = Writer::kIdle;
      if (MayWrite()) TakeFrame(&frame);
      return frame;
    }
    writer_ = Writer::kEnded;
  }
  stream->Release();
  return frame;
}

void PeerLink::OnWritten(Stream* stream, bool ok) { WriteFrames(stream, NextFrame(stream, ok)); }

void PeerLink::OnBroken(Stream* stream) {
  bool tell = false;
  bool release = false;
  {
    absl::MutexLock lock(&mu_);
    stream->broken = true;
    if (stream->accepted) disconnections_.fetch_add(1, std::memory_order_relaxed);
    connected_since_ = absl::InfiniteFuture();
    if (writer_ == Writer::kIdle) {
      writer_ = Writer::kEnded;
      release = true;
    }
    if (state_ != State::kStopped) tell = BeginEpisode();
  }
  if (tell) events_.unreachable();
  if (release) stream->Release();
}

void PeerLink::OnStreamDone(Stream* stream, const absl::Status& status) {
  // Network errors carry changing details; refusals are worth reading whenever they change.
  const bool refused = absl::IsFailedPrecondition(status);
  const std::string error = refused ? std::string(status.message()) : std::string("unreachable");
  bool log = false;
  bool broken = false;
  {
    absl::MutexLock lock(&mu_);
    KEEL_CHECK(stream == stream_.get() && writer_ == Writer::kEnded);
    if (state_ != State::kStopped) {
      log = stream->accepted || error != last_error_;
      broken = stream->accepted && !refused;
    }
  }
  if (broken) events_.broken();
  if (log) {
    KEEL_LOG_WARN(stream->accepted ? "peer stream lost" : "peer not reachable",
                  {{"member", identity_.self()}, {"peer", options_.peer}, {"error", status}});
  }
  std::unique_ptr<Stream> ended;
  absl::MutexLock lock(&mu_);
  ended = std::move(stream_);  // From here on a stop no longer waits for us.
  if (state_ == State::kStopped) return;
  ClearQueue();
  if (ended->accepted && !refused) {
    state_ = State::kOpening;
    DialLater(absl::ZeroDuration());
    return;
  }
  state_ = State::kUnreachable;
  last_error_ = error;
  ++attempt_;
  DialLater(ended->is_stranger ? kStrangerDelay : refused ? kRefusedDelay : retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, options_.redial_max);
}

void PeerLink::BeginStop() {
  absl::MutexLock lock(&mu_);
  if (state_ == State::kStopped) return;
  state_ = State::kStopped;
  connected_since_ = absl::InfiniteFuture();
  ClearQueue();
  if (alarm_ != nullptr) alarm_->Cancel();
  if (stream_ != nullptr) stream_->Cancel();
}

absl::Time PeerLink::connected_since() const {
  absl::ReaderMutexLock lock(&mu_);
  return connected_since_;
}

bool PeerLink::stopped() const {
  absl::ReaderMutexLock lock(&mu_);
  return state_ == State::kStopped && stream_ == nullptr && alarms_ == 0;
}

void PeerLink::AwaitStopped() {
  absl::MutexLock lock(&mu_);
  auto quiet = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return stream_ == nullptr && alarms_ == 0; };
  mu_.Await(absl::Condition(&quiet));
}

}  // namespace keel::server
