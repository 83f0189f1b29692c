#pragma once

// Bytes that tell states apart: what a class appends of itself decides how it will behave from here on, so that two
// states with equal bytes need be looked at only once (tests/explorer). Not stored or sent anywhere.
//
//   template <typename Sink> void DescribeTo(Sink& sink) const { sink(term_, vote_); }

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "raft/entry.h"
#include "raft/types.h"

namespace keel::raft {

class Fingerprint {
 public:
  // Appends to `out`, which must outlive it.
  explicit Fingerprint(std::string* out) : out_(*out) {}

  template <typename... Values>
  void operator()(const Values&... values) {
    (Add(values), ...);
  }

 private:
  template <typename T>
  void Add(const T& value) {
    if constexpr (std::is_integral_v<T> || std::is_enum_v<T>) {
      AddNumber(static_cast<uint64_t>(value));
    } else if constexpr (requires { value.DescribeTo(*this); }) {
      value.DescribeTo(*this);
    } else if constexpr (
        requires { value.value(); } && !requires { value.has_value(); }) {
      AddNumber(value.value());  // A strong integer.
    } else if constexpr (requires { value.has_value(); }) {
      AddNumber(value.has_value());
      if (value.has_value()) Add(*value);
    } else {
      AddNumber(value.size());
      for (const auto& element : value) Add(element);
    }
  }
  template <typename A, typename B>
  void Add(const std::pair<A, B>& pair) {
    Add(pair.first);
    Add(pair.second);
  }
  void Add(EntryId id) { (*this)(id.index, id.term); }
  void Add(const Entry& entry) { (*this)(entry.id, entry.type, entry.payload); }
  void Add(const Payload& payload) { Add(payload.view()); }
  void Add(std::string_view text) {
    AddNumber(text.size());
    out_.append(text);
  }
  void Add(const HardState& state) { (*this)(state.term, state.vote, state.commit); }
  void Add(const Membership& m) { (*this)(m.voters, m.outgoing_voters, m.learners, m.learners_next); }
  void Add(const SnapshotMeta& meta) { (*this)(meta.last, meta.membership); }
  // Most numbers are small.
  void AddNumber(uint64_t number) {
    for (; number >= 0x80; number >>= 7) out_.push_back(static_cast<char>(number | 0x80));
    out_.push_back(static_cast<char>(number));
  }

  std::string& out_;
};

}  // namespace keel::raft
