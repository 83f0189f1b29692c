#include "server/api/admission.h"

#include <string_view>

#include "server/apply/request_check.h"
#include "server/space_alarm.h"

namespace keel::server {
namespace {

// Well-formed as RFC 3629 says: no overlong forms, surrogates, or code points above U+10FFFF.
bool IsUtf8(std::string_view s) {
  for (size_t i = 0; i < s.size();) {
    const auto lead = static_cast<unsigned char>(s[i]);
    if (lead < 0x80) {
      ++i;
      continue;
    }
    const size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                          : (lead & 0xF0) == 0xE0        ? 3
                          : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                         : 0;
    if (length == 0 || s.size() - i < length) return false;
    for (size_t j = 1; j < length; ++j) {
      if ((static_cast<unsigned char>(s[i + j]) & 0xC0) != 0x80) return false;
    }
    const auto second = static_cast<unsigned char>(s[i + 1]);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F)) {
      return false;
    }
    i += length;
  }
  return true;
}

absl::Status NotForLearners() { return absl::FailedPreconditionError("etcdserver: rpc not supported for learner"); }

}  // namespace

Admission::Admission(const Member* member, absl::Duration election_timeout)
    : member_(member),
      election_timeout_(election_timeout),
      leader_seen_nanos_(absl::ToUnixNanos(member->clock->Now())) {}

absl::Status Admission::Admit(const Call& call, CallClass call_class) const {
  if (stopped_.load(std::memory_order_acquire)) return absl::UnavailableError("etcdserver: server stopped");
  // One that joins has nothing to serve at all until the state comes. By this text clients turn to another member.
  const bool joining = joining_.load(std::memory_order_relaxed);
  if (joining && !member_->store->bootstrapped()) return NotForLearners();
  // Looked at again before it is refused: since the last look it may have been promoted, or what it joined told it that
  // it has no vote.
  const bool may_be_learner = joining || learner_.load(std::memory_order_relaxed);
  if (call_class != CallClass::kLearnersToo && may_be_learner && member_->IsLearner()) return NotForLearners();
  if (!IsUtf8(call.client_api_version)) return absl::InvalidArgumentError("etcdserver: invalid client api version");
  if (call.requires_leader && IsLeaderless()) {
    return absl::UnavailableError("etcdserver: no leader");
  }
  // Who the caller is (call.token) and what it may do are decided here once users and roles exist. Until then everybody
  // may do everything, as with authentication switched off, where even an invalid token is ignored.
  return absl::OkStatus();
}

absl::Status Admission::AdmitBytes(int64_t cost) {
  if (cost == 0 || member_->limits.quota_bytes < 0) return absl::OkStatus();
  const int64_t quota = member_->limits.quota_bytes;
  const int64_t estimate = bytes_estimate_.fetch_add(cost, std::memory_order_relaxed);
  if (!QuotaExceeded(estimate, cost, quota)) return absl::OkStatus();
  const int64_t in_use = member_->store->sizes().in_use_bytes;
  bytes_estimate_.store(in_use + cost, std::memory_order_relaxed);
  if (!QuotaExceeded(in_use, cost, quota)) return absl::OkStatus();
  member_->space_alarm->Raise();
  return NoSpaceError();
}

bool Admission::IsLeaderless() const {
  if (member_->node->leader() != raft::kNobody) return false;
  const absl::Time seen = absl::FromUnixNanos(leader_seen_nanos_.load(std::memory_order_relaxed));
  return member_->clock->Now() - seen >= election_timeout_;
}

void Admission::Refresh() {
  if (member_->node->leader() != raft::kNobody) {
    leader_seen_nanos_.store(absl::ToUnixNanos(member_->clock->Now()), std::memory_order_relaxed);
  }
  bytes_estimate_.store(member_->store->sizes().in_use_bytes, std::memory_order_relaxed);
  learner_.store(member_->IsLearner(), std::memory_order_relaxed);
  joining_.store(!member_->store->bootstrapped(), std::memory_order_relaxed);
}

}  // namespace keel::server
