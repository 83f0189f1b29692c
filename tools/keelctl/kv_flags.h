#pragma once

// The flags of put, get and del: the commands have them, and so do the operations of a txn script.

#include <CLI/CLI.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "keel/txn.h"
#include "tools/keelctl/printer.h"

namespace keel::ctl {

struct PutFlags {
  std::string key;
  std::string value;
  std::string lease = "0";
  bool prev_kv = false;
  bool ignore_value = false;
  bool ignore_lease = false;
  CLI::Option* value_option = nullptr;

  void AddTo(CLI::App& command);
  absl::StatusOr<PutOp> Resolve() const;  // But for a value that comes from elsewhere.
  bool has_value() const { return value_option->count() > 0; }
};

struct GetFlags {
  std::string key;
  std::string range_end;
  bool prefix = false;
  bool from_key = false;
  bool serializable = false;
  std::string consistency = "l";
  int64_t limit = 0;
  int64_t revision = 0;
  std::string order;
  std::string sort_by;
  int64_t min_create = 0, max_create = 0, min_mod = 0, max_mod = 0;
  GetStyle style;

  void AddTo(CLI::App& command);
  // kInvalidArgument: flags that contradict each other; kUnimplemented: a value that is not one of the choices.
  absl::StatusOr<GetOp> Resolve() const;
};

struct DelFlags {
  std::string key;
  std::string range_end;
  bool prefix = false;
  bool from_key = false;
  bool range = false;
  bool prev_kv = false;

  void AddTo(CLI::App& command);
  absl::StatusOr<DeleteOp> Resolve() const;
};

// The exit code for what Resolve says.
int FlagErrorCode(const absl::Status& status);

}  // namespace keel::ctl
