#include "server/api/range_pager.h"

#include <algorithm>
#include <utility>

namespace keel::server {

void RangePager::Next(etcdserverpb::RangeStreamResponse* response, PieceDone done) {
  auto read = [self = shared_from_this(), response, done = std::move(done)](const absl::Status& readable) mutable {
    if (!readable.ok()) return done(readable);
    WorkerPool* readers = self->base_->readers;
    readers->Run([self = std::move(self), response, done = std::move(done)]() mutable {
      if (self->call_.is_cancelled()) return done(absl::CancelledError("context canceled"));
      done(self->Fill(response->mutable_range_response()));
    });
  };
  if (started_ || request_.serializable()) return read(absl::OkStatus());
  AwaitReadable(*base_->member, call_, std::move(read));
}

absl::StatusOr<bool> RangePager::Fill(etcdserverpb::RangeResponse* piece) {
  piece->Clear();
  const storage::ReadView view = base_->member->store->View();
  const bool first = !started_;
  if (first) {
    started_ = true;
    header_revision_ = view.revision().value();
    if (request_.revision() <= 0) request_.set_revision(header_revision_);
    next_keys_ = options_.first_keys;
  }

  etcdserverpb::RangeRequest slice = request_;
  const int64_t wanted = request_.limit() > 0 ? request_.limit() - delivered_ : options_.piece_keys_max;
  slice.set_limit(std::min(wanted, next_keys_));
  if (absl::Status status = view.Range(slice, piece); !status.ok()) {
    piece->Clear();
    return status;
  }
  if (first) count_ = piece->count();
  delivered_ += piece->kvs_size();

  const bool cut_by_limit = request_.limit() > 0 && delivered_ >= request_.limit();
  const bool last = request_.count_only() || cut_by_limit || !piece->more();
  if (last) {
    base_->member->FillHeader(header_revision_, piece->mutable_header());
    piece->set_count(count_);
    piece->set_more(cut_by_limit && count_ > request_.limit());
    return true;
  }

  // The next slice begins right after the last key of this one and is as long as this one's size suggests.
  std::string next_key = piece->kvs(piece->kvs_size() - 1).key();
  next_key.push_back('\0');
  request_.set_key(std::move(next_key));
  const int64_t bytes_per_key = std::max<int64_t>(1, static_cast<int64_t>(piece->ByteSizeLong()) / piece->kvs_size());
  next_keys_ = std::clamp<int64_t>(options_.piece_bytes / bytes_per_key, 1, options_.piece_keys_max);
  piece->clear_count();
  piece->clear_more();
  return false;
}

}  // namespace keel::server
