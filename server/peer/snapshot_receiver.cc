#include "server/peer/snapshot_receiver.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "raft/wire.h"
#include "storage/snapshot/snapshot_stream.h"

namespace keel::server {

// What the node made of an offered snapshot. Shared by the waiting call and the node's callback; when the node drops
// the callback uncalled, because it is stopping, nobody knows.
class SnapshotReceiver::Decision {
 public:
  enum class Outcome { kPending, kInstalls, kStale, kUnknown };

  // The first one counts.
  void Set(Outcome outcome) {
    absl::MutexLock lock(&mu_);
    if (outcome_ == Outcome::kPending) outcome_ = outcome;
  }
  Outcome Await() {
    absl::MutexLock lock(&mu_);
    auto decided = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_) { return outcome_ != Outcome::kPending; };
    mu_.Await(absl::Condition(&decided));
    return outcome_;
  }

 private:
  absl::Mutex mu_;
  Outcome outcome_ ABSL_GUARDED_BY(mu_) = Outcome::kPending;
};

absl::Status SnapshotReceiver::Begin() {
  absl::MutexLock lock(&mu_);
  if (stopped_) return absl::UnavailableError("stopping");
  if (busy_) return absl::ResourceExhaustedError("another snapshot is arriving");
  busy_ = true;
  return absl::OkStatus();
}

absl::Status SnapshotReceiver::Receive(SnapshotChunks* chunks, raftpb::SnapshotReceipt* receipt) {
  absl::Status status = ReceiveOne(chunks, receipt);
  absl::MutexLock lock(&mu_);
  busy_ = false;
  awaited_ = nullptr;
  return status;
}

absl::Status SnapshotReceiver::ReceiveOne(SnapshotChunks* chunks, raftpb::SnapshotReceipt* receipt) {
  raftpb::SnapshotChunk chunk;
  if (!chunks->Read(&chunk)) return absl::InvalidArgumentError("the snapshot has no chunks");
  if (const auto verdict = identity_.Judge(chunk.hello()); !verdict.accepted()) return verdict.status();
  const raft::MemberId from(chunk.hello().from());
  if (observer_ == nullptr) return ReceiveFrom(from, chunks, &chunk, receipt);
  const absl::Time begin = Clock::Real().Now();
  observer_->OnBegun(SnapshotObserver::Way::kReceived, from);
  const absl::Status status = ReceiveFrom(from, chunks, &chunk, receipt);
  observer_->OnEnded(SnapshotObserver::Way::kReceived, from, status.ok() && receipt->accepted(),
                     Clock::Real().Now() - begin);
  return status;
}

absl::Status SnapshotReceiver::ReceiveFrom(raft::MemberId from, SnapshotChunks* chunks, raftpb::SnapshotChunk* chunk,
                                           raftpb::SnapshotReceipt* receipt) {
  const raft::Term term(chunk->term());
  KEEL_ASSIGN_OR_RETURN(const raft::SnapshotMeta meta, raft::DecodeSnapshotMeta(chunk->meta()));

  const std::string dir = delivery_.incoming_dir(meta);
  if (dir.empty()) return absl::UnavailableError("this member is not ready for snapshots");
  std::error_code error;
  if (std::filesystem::exists(dir, error)) {
    return absl::AlreadyExistsError(
        absl::StrFormat("the snapshot at index %d is already here", meta.last.index.value()));
  }
  const std::string part = absl::StrCat(dir, ".part");
  std::filesystem::remove_all(part, error);
  const absl::Status written = WriteFiles(part, chunks, chunk);
  if (!written.ok()) {
    KEEL_LOG_WARN(
        "snapshot not received",
        {{"member", identity_.self()}, {"peer", from}, {"term", term}, {"index", meta.last.index}, {"error", written}});
    return written;
  }
  std::filesystem::rename(part, dir, error);
  if (error) {
    std::error_code ignored;
    std::filesystem::remove_all(part, ignored);
    return absl::InternalError(absl::StrCat("rename ", part, ": ", error.message()));
  }
  KEEL_LOG_INFO("snapshot received",
                {{"member", identity_.self()}, {"peer", from}, {"term", term}, {"index", meta.last.index}});

  auto decision = std::make_shared<Decision>();
  {
    absl::MutexLock lock(&mu_);
    if (stopped_) decision->Set(Decision::Outcome::kUnknown);
    awaited_ = decision;
  }
  {
    // Dies with the last copy of the node's callback.
    std::shared_ptr<Decision> guard(decision.get(), [decision](Decision* d) { d->Set(Decision::Outcome::kUnknown); });
    const bool offered = delivery_.WithNode([&](raft::Node& node) {
      node.OfferSnapshot(from, term, meta, [decided = std::move(guard)](bool installs) {
        decided->Set(installs ? Decision::Outcome::kInstalls : Decision::Outcome::kStale);
      });
    });
    if (!offered) decision->Set(Decision::Outcome::kStale);
  }
  switch (decision->Await()) {
    case Decision::Outcome::kInstalls:
      receipt->set_accepted(true);
      return absl::OkStatus();
    case Decision::Outcome::kStale:
      std::filesystem::remove_all(dir, error);
      receipt->set_accepted(false);
      receipt->set_reason("stale");
      return absl::OkStatus();
    case Decision::Outcome::kPending:
    case Decision::Outcome::kUnknown:
      break;
  }
  return absl::UnavailableError("stopping");
}

absl::Status SnapshotReceiver::WriteFiles(const std::string& dir, SnapshotChunks* chunks,
                                          raftpb::SnapshotChunk* chunk) {
  const absl::Time begin = Clock::Real().Now();
  KEEL_ASSIGN_OR_RETURN(auto writer, storage::SnapshotWriter::Create(dir));
  for (int64_t number = 0;; ++number) {
    if (Crc32c(chunk->data()) != chunk->crc32c()) {
      return absl::DataLossError(absl::StrFormat("chunk %d of the snapshot is damaged", number));
    }
    KEEL_RETURN_IF_ERROR(writer->Append(chunk->data()));
    if (chunk->last()) break;
    if (!chunks->Read(chunk)) {
      return absl::DataLossError(absl::StrFormat("the snapshot ended early, after chunk %d", number));
    }
  }
  const absl::Time written = Clock::Real().Now();
  KEEL_RETURN_IF_ERROR(writer->Finish());
  if (observer_ != nullptr) {
    const absl::Time end = Clock::Real().Now();
    observer_->OnStored(end - begin, end - written);
  }
  return absl::OkStatus();
}

void SnapshotReceiver::Stop() {
  absl::MutexLock lock(&mu_);
  stopped_ = true;
  if (awaited_ != nullptr) awaited_->Set(Decision::Outcome::kUnknown);
}

}  // namespace keel::server
