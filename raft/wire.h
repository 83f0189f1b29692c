#pragma once

// Messages as values <-> proto/raft.proto. The only place that knows both.

#include "absl/status/statusor.h"
#include "proto/raft.pb.h"
#include "raft/entry.h"
#include "raft/message.h"
#include "raft/types.h"

namespace keel::raft {

void EncodeMessage(const Message& message, raftpb::Message* out);
// Takes the payloads out of `in` instead of copying them; `in` must live on the heap, not on an arena, for that.
// kInvalidArgument: no body, an entry without a known type, entries not contiguous after `prev`.
absl::StatusOr<Message> DecodeMessage(raftpb::Message&& in);

void EncodeEntry(const Entry& entry, raftpb::Entry* out);
absl::StatusOr<Entry> DecodeEntry(raftpb::Entry&& in);

void EncodeMembership(const Membership& membership, raftpb::Membership* out);
// kInvalidArgument: as CheckMembership (membership.h).
absl::StatusOr<Membership> DecodeMembership(const raftpb::Membership& in);

void EncodeSnapshotMeta(const SnapshotMeta& meta, raftpb::SnapshotMeta* out);
// kInvalidArgument: as DecodeMembership.
absl::StatusOr<SnapshotMeta> DecodeSnapshotMeta(const raftpb::SnapshotMeta& in);

}  // namespace keel::raft
