#include "tools/keelctl/outcome.h"

#include "absl/strings/str_cat.h"

namespace keel::ctl {

Outcome Outcome::Of(const absl::Status& status, int code) {
  if (status.ok()) return Ok();
  if (status.code() == absl::StatusCode::kDeadlineExceeded) {
    return {code, absl::StrCat("context deadline exceeded (", status.message(), ")")};
  }
  return {code, std::string(status.message())};
}

}  // namespace keel::ctl
