#include "tools/keelctl/kv_flags.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "tools/keelctl/text.h"

namespace keel::ctl {
namespace {

absl::Status CheckInterval(const std::string& range_end, bool prefix, bool from_key) {
  if (prefix && from_key) {
    return absl::InvalidArgumentError("`--prefix` and `--from-key` cannot be set at the same time, choose one");
  }
  if (!range_end.empty() && (prefix || from_key)) {
    return absl::InvalidArgumentError(
        "too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
  }
  return absl::OkStatus();
}

}  // namespace

int FlagErrorCode(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnimplemented ? kExitBadFeature : kExitBadArguments;
}

void PutFlags::AddTo(CLI::App& command) {
  command.add_option("key", key, "key")->required();
  value_option = command.add_option("value", value, "value; read from standard input when absent");
  command.add_option("--lease", lease, "lease id (hexadecimal) to attach to the key");
  command.add_flag("--prev-kv", prev_kv, "print the pair before the change");
  command.add_flag("--ignore-value", ignore_value, "keep the stored value");
  command.add_flag("--ignore-lease", ignore_lease, "keep the stored lease");
}

absl::StatusOr<PutOp> PutFlags::Resolve() const {
  KEEL_ASSIGN_OR_RETURN(const uint64_t lease_id, ParseHexId(lease));
  if (ignore_value && has_value()) {
    return absl::InvalidArgumentError("put command needs only 1 argument when 'ignore-value' is set");
  }
  return PutOp{.key = key,
               .value = value,
               .options = {.lease = static_cast<LeaseId>(lease_id),
                           .prev_kv = prev_kv,
                           .ignore_value = ignore_value,
                           .ignore_lease = ignore_lease}};
}

void GetFlags::AddTo(CLI::App& command) {
  command.add_option("key", key, "key")->required();
  command.add_option("range_end", range_end, "read [key, range_end)");
  command.add_flag("--prefix", prefix, "all keys with the prefix");
  command.add_flag("--from-key", from_key, "all keys from this one on");
  command.add_option("--consistency", consistency, "l: linearizable, s: serializable")->capture_default_str();
  command.add_option("--limit", limit, "at most this many pairs; 0: all");
  command.add_option("--rev", revision, "read as of this revision; 0: the newest");
  command.add_option("--order", order, "ASCEND or DESCEND");
  command.add_option("--sort-by", sort_by, "CREATE, KEY, MODIFY, VALUE or VERSION");
  command.add_option("--min-create-rev", min_create, "only keys created at this revision or later");
  command.add_option("--max-create-rev", max_create, "only keys created at this revision or earlier");
  command.add_option("--min-mod-rev", min_mod, "only keys changed at this revision or later");
  command.add_option("--max-mod-rev", max_mod, "only keys changed at this revision or earlier");
  command.add_flag("--keys-only", style.keys_only, "leave the values out");
  command.add_flag("--count-only", style.count_only, "only how many there are");
  command.add_flag("--print-value-only", style.values_only, "leave the keys out");
}

absl::StatusOr<GetOp> GetFlags::Resolve() const {
  KEEL_RETURN_IF_ERROR(CheckInterval(range_end, prefix, from_key));
  if (style.keys_only && style.count_only) {
    return absl::InvalidArgumentError("`--keys-only` and `--count-only` cannot be set at the same time, choose one");
  }
  GetOp op{.key = key,
           .options = {.range_end = range_end,
                       .prefix = prefix,
                       .from_key = from_key,
                       .limit = limit,
                       .revision = revision,
                       .keys_only = style.keys_only,
                       .count_only = style.count_only,
                       .min_mod_revision = min_mod,
                       .max_mod_revision = max_mod,
                       .min_create_revision = min_create,
                       .max_create_revision = max_create}};
  if (consistency == "s") {
    op.options.serializable = true;
  } else if (consistency != "l") {
    return absl::UnimplementedError(absl::StrCat("unknown consistency flag '", consistency, "'; use l or s"));
  }
  const std::string wanted_order = absl::AsciiStrToUpper(order);
  if (wanted_order == "ASCEND") {
    op.options.sort_order = SortOrder::kAscend;
  } else if (wanted_order == "DESCEND") {
    op.options.sort_order = SortOrder::kDescend;
  } else if (!wanted_order.empty()) {
    return absl::UnimplementedError(absl::StrCat("bad sort order '", order, "'; use ASCEND or DESCEND"));
  }
  const std::string target = absl::AsciiStrToUpper(sort_by);
  if (target == "CREATE") {
    op.options.sort_target = SortTarget::kCreateRevision;
  } else if (target == "MODIFY") {
    op.options.sort_target = SortTarget::kModRevision;
  } else if (target == "VALUE") {
    op.options.sort_target = SortTarget::kValue;
  } else if (target == "VERSION") {
    op.options.sort_target = SortTarget::kVersion;
  } else if (!target.empty() && target != "KEY") {
    return absl::UnimplementedError(
        absl::StrCat("bad sort target '", sort_by, "'; use CREATE, KEY, MODIFY, VALUE or VERSION"));
  }
  // A target without an order means ascending; saying so makes the server sort everything before it cuts.
  if (!target.empty() && wanted_order.empty()) op.options.sort_order = SortOrder::kAscend;
  return op;
}

void DelFlags::AddTo(CLI::App& command) {
  command.add_option("key", key, "key")->required();
  command.add_option("range_end", range_end, "delete [key, range_end)");
  command.add_flag("--prefix", prefix, "all keys with the prefix");
  command.add_flag("--from-key", from_key, "all keys from this one on");
  command.add_flag("--range", range, "say that the second argument is meant as the end of a range");
  command.add_flag("--prev-kv", prev_kv, "print the deleted pairs");
}

absl::StatusOr<DeleteOp> DelFlags::Resolve() const {
  KEEL_RETURN_IF_ERROR(CheckInterval(range_end, prefix, from_key));
  return DeleteOp{.key = key,
                  .options = {.range_end = range_end, .prefix = prefix, .from_key = from_key, .prev_kv = prev_kv}};
}

}  // namespace keel::ctl
