#pragma once

// The keys a request means (rpc.md: key and range_end).

#include <string>
#include <string_view>

namespace keel::storage {

// [first, end), or from `first` on when `unbounded`. Borrowed or owned as its maker says: holds views.
struct KeyInterval {
  std::string_view first;
  std::string_view end;  // Exclusive; meaningless when `unbounded` or `single`.
  bool unbounded = false;
  bool single = false;  // Exactly `first`.

  bool Contains(std::string_view key) const {
    if (single) return key == first;
    return key >= first && (unbounded || key < end);
  }
  bool empty() const { return !single && !unbounded && end <= first; }
  // "\0" is the smallest key there is.
  bool everything() const { return unbounded && first <= std::string_view("\0", 1); }
};

// range_end empty: only `key`; one zero byte: from `key` on; else exclusive end. Views into the arguments.
inline KeyInterval IntervalOf(std::string_view key, std::string_view range_end) {
  KeyInterval interval{.first = key, .end = range_end};
  interval.single = range_end.empty();
  interval.unbounded = range_end == std::string_view("\0", 1);
  return interval;
}

}  // namespace keel::storage
