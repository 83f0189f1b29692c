#include "server/peer/snapshot_sender.h"

#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/grpc_status.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "proto/raft.grpc.pb.h"
#include "raft/wire.h"
#include "server/stored_membership.h"
#include "storage/snapshot/snapshot_stream.h"

namespace keel::server {

SnapshotSender::SnapshotSender(const SnapshotSenderOptions& options, const PeerIdentity* identity,
                               storage::StateStore* store, Delivery* delivery)
    : options_(options), identity_(*identity), store_(store), delivery_(*delivery) {}

void SnapshotSender::Send(raft::MemberId follower, raft::Term term, std::shared_ptr<PeerChannels> channels) {
  absl::Status refused;
  std::thread ended;
  {
    absl::MutexLock lock(&mu_);
    Transfer& transfer = transfers_[follower];
    if (stopped_) {
      refused = absl::UnavailableError("stopping");
    } else if (transfer.running) {
      refused = absl::AbortedError("a snapshot is already on its way to this member");
    } else {
      ended = std::move(transfer.thread);
      transfer.running = true;
      transfer.context = std::make_unique<grpc::ClientContext>();
      transfer.thread = std::thread([this, follower, term, channels, context = transfer.context.get()] {
        Run(follower, term, channels.get(), context);
      });
    }
  }
  if (ended.joinable()) ended.join();  // Has said that it is done; only its last instructions may be left.
  if (!refused.ok()) {
    delivery_.WithNode([&](raft::Node& node) { node.ReportSnapshotSent(follower, refused, raft::EntryId()); });
  }
}

void SnapshotSender::Run(raft::MemberId follower, raft::Term term, PeerChannels* channels,
                         grpc::ClientContext* context) {
  raft::EntryId last;
  const absl::Time begin = Clock::Real().Now();
  if (options_.observer != nullptr) options_.observer->OnBegun(SnapshotObserver::Way::kSent, follower);
  const absl::Status status = SendState(follower, term, channels, context, &last);
  if (options_.observer != nullptr) {
    options_.observer->OnEnded(SnapshotObserver::Way::kSent, follower, status.ok(), Clock::Real().Now() - begin);
  }
  if (status.ok()) {
    KEEL_LOG_INFO("snapshot sent",
                  {{"member", identity_.self()}, {"peer", follower}, {"term", term}, {"index", last.index}});
  } else {
    KEEL_LOG_WARN(
        "snapshot not sent",
        {{"member", identity_.self()}, {"peer", follower}, {"term", term}, {"index", last.index}, {"error", status}});
  }
  // Before the report, so that the node may ask again at once.
  {
    absl::MutexLock lock(&mu_);
    transfers_[follower].running = false;
  }
  delivery_.WithNode([&](raft::Node& node) { node.ReportSnapshotSent(follower, status, last); });
}

absl::Status SnapshotSender::SendState(raft::MemberId follower, raft::Term term, PeerChannels* channels,
                                       grpc::ClientContext* context, raft::EntryId* last) {
  if (store_ == nullptr || options_.scratch_dir.empty()) {
    return absl::FailedPreconditionError("this member has no place to make a snapshot");
  }
  const std::string dir = absl::StrFormat("%s/outgoing-%x", options_.scratch_dir, follower.value());
  std::error_code ignored;
  std::filesystem::remove_all(dir, ignored);  // Of a process that died at it.

  const absl::StatusOr<raft::SnapshotMeta> meta = Checkpoint(dir);
  absl::Status status = meta.status();
  if (meta.ok()) {
    *last = meta->last;
    status = SendFiles(dir, follower, term, *meta, channels, context);
  }
  std::filesystem::remove_all(dir, ignored);
  return status;
}

absl::StatusOr<raft::SnapshotMeta> SnapshotSender::Checkpoint(const std::string& dir) {
  absl::MutexLock lock(&checkpoint_mu_);
  while (true) {
    const storage::StoredMembership before = store_->membership();
    KEEL_ASSIGN_OR_RETURN(const storage::AppliedPosition position, store_->Checkpoint(dir));
    // The same before and after, so the checkpoint has it too.
    if (store_->membership() == before) {
      return raft::SnapshotMeta{.last = {raft::Term(position.term), raft::Index(position.index)},
                                .membership = FromStored(before)};
    }
    std::error_code ignored;
    std::filesystem::remove_all(dir, ignored);
  }
}

absl::Status SnapshotSender::SendFiles(const std::string& dir, raft::MemberId follower, raft::Term term,
                                       const raft::SnapshotMeta& meta, PeerChannels* channels,
                                       grpc::ClientContext* context) {
  KEEL_ASSIGN_OR_RETURN(auto reader, storage::SnapshotReader::Open(dir));
  auto stub = raftpb::RaftTransport::NewStub(channels->current());
  raftpb::SnapshotReceipt receipt;
  auto stream = stub->InstallSnapshot(context, &receipt);

  absl::Status read;
  bool first = true;
  while (true) {
    auto data = reader->Next(options_.chunk_bytes);
    if (!data.ok()) {
      read = data.status();
      context->TryCancel();
      break;
    }
    raftpb::SnapshotChunk chunk;
    if (std::exchange(first, false)) {
      *chunk.mutable_hello() = identity_.HelloTo(follower);
      chunk.set_term(term.value());
      raft::EncodeSnapshotMeta(meta, chunk.mutable_meta());
    }
    chunk.set_last(data->empty());
    chunk.set_crc32c(Crc32c(*data));
    chunk.set_data(*std::move(data));
    const bool final = chunk.last();
    if (!stream->Write(chunk)) break;  // Finish() says why.
    if (final) break;
  }
  stream->WritesDone();
  const absl::Status finished = FromGrpc(stream->Finish());
  KEEL_RETURN_IF_ERROR(read);
  if (absl::IsUnavailable(finished)) channels->Rotate();
  KEEL_RETURN_IF_ERROR(finished);
  if (!receipt.accepted()) {
    return absl::AbortedError(absl::StrCat("member refused the snapshot: ", receipt.reason()));
  }
  return absl::OkStatus();
}

void SnapshotSender::Stop() {
  std::vector<std::thread> threads;
  {
    absl::MutexLock lock(&mu_);
    stopped_ = true;
    for (auto& [follower, transfer] : transfers_) {
      if (transfer.running) transfer.context->TryCancel();
      if (transfer.thread.joinable()) threads.push_back(std::move(transfer.thread));
    }
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace keel::server
