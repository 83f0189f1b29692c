#include "client/src/grant.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "base/status_macros.h"

namespace keel::client {

absl::StatusOr<bool> Grant::Acquire(int mode, absl::Time deadline,
                                    const std::function<absl::StatusOr<std::optional<Held>>()>& acquire) {
  {
    absl::MutexLock lock(&mu_);
    if (!mu_.AwaitWithDeadline(absl::Condition(this, &Grant::IsIdle), deadline)) {
      return absl::DeadlineExceededError(absl::StrCat(patience_.recipe(), ": another thread is taking it"));
    }
    if (patience_.session_lost()) return patience_.Expired();
    if (ours_) {
      if (last_.mode == mode) return true;
      return absl::FailedPreconditionError(absl::StrCat(patience_.recipe(), ": held in the other mode; unlock first"));
    }
    if (has_key_) {
      return absl::FailedPreconditionError(
          absl::StrCat(patience_.recipe(), ": the last release did not reach a server; release again"));
    }
    acquiring_ = true;
    called_off_ = false;
    patience_.Begin();
  }
  absl::StatusOr<std::optional<Held>> got = acquire();
  if (got.ok() && got->has_value() && patience_.session_lost()) got = patience_.Expired();

  absl::MutexLock lock(&mu_);
  acquiring_ = false;
  if (!got.ok()) return got.status();
  if (!got->has_value()) return false;
  last_ = **std::move(got);
  has_key_ = true;
  // It came too late to stop us; Release() goes on to delete the key.
  if (called_off_) return patience_.CalledOff();
  ours_ = true;
  return true;
}

absl::StatusOr<bool> Grant::Release() {
  std::string key;
  int64_t token = 0;
  {
    absl::MutexLock lock(&mu_);
    if (!acquiring_ && !has_key_) return false;
    ours_ = false;
    if (acquiring_) {
      called_off_ = true;
      patience_.CallOff();
      mu_.Await(absl::Condition(this, &Grant::IsIdle));
    }
    if (!has_key_) return true;
    key = last_.key;
    token = last_.token;
  }
  KEEL_RETURN_IF_ERROR(DeleteKey(key, token));
  absl::MutexLock lock(&mu_);
  if (last_.token == token) has_key_ = false;
  return true;
}

absl::Status Grant::DeleteKey(const std::string& key, int64_t revision) {
  if (patience_.session_lost()) return absl::OkStatus();
  Txn leave;
  if (revision != 0) leave.If(CreateRevisionOf(key) == revision);
  leave.Then(Delete(key));
  return patience_.client().kv().Commit(leave, {.timeout = kLeaveTimeout, .repeat = Repeat::kAlways}).status();
}

bool Grant::held() const {
  {
    absl::MutexLock lock(&mu_);
    if (!ours_) return false;
  }
  return !patience_.session_lost();
}

std::optional<int> Grant::mode() const {
  if (!held()) return std::nullopt;
  absl::MutexLock lock(&mu_);
  return last_.mode;
}

int64_t Grant::token() const {
  absl::MutexLock lock(&mu_);
  return last_.token;
}

std::string Grant::key() const {
  absl::MutexLock lock(&mu_);
  return last_.key;
}

ResponseHeader Grant::header() const {
  absl::MutexLock lock(&mu_);
  return last_.header;
}

Compare Grant::IsOurs() const {
  absl::MutexLock lock(&mu_);
  // No key has a create_revision below zero.
  return CreateRevisionOf(last_.key.empty() ? "-" : last_.key) == (last_.token == 0 ? -1 : last_.token);
}

std::string UniqueName() { return absl::StrCat(absl::GetCurrentTimeNanos()); }

}  // namespace keel::client
