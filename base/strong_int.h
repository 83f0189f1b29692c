#pragma once

// Integers that must not mix. KEEL_STRONG_INT(Term, uint64_t) makes a type with comparison, hashing, printing, and
// arithmetic with plain integers (index + 1) and between two of its kind only where that means something (a - b is a
// plain distance).

#include <compare>
#include <cstdint>
#include <functional>
#include <ostream>
#include <type_traits>
#include <utility>

namespace keel {

template <typename Tag, typename Rep>
class StrongInt {
 public:
  using rep = Rep;

  constexpr StrongInt() = default;
  constexpr explicit StrongInt(Rep value) : value_(value) {}

  constexpr Rep value() const { return value_; }

  friend constexpr auto operator<=>(StrongInt, StrongInt) = default;

  constexpr StrongInt& operator++() {
    ++value_;
    return *this;
  }
  constexpr StrongInt& operator--() {
    --value_;
    return *this;
  }
  friend constexpr StrongInt operator+(StrongInt a, Rep n) { return StrongInt(a.value_ + n); }
  friend constexpr StrongInt operator-(StrongInt a, Rep n) { return StrongInt(a.value_ - n); }
  friend constexpr Rep operator-(StrongInt a, StrongInt b) { return a.value_ - b.value_; }

  template <typename H>
  friend H AbslHashValue(H h, StrongInt v) {
    return H::combine(std::move(h), v.value_);
  }
  friend std::ostream& operator<<(std::ostream& os, StrongInt v) { return os << v.value_; }

 private:
  Rep value_ = 0;
};

}  // namespace keel

#define KEEL_STRONG_INT(Name, Rep) using Name = ::keel::StrongInt<struct Name##Tag, Rep>
