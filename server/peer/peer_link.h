#pragma once

#include <grpcpp/alarm.h>

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "base/url.h"
#include "proto/raft.pb.h"
#include "raft/message.h"
#include "server/peer/peer_identity.h"
#include "server/peer/peer_io.h"

namespace keel::server {

struct PeerLinkOptions {
  raft::MemberId peer;
  std::vector<Url> urls;  // Not empty; tried in turn.
  size_t queue_bytes_max = 0;
  size_t queue_messages_max = 0;
  size_t message_bytes_max = 0;
  absl::Duration redial_min;  // After a failed attempt; doubles up to redial_max.
  absl::Duration redial_max;
};

// What a link has to tell. Called without locks held, on any thread that sends or on those that read; none may block.
struct PeerLinkEvents {
  // The peer has accepted a stream: it takes messages from now on.
  std::function<void()> reachable;
  // Once per episode: the stream broke, the peer cannot be dialled, the queue ran over.
  std::function<void()> unreachable;
  // A stream that the peer had accepted has ended, not by our doing.
  std::function<void()> broken;
  // The peer does not want us.
  std::function<void(raftpb::PeerAck::Refusal refusal, const std::string& reason)> refused;
};

// Raft messages to one peer, over one stream that is dialled again, soon and for ever, when it breaks.
//
// What has queued since the last write leaves as one frame. While a stream is up, or being opened for the first time,
// messages queue up to the bounds; beyond them, and while the peer cannot be reached, they are dropped: Raft sends
// again, and old messages are worth nothing to a peer that comes back.
//
// Thread-safe.
class PeerLink {
 public:
  // `io` and `identity` outlive it.
  PeerLink(const PeerLinkOptions& options, PeerIo* io, const PeerIdentity* identity, PeerLinkEvents events);
  // REQUIRES: stopped, if started.
  ~PeerLink();

  PeerLink(const PeerLink&) = delete;
  PeerLink& operator=(const PeerLink&) = delete;

  void Start();

  // Takes the messages, in order. Never blocks.
  void Send(std::vector<raft::Message> messages);

  // The peer is there, it has just called: if the link waits before its next attempt, it makes it now.
  void DialNow();

  // In two steps so that many links end together: the first cancels, the second blocks until nothing runs.
  void BeginStop();
  void AwaitStopped();
  // After BeginStop: AwaitStopped would not block.
  bool stopped() const;

  raft::MemberId peer() const { return options_.peer; }
  const std::vector<Url>& urls() const { return options_.urls; }
  bool connected() const { return connected_since() != absl::InfiniteFuture(); }
  // Since when the peer has taken our messages without a break; InfiniteFuture: it does not. By Clock::Real().
  absl::Time connected_since() const;
  uint64_t sent_bytes() const { return sent_bytes_.load(std::memory_order_relaxed); }
  // How often a stream that the peer had accepted has broken.
  uint64_t disconnections() const { return disconnections_.load(std::memory_order_relaxed); }
  uint64_t sent_failures() const { return sent_failures_.load(std::memory_order_relaxed); }

 private:
  class Stream;

  enum class State {
    kOpening,      // First attempt after start or after a working stream.
    kUp,           // The peer has accepted us.
    kUnreachable,  // The last attempt failed.
    kStopped,
  };
  // Of the current stream. Only one write at a time, and none may begin once the stream has ended.
  enum class Writer { kIdle, kBusy, kEnded };

  void Dial();
  void DialLater(absl::Duration delay) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  // Writes `frame` and what has queued meanwhile, for as long as that is done at once. REQUIRES: the writer is this
  // call's.
  void WriteFrames(Stream* stream, std::vector<raft::Message> frame);
  // After a write: what goes next; empty when nothing waits, or the stream has ended for its writer.
  std::vector<raft::Message> NextFrame(Stream* stream, bool ok);

  // From the stream, on the I/O thread; OnStreamDone also on one that writes.
  void OnAccepted(Stream* stream);
  void OnRefused(Stream* stream, const raftpb::PeerAck& ack);
  void OnWritten(Stream* stream, bool ok);
  void OnBroken(Stream* stream);
  void OnStreamDone(Stream* stream, const absl::Status& status);

  // Nothing but the hello is said before the peer has accepted it.
  bool MayWrite() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Moves what fits one frame out of the queue; false, and the writer idle, when nothing waits.
  bool TakeFrame(std::vector<raft::Message>* messages) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  void ClearQueue() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);
  // Whether the caller must tell, once it holds no lock.
  bool BeginEpisode() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const PeerLinkOptions options_;
  PeerIo& io_;
  const PeerIdentity& identity_;
  const PeerLinkEvents events_;

  mutable absl::Mutex mu_;
  State state_ ABSL_GUARDED_BY(mu_) = State::kOpening;
  Writer writer_ ABSL_GUARDED_BY(mu_) = Writer::kEnded;
  std::unique_ptr<Stream> stream_ ABSL_GUARDED_BY(mu_);  // Deleted in OnStreamDone().
  std::unique_ptr<grpc::Alarm> alarm_ ABSL_GUARDED_BY(mu_);
  int alarms_ ABSL_GUARDED_BY(mu_) = 0;  // Whose callback has not returned.
  size_t attempt_ ABSL_GUARDED_BY(mu_) = 0;
  absl::Duration retry_delay_ ABSL_GUARDED_BY(mu_);
  bool in_episode_ ABSL_GUARDED_BY(mu_) = false;
  std::string last_error_ ABSL_GUARDED_BY(mu_);  // Logged once, not at every attempt.
  std::deque<raft::Message> queue_ ABSL_GUARDED_BY(mu_);
  size_t queue_bytes_ ABSL_GUARDED_BY(mu_) = 0;

  absl::Time connected_since_ ABSL_GUARDED_BY(mu_) = absl::InfiniteFuture();
  std::atomic<uint64_t> sent_bytes_{0};
  std::atomic<uint64_t> sent_failures_{0};
  std::atomic<uint64_t> disconnections_{0};
};

}  // namespace keel::server
