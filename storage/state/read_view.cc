#include "storage/state/read_view.h"

#include <utility>

#include "storage/state/read_view_impl.h"

namespace keel::storage {

ReadView::ReadView(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReadView::ReadView(ReadView&&) noexcept = default;
ReadView& ReadView::operator=(ReadView&&) noexcept = default;
ReadView::~ReadView() = default;

absl::Status ReadView::Range(const etcdserverpb::RangeRequest& request, etcdserverpb::RangeResponse* response) const {
  return impl_->query.Range(request, response);
}

absl::StatusOr<std::optional<KeyFacts>> ReadView::Find(std::string_view key) const { return impl_->query.Find(key); }

absl::StatusOr<std::string> ReadView::Value(std::string_view key) const { return impl_->query.Value(key); }

absl::Status ReadView::ForEach(std::string_view key, std::string_view range_end,
                               const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const {
  return impl_->query.ForEach(key, range_end, visit);
}

Revision ReadView::revision() const { return impl_->pin.current(); }

}  // namespace keel::storage
