#include "keel/txn.h"

#include <algorithm>

namespace keel {

Compare Compare::ForPrefix() && {
  range_end = PrefixEnd(key);
  return std::move(*this);
}

Compare Compare::ForRange(std::string_view end) && {
  range_end = std::string(end);
  return std::move(*this);
}

Op::Op(Txn txn) : op_(std::make_shared<const Txn>(std::move(txn))) {}

const Txn* Op::txn() const {
  const auto* nested = std::get_if<std::shared_ptr<const Txn>>(&op_);
  return nested == nullptr ? nullptr : nested->get();
}

bool Txn::is_read_only() const {
  const auto reads = [](const Op& op) {
    return op.get() != nullptr || (op.txn() != nullptr && op.txn()->is_read_only());
  };
  return std::all_of(then_.begin(), then_.end(), reads) && std::all_of(else_.begin(), else_.end(), reads);
}

}  // namespace keel
