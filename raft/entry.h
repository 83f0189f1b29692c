#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "raft/types.h"

namespace keel::raft {

// Immutable bytes shared by everyone who holds them: the log writer, the peer streams and the apply thread use the very
// bytes that the proposer encoded. Copying costs a reference count.
class Payload {
 public:
  Payload() = default;
  explicit Payload(std::string bytes) : bytes_(std::make_shared<const std::string>(std::move(bytes))) {}

  std::string_view view() const { return bytes_ != nullptr ? std::string_view(*bytes_) : std::string_view(); }
  size_t size() const { return view().size(); }
  bool empty() const { return size() == 0; }

  friend bool operator==(const Payload& a, const Payload& b) { return a.view() == b.view(); }

 private:
  std::shared_ptr<const std::string> bytes_;
};

// Stored and sent as these numbers; never reuse one.
enum class EntryType : uint8_t {
  kNoop = 1,        // Start of a term (Raft §8).
  kCommand = 2,     // The state machine's.
  kMembership = 3,  // A MembershipEntry (membership.h).
};

struct Entry {
  EntryId id;
  EntryType type = EntryType::kNoop;
  Payload payload;

  // What an entry counts for in every byte limit: its payload and a fixed overhead.
  size_t bytes() const { return payload.size() + kOverheadBytes; }
  static constexpr size_t kOverheadBytes = 32;

  friend bool operator==(const Entry&, const Entry&) = default;
};

}  // namespace keel::raft
