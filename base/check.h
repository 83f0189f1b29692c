#pragma once

// KEEL_CHECK and its family: what only a bug or broken memory can make false. They stay on in release builds; the
// process prints the condition, the operands and where, and aborts. Input from network, disk or user gets a Status.
//
//   KEEL_CHECK(leader != nullptr) << "term " << term;
//   KEEL_CHECK_GE(commit, applied);

#include <sstream>

namespace keel::internal {

// Collects the message and aborts in its destructor.
class CheckFailure {
 public:
  CheckFailure(const char* file, int line, const char* condition);
  [[noreturn]] ~CheckFailure();
  std::ostream& stream() { return stream_; }

 private:
  std::ostringstream stream_;
};

// Makes `cond ? (void)0 : Voidify() & stream << ...` well-formed.
struct Voidify {
  void operator&(std::ostream&) const {}
};

}  // namespace keel::internal

#define KEEL_CHECK(condition)        \
  __builtin_expect(!!(condition), 1) \
      ? (void)0                      \
      : ::keel::internal::Voidify() & ::keel::internal::CheckFailure(__FILE__, __LINE__, #condition).stream()

// Operands may be evaluated again for the message, so they must have no side effects.
#define KEEL_CHECK_OP(op, a, b) KEEL_CHECK((a)op(b)) << " (" << (a) << " vs " << (b) << ") "
#define KEEL_CHECK_EQ(a, b) KEEL_CHECK_OP(==, a, b)
#define KEEL_CHECK_NE(a, b) KEEL_CHECK_OP(!=, a, b)
#define KEEL_CHECK_LT(a, b) KEEL_CHECK_OP(<, a, b)
#define KEEL_CHECK_LE(a, b) KEEL_CHECK_OP(<=, a, b)
#define KEEL_CHECK_GT(a, b) KEEL_CHECK_OP(>, a, b)
#define KEEL_CHECK_GE(a, b) KEEL_CHECK_OP(>=, a, b)
#define KEEL_CHECK_OK(expr)                                                                   \
  do {                                                                                        \
    const auto& keel_check_status_ = (expr);                                                  \
    KEEL_CHECK(keel_check_status_.ok()) << " " << ::keel::internal::Text(keel_check_status_); \
  } while (false)

namespace keel::internal {

template <typename StatusLike>
auto Text(const StatusLike& s) -> decltype(s.ToString()) {
  return s.ToString();
}
template <typename StatusOrLike>
auto Text(const StatusOrLike& s) -> decltype(s.status().ToString()) {
  return s.status().ToString();
}

}  // namespace keel::internal
