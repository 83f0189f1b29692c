#include "storage/state/member_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/state/meta_codec.h"
#include "storage/state/state_errors.h"

namespace keel::storage {
namespace {

bool Holds(const std::vector<uint64_t>& ids, uint64_t id) { return std::find(ids.begin(), ids.end(), id) != ids.end(); }

}  // namespace

bool StoredMembership::Contains(uint64_t id) const {
  return Holds(voters, id) || Holds(outgoing_voters, id) || IsLearner(id);
}

bool StoredMembership::IsLearner(uint64_t id) const { return Holds(learners, id) || Holds(next_learners, id); }

void AddWrites(const std::vector<MetaWrite>& writes, EngineBatch* batch) {
  for (const MetaWrite& write : writes) {
    if (write.value.has_value()) {
      batch->PutMeta(write.key, *write.value);
    } else {
      batch->DeleteMeta(write.key);
    }
  }
}

MemberBook MemberBook::Found(const Founding& founding, uint64_t index) {
  MemberBook book;
  book.cluster_id_ = founding.cluster_id;
  book.membership_.index = index;
  for (const MemberRecord& member : founding.members) {
    (member.learner ? book.membership_.learners : book.membership_.voters).push_back(member.id);
    book.members_[member.id] = member;
  }
  std::sort(book.membership_.voters.begin(), book.membership_.voters.end());
  std::sort(book.membership_.learners.begin(), book.membership_.learners.end());
  return book;
}

std::optional<bool> MemberBook::Load(std::string_view key, std::string_view value) {
  if (key == kClusterKey) {
    cluster_id_ = DecodeNumber(value);
    return cluster_id_.has_value();
  }
  if (key == kMembershipKey) {
    std::optional<StoredMembership> membership = DecodeMembership(value);
    if (membership.has_value()) membership_ = *std::move(membership);
    return membership.has_value();
  }
  if (key.starts_with(kMemberPrefix)) {
    std::optional<MemberRecord> member = DecodeMember(value);
    if (!member.has_value()) return false;
    // Its directory may have been met before.
    member->directory = members_[member->id].directory;
    members_[member->id] = *std::move(member);
    return true;
  }
  if (key.starts_with(kDirectoryPrefix)) {
    const std::optional<uint64_t> id = DecodeIdKey(kDirectoryPrefix, key);
    const std::optional<DirectoryRecord> directory = DecodeDirectory(value);
    if (!id.has_value() || !directory.has_value()) return false;
    members_[*id].directory = *directory;
    return true;
  }
  if (key.starts_with(kAwaitsPrefix)) {
    const std::optional<uint64_t> id = DecodeIdKey(kAwaitsPrefix, key);
    if (id.has_value()) awaiting_.insert(*id);
    return id.has_value();
  }
  if (key.starts_with(kRemovedPrefix)) {
    const std::optional<uint64_t> id = DecodeIdKey(kRemovedPrefix, key);
    if (id.has_value()) removed_.insert(*id);
    return id.has_value();
  }
  return std::nullopt;
}

std::map<std::string, std::string> MemberBook::Entries() const {
  std::map<std::string, std::string> entries;
  if (cluster_id_.has_value()) entries[std::string(kClusterKey)] = EncodeNumber(*cluster_id_);
  entries[std::string(kMembershipKey)] = EncodeMembership(membership_);
  for (const auto& [id, member] : members_) {
    entries[MemberKey(id)] = EncodeMember(member);
    if (member.directory.id != 0) entries[DirectoryKey(id)] = EncodeDirectory(member.directory);
  }
  for (const uint64_t id : awaiting_) entries[AwaitsKey(id)] = "";
  for (const uint64_t id : removed_) entries[RemovedKey(id)] = "";
  return entries;
}

std::vector<MetaWrite> MemberBook::WritesAfter(const MemberBook& before) const {
  std::map<std::string, std::string> entries = Entries();
  std::vector<MetaWrite> writes;
  for (auto& [key, value] : before.Entries()) {
    if (!entries.contains(key)) writes.push_back({.key = key, .value = std::nullopt});
  }
  for (auto& [key, value] : entries) writes.push_back({.key = key, .value = std::move(value)});
  return writes;
}

std::vector<MemberRecord> MemberBook::All() const {
  std::vector<MemberRecord> all;
  for (const auto& [id, member] : members_) all.push_back(Complete(member));
  return all;
}

std::optional<MemberRecord> MemberBook::Find(uint64_t id) const {
  auto found = members_.find(id);
  if (found == members_.end()) return std::nullopt;
  return Complete(found->second);
}

MemberRecord MemberBook::Complete(MemberRecord member) const {
  const bool has_no_vote = membership_.IsLearner(member.id);
  member.awaits_vote = has_no_vote && awaiting_.contains(member.id);
  member.learner = has_no_vote && !member.awaits_vote;
  return member;
}

void MemberBook::Put(const MemberRecord& member, std::vector<MetaWrite>* writes) {
  writes->push_back({.key = MemberKey(member.id), .value = EncodeMember(member)});
  members_[member.id] = member;
}

void MemberBook::SetMembership(const StoredMembership& membership, const std::vector<MemberRecord>& upserts,
                               std::vector<MetaWrite>* writes) {
  membership_ = membership;
  writes->push_back({.key = std::string(kMembershipKey), .value = EncodeMembership(membership_)});
  for (const MemberRecord& upsert : upserts) {
    if (!membership_.Contains(upsert.id)) continue;
    MemberRecord member = Find(upsert.id).value_or(MemberRecord{.id = upsert.id, .name = {}, .peer_urls = {}});
    member.peer_urls = upsert.peer_urls;
    std::sort(member.peer_urls.begin(), member.peer_urls.end());
    Put(member, writes);
    if (upsert.learner) {
      awaiting_.erase(upsert.id);
      writes->push_back({.key = AwaitsKey(upsert.id), .value = std::nullopt});
    } else if (membership_.IsLearner(upsert.id)) {
      awaiting_.insert(upsert.id);
      writes->push_back({.key = AwaitsKey(upsert.id), .value = ""});
    }
  }
  for (auto it = awaiting_.begin(); it != awaiting_.end();) {
    if (membership_.IsLearner(*it)) {
      ++it;
      continue;
    }
    writes->push_back({.key = AwaitsKey(*it), .value = std::nullopt});
    it = awaiting_.erase(it);
  }
  for (auto it = members_.begin(); it != members_.end();) {
    const uint64_t id = it->first;
    if (membership_.Contains(id)) {
      ++it;
      continue;
    }
    removed_.insert(id);
    writes->push_back({.key = MemberKey(id), .value = std::nullopt});
    writes->push_back({.key = DirectoryKey(id), .value = std::nullopt});
    writes->push_back({.key = RemovedKey(id), .value = ""});
    it = members_.erase(it);
  }
}

absl::Status MemberBook::SetAttributes(uint64_t id, std::string_view name, std::vector<std::string> client_urls,
                                       const DirectoryRecord& directory, std::vector<MetaWrite>* writes) {
  auto found = members_.find(id);
  if (found == members_.end()) return MemberNotFoundError();
  MemberRecord member = found->second;
  if (directory.id != 0 && member.directory.id != 0) {
    if (directory.id != member.directory.id) return OtherDirectoryError(id);
    if (directory.starts < member.directory.starts) return OlderDirectoryError(id);
  }
  member.name = std::string(name);
  member.client_urls = std::move(client_urls);
  if (directory.id != 0) {
    member.directory = directory;
    writes->push_back({.key = DirectoryKey(id), .value = EncodeDirectory(directory)});
  }
  Put(member, writes);
  return absl::OkStatus();
}

}  // namespace keel::storage
