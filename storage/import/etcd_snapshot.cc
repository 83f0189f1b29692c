#include "storage/import/etcd_snapshot.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "absl/strings/str_cat.h"
#include "base/bytes.h"
#include "base/status_macros.h"
#include "base/string_view.h"
#include "proto/kv.pb.h"
#include "storage/import/bbolt_image.h"
#include "storage/snapshot/backup_file.h"
#include "storage/state/state_builder.h"

namespace keel::storage {
namespace {

constexpr size_t kRevisionBytes = 8 + 1 + 8;

absl::Status BadEntry(std::string_view bucket, uint64_t offset, std::string_view why) {
  return absl::DataLossError(absl::StrCat("the etcd database is damaged at offset ", offset, ": in bucket '",
                                          ToAbsl(bucket), "', ", ToAbsl(why)));
}

// main:u64 "_" sub:u64, big-endian.
std::optional<ChangeId> DecodeEtcdRevision(std::string_view bytes) {
  if (bytes.size() != kRevisionBytes || bytes[8] != '_') return std::nullopt;
  const uint64_t main = ReadBigEndian64(bytes.data());
  const uint64_t sub = ReadBigEndian64(bytes.data() + 9);
  if (main > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
      sub > static_cast<uint64_t>(std::numeric_limits<int32_t>::max())) {
    return std::nullopt;
  }
  return ChangeId{.revision = Revision(static_cast<int64_t>(main)), .sub = static_cast<int32_t>(sub)};
}

// A message of varints only, as leasepb.Lease is: field numbers 1 to 3. nullopt: anything else.
struct EtcdLease {
  int64_t id = 0;
  int64_t ttl = 0;
};
std::optional<uint64_t> TakeVarint(std::string_view* bytes) {
  uint64_t value = 0;
  for (int shift = 0; shift < 64 && !bytes->empty(); shift += 7) {
    const uint8_t byte = static_cast<uint8_t>(bytes->front());
    bytes->remove_prefix(1);
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}
std::optional<EtcdLease> DecodeEtcdLease(std::string_view bytes) {
  EtcdLease lease;
  while (!bytes.empty()) {
    const std::optional<uint64_t> tag = TakeVarint(&bytes);
    const std::optional<uint64_t> value = TakeVarint(&bytes);
    if (!tag || !value || (*tag & 7) != 0) return std::nullopt;
    if (*tag >> 3 == 1) lease.id = static_cast<int64_t>(*value);
    if (*tag >> 3 == 2) lease.ttl = static_cast<int64_t>(*value);
  }
  return lease;
}

absl::Status ReadAuth(const BboltImage& image, EtcdImport* found) {
  KEEL_RETURN_IF_ERROR(image.ForEach("auth", [&](std::string_view key, std::string_view value, uint64_t) {
    if (key == "authEnabled") found->auth_enabled = value == std::string_view("\1", 1);
    return absl::OkStatus();
  }));
  const auto count = [](int64_t* n) {
    return [n](std::string_view, std::string_view, uint64_t) {
      ++*n;
      return absl::OkStatus();
    };
  };
  KEEL_RETURN_IF_ERROR(image.ForEach("authUsers", count(&found->users)));
  return image.ForEach("authRoles", count(&found->roles));
}

// The revision to which history is compacted, or is about to be.
absl::StatusOr<Revision> ReadCompactRevision(const BboltImage& image) {
  Revision compact{-1};
  KEEL_RETURN_IF_ERROR(image.ForEach("meta", [&](std::string_view key, std::string_view value, uint64_t offset) {
    if (key != "finishedCompactRev" && key != "scheduledCompactRev") return absl::OkStatus();
    const std::optional<ChangeId> change = DecodeEtcdRevision(value);
    if (!change) return BadEntry("meta", offset, absl::StrCat(ToAbsl(key), " is not a revision"));
    compact = std::max(compact, change->revision);
    return absl::OkStatus();
  }));
  return compact;
}

absl::Status AddKeys(const BboltImage& image, StateBuilder* builder, EtcdImport* found) {
  mvccpb::KeyValue kv;
  return image.ForEach("key", [&](std::string_view key, std::string_view value, uint64_t offset) {
    const bool tombstone = key.size() == kRevisionBytes + 1 && key.back() == 't';
    const std::optional<ChangeId> change = DecodeEtcdRevision(tombstone ? key.substr(0, kRevisionBytes) : key);
    if (!change) return BadEntry("key", offset, "a key is not a revision");
    kv.Clear();
    if (value.size() > static_cast<size_t>(std::numeric_limits<int>::max()) ||
        !kv.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
      return BadEntry("key", offset, "a value is not a KeyValue");
    }
    KeyValueFields fields{.key = kv.key(), .mod = change->revision};
    if (!tombstone) {
      if (kv.version() <= 0) return BadEntry("key", offset, "a pair without a version");
      fields.create = Revision(kv.create_revision());
      fields.mod = Revision(kv.mod_revision());
      fields.version = kv.version();
      fields.value = kv.value();
      fields.lease = LeaseId(kv.lease());
    }
    ++found->records;
    const absl::Status added = builder->Add(*change, fields);
    return absl::IsDataLoss(added) ? BadEntry("key", offset, ToStd(added.message())) : added;
  });
}

absl::Status AddLeases(const BboltImage& image, StateBuilder* builder, EtcdImport* found) {
  return image.ForEach("lease", [&](std::string_view key, std::string_view value, uint64_t offset) {
    const std::optional<EtcdLease> lease = DecodeEtcdLease(value);
    if (key.size() != 8 || !lease || lease->id == 0 ||
        static_cast<uint64_t>(lease->id) != ReadBigEndian64(key.data()) || lease->ttl <= 0) {
      return BadEntry("lease", offset, "an entry is not a lease");
    }
    // It starts anew with its whole time to live, like at any change of leaders.
    builder->AddLease({.id = LeaseId(lease->id), .granted_ttl = lease->ttl, .remaining_ttl = 0, .grant_index = 1});
    ++found->leases;
    return absl::OkStatus();
  });
}

}  // namespace

absl::StatusOr<EtcdImport> ImportEtcdSnapshot(std::string_view file, const std::string& dir,
                                              const EtcdImportOptions& options, std::shared_ptr<StateMedium> medium) {
  KEEL_ASSIGN_OR_RETURN(const std::string_view bytes, BackupImage(file, options.skip_hash_check));
  KEEL_ASSIGN_OR_RETURN(const BboltImage image, BboltImage::Open(bytes));
  EtcdImport found;
  KEEL_RETURN_IF_ERROR(ReadAuth(image, &found));
  if ((found.auth_enabled || found.users > 0 || found.roles > 0) && !options.drop_auth) {
    return absl::InvalidArgumentError(absl::StrCat(
        "the snapshot has ", found.users, " users and ", found.roles, " roles, authentication ",
        found.auth_enabled ? "on" : "off",
        "; they cannot be kept. Pass --drop-auth to go on without them and let every client do everything"));
  }
  KEEL_ASSIGN_OR_RETURN(found.compact, ReadCompactRevision(image));
  KEEL_ASSIGN_OR_RETURN(const std::unique_ptr<StateBuilder> builder, StateBuilder::Create(dir, std::move(medium)));
  KEEL_RETURN_IF_ERROR(AddKeys(image, builder.get(), &found));
  KEEL_RETURN_IF_ERROR(AddLeases(image, builder.get(), &found));
  found.current = std::max(builder->last_revision(), found.compact);
  KEEL_RETURN_IF_ERROR(builder->Finish(found.compact));
  return found;
}

}  // namespace keel::storage
