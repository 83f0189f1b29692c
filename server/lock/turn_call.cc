#include "server/lock/turn_call.h"

#include <utility>

#include "server/apply/request_check.h"

namespace keel::server {
namespace {

constexpr int64_t kOwnLeaseTtl = 60;  // Seconds, of a lease granted on behalf of a caller that brings none.

// The error of a command, whether it was not applied or applied in vain.
absl::Status ErrorOf(const absl::StatusOr<ApplyResult>& result) {
  return result.ok() ? result->status : result.status();
}

etcdserverpb::Compare* CompareCreate(std::string_view key, storage::Revision create, etcdserverpb::TxnRequest* txn) {
  etcdserverpb::Compare* compare = txn->add_compare();
  compare->set_key(std::string(key));
  compare->set_target(etcdserverpb::Compare::CREATE);
  compare->set_result(etcdserverpb::Compare::EQUAL);
  compare->set_create_revision(create.value());
  return compare;
}

}  // namespace

void TurnCall::Begin() {
  turn_.lease = request_.lease;
  if (turn_.lease != 0) {
    Queue();
    return;
  }
  command::Command command;
  etcdserverpb::LeaseGrantRequest* grant = command.mutable_lease_grant();
  grant->set_ttl(kOwnLeaseTtl);
  ChooseLease(core_->member().leases->minimum_ttl(), core_->random(), grant);
  turn_.lease = grant->id();
  core_->Submit(std::move(command), [self = Self()](const auto& result) { self->OnLeaseGranted(result); });
}

void TurnCall::OnLeaseGranted(const absl::StatusOr<ApplyResult>& result) {
  granted_here_ = result.ok() && result->status.ok();
  if (!done_) {
    Withdraw();
  } else if (!granted_here_) {
    Finish(AsUnknown(ErrorOf(result)));
  } else {
    Queue();
  }
}

void TurnCall::Queue() {
  turn_.key = OwnershipKey(request_.prefix, turn_.lease);
  command::Command command;
  etcdserverpb::TxnRequest* txn = command.mutable_txn();
  CompareCreate(turn_.key, storage::Revision{0}, txn);
  etcdserverpb::PutRequest* put = txn->add_success()->mutable_request_put();
  put->set_key(turn_.key);
  put->set_value(request_.value);
  put->set_lease(turn_.lease);
  txn->add_failure()->mutable_request_range()->set_key(turn_.key);
  core_->Submit(std::move(command), [self = Self()](const auto& result) { self->OnQueued(result); });
}

void TurnCall::OnQueued(const absl::StatusOr<ApplyResult>& result) {
  const etcdserverpb::TxnResponse* txn =
      result.ok() && result->status.ok() ? std::get_if<etcdserverpb::TxnResponse>(&result->response) : nullptr;
  if (txn == nullptr || txn->responses_size() != 1) {
    const absl::Status error = ErrorOf(result);
    Finish(error.ok() ? absl::InternalError("a transaction without its response") : AsUnknown(error));
    if (granted_here_) Withdraw();
    return;
  }
  queued_ = true;
  turn_.queued_at = turn_.confirmed_at = storage::Revision{txn->header().revision()};
  bool replace = false;
  if (txn->succeeded()) {
    turn_.create = turn_.queued_at;
  } else {
    const mvccpb::KeyValue& own = txn->responses(0).response_range().kvs(0);
    turn_.create = storage::Revision{own.create_revision()};
    replace = request_.on_existing == TurnRequest::OnExisting::kReplaceValue && own.value() != request_.value;
  }
  if (!done_) {
    Withdraw();
  } else if (replace) {
    ReplaceValue();
  } else {
    Look();
  }
}

void TurnCall::ReplaceValue() {
  command::Command command;
  etcdserverpb::TxnRequest* txn = command.mutable_txn();
  CompareCreate(turn_.key, turn_.create, txn);
  etcdserverpb::PutRequest* put = txn->add_success()->mutable_request_put();
  put->set_key(turn_.key);
  put->set_value(request_.value);
  put->set_lease(turn_.lease);
  core_->Submit(std::move(command), [self = Self()](const absl::StatusOr<ApplyResult>& result) {
    if (!self->done_) return;
    const absl::Status error = ErrorOf(result);
    if (!error.ok()) {
      self->Finish(AsUnknown(error));
      self->Withdraw();
      return;
    }
    const auto* replaced = std::get_if<etcdserverpb::TxnResponse>(&result->response);
    if (replaced == nullptr || !replaced->succeeded()) {
      self->Finish(absl::UnknownError(self->request_.gone_text));
      return;
    }
    self->Look();
  });
}

void TurnCall::Look() {
  if (!done_) return;
  StopWatching();
  const storage::ReadView view = core_->member().store->View();
  bool own = false;
  std::string ahead;
  storage::Revision ahead_create;
  const absl::Status status = view.ForEach(request_.prefix, PrefixEnd(request_.prefix),
                                           [&](std::string_view key, const storage::KeyFacts& facts) {
                                             if (facts.create < turn_.create && facts.create > ahead_create) {
                                               ahead = std::string(key);
                                               ahead_create = facts.create;
                                             }
                                             own = own || (facts.create == turn_.create && key == turn_.key);
                                             return true;
                                           });
  if (!status.ok()) {
    Finish(AsUnknown(status));
    Withdraw();
  } else if (!own) {
    Finish(absl::UnknownError(request_.gone_text));
  } else if (ahead.empty()) {
    // This view holds the own key and nothing older: it was first at that moment. Who has waited, however long, is
    // told only what a quorum confirms.
    if (waited_) {
      Confirm();
    } else {
      Finish(turn_);
    }
  } else {
    waited_ = true;
    const auto look = [self = Self()](const etcdserverpb::WatchResponse& /*response*/) { self->Look(); };
    const storage::Revision from = view.revision() + 1;
    const auto deletes = KeyWatches::Request::Events::kDeletes;
    ahead_watch_ = core_->watches()->Add({.key = ahead, .range_end = "", .from = from, .events = deletes}, look);
    own_watch_ = core_->watches()->Add({.key = turn_.key, .range_end = "", .from = from, .events = deletes}, look);
  }
}

void TurnCall::Confirm() {
  core_->ReadIndex([self = Self()](const absl::Status& status) { self->OnConfirmed(status); });
}

void TurnCall::OnConfirmed(const absl::Status& status) {
  if (!done_) return;
  if (!status.ok()) {
    Finish(AsUnknown(status));
    Withdraw();
    return;
  }
  const storage::ReadView view = core_->member().store->View();
  const auto facts = view.Find(turn_.key);
  if (!facts.ok()) {
    Finish(AsUnknown(facts.status()));
    Withdraw();
  } else if (!facts->has_value() || (*facts)->create != turn_.create) {
    Finish(absl::UnknownError(request_.gone_text));
  } else {
    turn_.confirmed_at = view.revision();
    Finish(turn_);
  }
}

void TurnCall::Abort(absl::Status why) {
  if (!done_) return;
  const bool stopped = absl::IsUnavailable(why);
  Finish(std::move(why));
  // What is on its way is taken back when it arrives. A member that stops proposes nothing any more.
  if (!stopped && queued_) Withdraw();
}

void TurnCall::Withdraw() {
  command::Command command;
  if (granted_here_) {
    // Takes the key along.
    command.mutable_lease_revoke()->set_id(turn_.lease);
  } else if (queued_) {
    etcdserverpb::TxnRequest* txn = command.mutable_txn();
    CompareCreate(turn_.key, turn_.create, txn);
    txn->add_success()->mutable_request_delete_range()->set_key(turn_.key);
  } else {
    return;
  }
  core_->SubmitAndForget(std::move(command));
}

void TurnCall::StopWatching() {
  if (ahead_watch_ == 0) return;
  core_->watches()->Remove(std::exchange(ahead_watch_, 0));
  core_->watches()->Remove(std::exchange(own_watch_, 0));
}

void TurnCall::Finish(absl::StatusOr<Turn> turn) {
  if (!done_) return;
  StopWatching();
  Done done = std::exchange(done_, nullptr);
  done(std::move(turn));
  core_->Leave(shared_from_this());
}

}  // namespace keel::server
