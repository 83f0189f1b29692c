#pragma once

// A transaction: comparisons, what to do if all hold, what to do otherwise; executed atomically at one revision.
//
//   auto result = client.kv().Commit(keel::Txn()
//                                        .If(keel::VersionOf("config/leader") == 0)  // The key is absent.
//                                        .Then(keel::Put("config/leader", name).WithLease(lease))
//                                        .Else(keel::Get("config/leader")));
//   if (!result.ok()) return result.status();
//   if (!result->succeeded) return Follow(result->responses.front().range().kvs.front().value);
//   return Lead();

#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "keel/options.h"
#include "keel/types.h"

namespace keel {

class Txn;

// One condition. Made by the functions below: VersionOf(key) == 0.
struct Compare {
  enum class Target { kVersion, kCreateRevision, kModRevision, kValue, kLease };
  enum class Relation { kEqual, kGreater, kLess, kNotEqual };

  Target target = Target::kVersion;
  Relation relation = Relation::kEqual;
  std::string key = {};
  std::string range_end = {};  // Not empty: must hold for every key of [key, range_end).
  int64_t number = 0;          // Compared with, for all targets but kValue.
  std::string value = {};      // Compared with, for kValue.

  // The condition on all keys with the prefix `key`, or of [key, end).
  Compare ForPrefix() &&;
  Compare ForRange(std::string_view end) &&;
};

// The left side of a comparison. A key that does not exist has version, revisions and lease 0; its value compares as
// false, whatever with.
template <typename Right>
class CompareLeft {
 public:
  CompareLeft(Compare::Target target, std::string_view key) : target_(target), key_(key) {}

  friend Compare operator==(CompareLeft left, Right right) { return left.Make(Compare::Relation::kEqual, right); }
  friend Compare operator!=(CompareLeft left, Right right) { return left.Make(Compare::Relation::kNotEqual, right); }
  friend Compare operator<(CompareLeft left, Right right) { return left.Make(Compare::Relation::kLess, right); }
  friend Compare operator>(CompareLeft left, Right right) { return left.Make(Compare::Relation::kGreater, right); }

 private:
  Compare Make(Compare::Relation relation, Right right) {
    Compare compare{.target = target_, .relation = relation, .key = std::move(key_)};
    if constexpr (std::is_integral_v<Right>) {
      compare.number = right;
    } else {
      compare.value = std::string(right);
    }
    return compare;
  }

  Compare::Target target_;
  std::string key_;
};

inline CompareLeft<int64_t> VersionOf(std::string_view key) { return {Compare::Target::kVersion, key}; }
inline CompareLeft<int64_t> CreateRevisionOf(std::string_view key) { return {Compare::Target::kCreateRevision, key}; }
inline CompareLeft<int64_t> ModRevisionOf(std::string_view key) { return {Compare::Target::kModRevision, key}; }
inline CompareLeft<int64_t> LeaseOf(std::string_view key) { return {Compare::Target::kLease, key}; }
inline CompareLeft<std::string_view> ValueOf(std::string_view key) { return {Compare::Target::kValue, key}; }

// The operations, as values. Every option of the plain call can be given, or set by name afterwards.
struct GetOp {
  std::string key = {};
  RangeOptions options = {};
};

struct PutOp {
  std::string key = {};
  std::string value = {};
  PutOptions options = {};

  PutOp WithLease(LeaseId lease) && {
    options.lease = lease;
    return std::move(*this);
  }
  PutOp WithPrevKv() && {
    options.prev_kv = true;
    return std::move(*this);
  }
};

struct DeleteOp {
  std::string key = {};
  DeleteOptions options = {};
};

inline GetOp Get(std::string_view key, RangeOptions options = {}) { return {std::string(key), std::move(options)}; }
inline PutOp Put(std::string_view key, std::string_view value, PutOptions options = {}) {
  return {std::string(key), std::string(value), options};
}
inline DeleteOp Delete(std::string_view key, DeleteOptions options = {}) {
  return {std::string(key), std::move(options)};
}

// One step of a branch; a whole Txn may be one too.
class Op {
 public:
  Op(GetOp op) : op_(std::move(op)) {}     // NOLINT(google-explicit-constructor)
  Op(PutOp op) : op_(std::move(op)) {}     // NOLINT(google-explicit-constructor)
  Op(DeleteOp op) : op_(std::move(op)) {}  // NOLINT(google-explicit-constructor)
  Op(Txn txn);                             // NOLINT(google-explicit-constructor)

  const GetOp* get() const { return std::get_if<GetOp>(&op_); }
  const PutOp* put() const { return std::get_if<PutOp>(&op_); }
  const DeleteOp* del() const { return std::get_if<DeleteOp>(&op_); }
  const Txn* txn() const;

 private:
  std::variant<GetOp, PutOp, DeleteOp, std::shared_ptr<const Txn>> op_;  // Shared because immutable: copies are cheap.
};

// Thread-compatible value. Repeated If/Then/Else add to what is there. At most 128 entries per list by default of the
// server; a key may be put at most once on a path through nested transactions.
class Txn {
 public:
  template <typename... Compares>
  Txn& If(Compares&&... compares) & {
    (compares_.push_back(std::forward<Compares>(compares)), ...);
    return *this;
  }
  template <typename... Ops>
  Txn& Then(Ops&&... ops) & {
    (then_.push_back(Op(std::forward<Ops>(ops))), ...);
    return *this;
  }
  template <typename... Ops>
  Txn& Else(Ops&&... ops) & {
    (else_.push_back(Op(std::forward<Ops>(ops))), ...);
    return *this;
  }
  template <typename... Compares>
  Txn&& If(Compares&&... compares) && {
    return std::move(If(std::forward<Compares>(compares)...));
  }
  template <typename... Ops>
  Txn&& Then(Ops&&... ops) && {
    return std::move(Then(std::forward<Ops>(ops)...));
  }
  template <typename... Ops>
  Txn&& Else(Ops&&... ops) && {
    return std::move(Else(std::forward<Ops>(ops)...));
  }

  const std::vector<Compare>& compares() const { return compares_; }
  const std::vector<Op>& then_ops() const { return then_; }
  const std::vector<Op>& else_ops() const { return else_; }

  // True if it can change nothing, so that it may be repeated like a read.
  bool is_read_only() const;

 private:
  std::vector<Compare> compares_;
  std::vector<Op> then_;
  std::vector<Op> else_;
};

}  // namespace keel
