#include "server/api/snapshot_pager.h"

#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/status_macros.h"
#include "base/version.h"

namespace keel::server {

absl::StatusOr<std::shared_ptr<SnapshotPager>> SnapshotPager::Create(const ApiBase* base, Call call,
                                                                     std::shared_ptr<Slots> slots) {
  const std::string& scratch = base->member->scratch_dir;
  if (scratch.empty()) return absl::FailedPreconditionError("etcdserver: this member has no place for a snapshot");
  if (slots->running.fetch_add(1) >= kRunningMax) {
    slots->running.fetch_sub(1);
    return absl::ResourceExhaustedError("etcdserver: too many requests");
  }
  std::string dir = absl::StrCat(scratch, "/backup-", slots->made.fetch_add(1));
  return std::shared_ptr<SnapshotPager>(new SnapshotPager(base, std::move(call), std::move(slots), std::move(dir)));
}

SnapshotPager::~SnapshotPager() {
  const bool begun = reader_ != nullptr;
  reader_.reset();
  slots_->running.fetch_sub(1);
  if (!begun) return;
  // Of files that compaction has dropped meanwhile this is the last link, and their blocks are freed here.
  base_->snapshots->Run([dir = dir_] {
    std::error_code error;
    std::filesystem::remove_all(dir, error);
    if (error) KEEL_LOG_WARN("cannot remove a checkpoint", {{"dir", dir}, {"error", error.message()}});
  });
}

void SnapshotPager::Next(etcdserverpb::SnapshotResponse* response, PieceDone done) {
  base_->snapshots->Run([self = shared_from_this(), response, done = std::move(done)]() mutable {
    if (self->call_.is_cancelled()) return done(absl::CancelledError("context canceled"));
    absl::StatusOr<bool> last = self->Fill(response);
    if (!last.ok() && !absl::IsCancelled(last.status())) {
      KEEL_LOG_WARN("a snapshot for a client failed", {{"dir", self->dir_}, {"error", last.status()}});
    }
    done(std::move(last));
  });
}

absl::Status SnapshotPager::Begin() {
  absl::Status begun = base_->member->store->Checkpoint(dir_).status();
  if (begun.ok()) {
    auto reader = storage::SnapshotReader::Open(dir_);
    if (reader.ok()) {
      reader_ = *std::move(reader);
      KEEL_LOG_INFO("sending a snapshot to a client", {{"bytes", reader_->total_bytes()}});
      return absl::OkStatus();
    }
    begun = reader.status();
  }
  std::error_code ignored;
  std::filesystem::remove_all(dir_, ignored);
  return begun;
}

absl::StatusOr<bool> SnapshotPager::Fill(etcdserverpb::SnapshotResponse* piece) {
  if (reader_ == nullptr) KEEL_RETURN_IF_ERROR(Begin());
  piece->Clear();
  piece->set_version(kProtocolVersion);
  KEEL_ASSIGN_OR_RETURN(std::string bytes, reader_->Next(kPieceBytes));
  if (bytes.empty()) {
    piece->set_blob(digest_.Finish());
    return true;
  }
  digest_.Update(bytes);
  sent_ += bytes.size();
  piece->set_remaining_bytes(reader_->total_bytes() - sent_);
  piece->set_blob(std::move(bytes));
  return false;
}

}  // namespace keel::server
