#include "server/peer/peer_link.h"

#include <google/protobuf/arena.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/client_callback.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/check.h"
#include "base/clock.h"
#include "base/grpc_status.h"
#include "base/log.h"
#include "raft/wire.h"
#include "server/peer/peer_channel.h"

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

// One attempt. Reads end it: the peer sends one PeerAck and then nothing, so a read that fails is the break. Held
// against OnDone until the link's writer has ended, because writes start on foreign threads.
class PeerLink::Stream final : public grpc::ClientBidiReactor<raftpb::PeerFrame, raftpb::PeerAck> {
 public:
  explicit Stream(PeerLink* link) : link_(*link) {}

  void Open(raftpb::RaftTransport::Stub* stub, const raftpb::PeerHello& hello) {
    stub->async()->Stream(&context_, this);
    AddHold();
    StartRead(&ack_);
    *hello_.mutable_hello() = hello;
    StartWrite(&hello_);
    StartCall();
  }

  // REQUIRES: the writer is this call's.
  void Write(const std::vector<raft::Message>& messages) {
    arena_.Reset();
    auto* frame = google::protobuf::Arena::CreateMessage<raftpb::PeerFrame>(&arena_);
    for (const raft::Message& message : messages) raft::EncodeMessage(message, frame->add_messages());
    writing_bytes_ = frame->ByteSizeLong();
    writing_messages_ = messages.size();
    StartWrite(frame);
  }

  void Cancel() { context_.TryCancel(); }
  void Release() { RemoveHold(); }
  size_t writing_bytes() const { return writing_bytes_; }
  size_t writing_messages() const { return writing_messages_; }

  bool broken = false;  // Guarded by the link's lock, as is `accepted`.
  bool accepted = false;
  bool is_stranger = false;

 private:
  void OnReadDone(bool ok) override {
    if (!ok) {
      link_.OnBroken(this);
      return;
    }
    if (ack_.refusal() == raftpb::PeerAck::NONE) {
      link_.OnAccepted(this);
    } else {
      link_.OnRefused(this, ack_);
    }
    StartRead(&ack_);
  }
  void OnWriteDone(bool ok) override { link_.OnWritten(this, ok); }
  void OnDone(const grpc::Status& status) override { link_.OnStreamDone(this, FromGrpc(status)); }

  PeerLink& link_;
  grpc::ClientContext context_;
  raftpb::PeerFrame hello_;
  raftpb::PeerAck ack_;
  google::protobuf::Arena arena_;  // Of the frame being written.
  size_t writing_bytes_ = 0;
  size_t writing_messages_ = 0;
};

PeerLink::PeerLink(const PeerLinkOptions& options, const PeerIdentity* identity, PeerLinkEvents events)
    : options_(options), identity_(*identity), events_(std::move(events)), retry_delay_(options.redial_min) {
  KEEL_CHECK(!options_.urls.empty()) << "member " << options_.peer << " has no peer URLs";
  stubs_ = NewStubs();
}

PeerLink::~PeerLink() {
  absl::MutexLock lock(&mu_);
  KEEL_CHECK(stream_ == nullptr && alarms_ == 0);
}

PeerLink::Stubs PeerLink::NewStubs() const {
  Stubs stubs;
  for (const Url& url : options_.urls) {
    stubs.push_back(raftpb::RaftTransport::NewStub(DialPeer(url, options_.message_bytes_max)));
  }
  return stubs;
}

void PeerLink::Start() { Dial(); }

void PeerLink::Dial() {
  Stream* stream;
  raftpb::RaftTransport::Stub* stub;
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kStopped) return;
    KEEL_CHECK(stream_ == nullptr);
    stream_ = std::make_unique<Stream>(this);
    stream = stream_.get();
    stub = stubs_[attempt_ % stubs_.size()].get();
    writer_ = Writer::kBusy;  // With the hello.
  }
  // It cannot end before it is open: the call is not started.
  stream->Open(stub, identity_.HelloTo(options_.peer));
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
  if (connected()) return;
  // A channel that has failed refuses calls until an attempt of its own, later, has succeeded; a new one tries at once.
  Stubs stubs = NewStubs();
  absl::MutexLock lock(&mu_);
  if (state_ != State::kUnreachable || stream_ != nullptr) return;
  stubs_.swap(stubs);
  alarm_->Cancel();  // Which dials.
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
    if (writer_ == Writer::kIdle && TakeFrame(&frame)) stream = stream_.get();
  }
  if (stream != nullptr) stream->Write(frame);
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

void PeerLink::OnAccepted(Stream* stream) {
  {
    absl::MutexLock lock(&mu_);
    if (state_ == State::kStopped || stream->broken || stream->accepted) return;
    stream->accepted = true;
    state_ = State::kUp;
    in_episode_ = false;
    retry_delay_ = options_.redial_min;
    last_error_.clear();
    connected_since_ = Clock::Real().Now();
  }
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

void PeerLink::OnWritten(Stream* stream, bool ok) {
  std::vector<raft::Message> frame;
  {
    absl::MutexLock lock(&mu_);
    if (ok) {
      sent_bytes_.fetch_add(stream->writing_bytes(), std::memory_order_relaxed);
    } else {
      sent_failures_.fetch_add(stream->writing_messages(), std::memory_order_relaxed);
    }
    if (!ok || stream->broken || state_ == State::kStopped) {
      writer_ = Writer::kEnded;
    } else if (!TakeFrame(&frame)) {
      return;
    }
  }
  if (frame.empty()) {
    stream->Release();
  } else {
    stream->Write(frame);
  }
}

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
