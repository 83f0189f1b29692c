#pragma once

// Early returns for absl::Status and absl::StatusOr.
//
//   KEEL_RETURN_IF_ERROR(log.Sync());
//   KEEL_ASSIGN_OR_RETURN(auto entries, log.Read(first, last));

#include "absl/status/status.h"
#include "absl/status/statusor.h"

#define KEEL_RETURN_IF_ERROR(expr)                                \
  do {                                                            \
    if (absl::Status keel_status_ = (expr); !keel_status_.ok()) { \
      return keel_status_;                                        \
    }                                                             \
  } while (false)

#define KEEL_STATUS_CONCAT_(a, b) a##b
#define KEEL_STATUS_CONCAT(a, b) KEEL_STATUS_CONCAT_(a, b)

#define KEEL_ASSIGN_OR_RETURN(lhs, expr) KEEL_ASSIGN_OR_RETURN_(KEEL_STATUS_CONCAT(keel_or_, __LINE__), lhs, expr)
#define KEEL_ASSIGN_OR_RETURN_(tmp, lhs, expr)   \
  auto tmp = (expr);                             \
  if (!tmp.ok()) return std::move(tmp).status(); \
  lhs = *std::move(tmp)
