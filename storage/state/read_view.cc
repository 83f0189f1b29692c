#include "storage/state/read_view.h"

#include <utility>

#include "storage/state/read_view_impl.h"

namespace keel::storage {
namespace {

class MessageSink final : public RangeSink {
 public:
  explicit MessageSink(etcdserverpb::RangeResponse* response) : response_(response) {}
  bool Add(std::string_view pair) override {
    return parsed_ = response_->add_kvs()->ParseFromArray(pair.data(), static_cast<int>(pair.size()));
  }
  bool parsed() const { return parsed_; }

 private:
  etcdserverpb::RangeResponse* const response_;
  bool parsed_ = true;
};

}  // namespace

absl::Status KeyspaceReader::Range(const etcdserverpb::RangeRequest& request,
                                   etcdserverpb::RangeResponse* response) const {
  MessageSink sink(response);
  absl::StatusOr<RangeTotals> totals = ReadRange(request, &sink);
  if (totals.ok() && !sink.parsed()) totals = absl::DataLossError("state: a pair of the range is not a message");
  if (!totals.ok()) {
    response->clear_kvs();
    return std::move(totals).status();
  }
  response->set_more(totals->more);
  response->set_count(totals->count);
  return absl::OkStatus();
}

ReadView::ReadView(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ReadView::ReadView(ReadView&&) noexcept = default;
ReadView& ReadView::operator=(ReadView&&) noexcept = default;
ReadView::~ReadView() = default;

absl::StatusOr<RangeTotals> ReadView::ReadRange(const etcdserverpb::RangeRequest& request, RangeSink* sink) const {
  return impl_->query.ReadRange(request, sink);
}

absl::StatusOr<std::optional<KeyFacts>> ReadView::Find(std::string_view key) const { return impl_->query.Find(key); }

absl::StatusOr<std::string> ReadView::Value(std::string_view key) const { return impl_->query.Value(key); }

absl::Status ReadView::ForEach(std::string_view key, std::string_view range_end,
                               const std::function<bool(std::string_view key, const KeyFacts& facts)>& visit) const {
  return impl_->query.ForEach(key, range_end, visit);
}

Revision ReadView::revision() const { return impl_->pin.current(); }

}  // namespace keel::storage
