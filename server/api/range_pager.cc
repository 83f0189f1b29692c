#include "server/api/range_pager.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "storage/state/record.h"

namespace keel::server {
namespace {

// The smallest key behind that of `pair`.
std::string KeyBehind(std::string_view pair) {
  const auto fields = storage::DecodeKeyValue(pair);
  KEEL_CHECK(fields.has_value()) << "the keyspace gives pairs only";
  return std::string(fields->key) + '\0';
}

}  // namespace

void RangePager::Next(PieceDone done) {
  if (started_ || request_.serializable()) return AwaitShare(std::move(done));
  AwaitReadable(*base_->member, call_,
                [self = shared_from_this(), done = std::move(done)](const absl::Status& readable) mutable {
                  if (!readable.ok()) return done(readable);
                  self->AwaitShare(std::move(done));
                });
}

void RangePager::AwaitShare(PieceDone done) {
  // The deadline in call_ is for how the stream begins; every piece has as long again.
  Call waiting = call_;
  waiting.deadline =
      std::min(call_.client_deadline, base_->member->clock->Now() + base_->member->limits.request_timeout);
  auto granted = [self = shared_from_this(),
                  done = std::move(done)](absl::StatusOr<std::shared_ptr<ReplyShare>> share) mutable {
    if (!share.ok()) return done(std::move(share).status());
    WorkerPool* readers = self->base_->readers;
    readers->Run([self = std::move(self), share = *std::move(share), done = std::move(done)]() mutable {
      absl::StatusOr<Piece> piece = absl::CancelledError("context canceled");
      if (!self->call_.is_cancelled()) piece = self->Read(share);
      share.reset();  // What is left of it is the piece's.
      done(std::move(piece));
    });
  };
  base_->replies->Acquire(options_.piece_bytes, waiting, std::move(granted));
}

absl::StatusOr<int64_t> RangePager::Count(const storage::ReadView& view) const {
  etcdserverpb::RangeRequest request = request_;
  request.set_count_only(true);
  WireReply none;
  KEEL_ASSIGN_OR_RETURN(const storage::RangeTotals totals, view.ReadRange(request, &none));
  return totals.count;
}

absl::StatusOr<RangePager::Piece> RangePager::Read(const std::shared_ptr<ReplyShare>& share) {
  const storage::ReadView view = base_->member->store->View();
  const bool first = !started_;
  if (first) {
    started_ = true;
    header_revision_ = view.revision().value();
    if (request_.revision() <= 0) request_.set_revision(header_revision_);
    KEEL_ASSIGN_OR_RETURN(count_, Count(view));
  }

  // A short range is worth remembering, whoever asks for it; the pieces of a long one are not.
  const auto caching = delivered_ <= options_.first_keys ? storage::Caching::kFill : storage::Caching::kBypass;
  Piece piece{.reply = WireReply(share, options_.piece_bytes, caching)};
  storage::RangeTotals totals;
  if (!request_.count_only()) {
    etcdserverpb::RangeRequest slice = request_;
    if (request_.limit() > 0) slice.set_limit(request_.limit() - delivered_);
    if (first) slice.set_limit(slice.limit() > 0 ? std::min(slice.limit(), options_.first_keys) : options_.first_keys);
    KEEL_ASSIGN_OR_RETURN(totals, view.ReadRange(slice, &piece.reply));
  }
  delivered_ += static_cast<int64_t>(piece.reply.pairs());

  const bool cut_by_limit = request_.limit() > 0 && delivered_ >= request_.limit();
  piece.last = cut_by_limit || (!totals.stopped && !totals.more);
  if (piece.last) {
    etcdserverpb::ResponseHeader header;
    base_->member->FillHeader(header_revision_, &header);
    piece.reply.PutHeader(header);
    piece.reply.PutTotals(cut_by_limit && count_ > request_.limit(), count_);
  } else {
    request_.set_key(KeyBehind(piece.reply.last_pair()));
  }
  piece.reply.WrapInPiece();
  share->Shrink(piece.reply.allocated_bytes());
  return piece;
}

}  // namespace keel::server
