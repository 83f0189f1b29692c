#include "server/lock/queue_core.h"

#include <utility>
#include <vector>

namespace keel::server {

QueueCall::QueueCall(QueueCore* core) : core_(core), thread_(core->thread()) {}

void QueueCall::Cancel() {
  Post([self = shared_from_this()] { self->Abort(absl::CancelledError("context canceled")); });
}

QueueCore::QueueCore(const Member* member, const OwnershipQueue::Options& options)
    : member_(member),
      calls_max_(options.calls_max),
      random_(options.seed.has_value() ? *options.seed : Random::EntropySeed()) {
  thread_->Start(
      options.drive,
      [this] {
        if (watches_ != nullptr) watches_->Poll();
      },
      [this] {
        // A copy, because calls leave as they end.
        const std::vector<std::shared_ptr<QueueCall>> calls(calls_.begin(), calls_.end());
        for (const auto& call : calls) call->Abort(absl::UnavailableError("etcdserver: server stopped"));
        watches_ = nullptr;
      });
}

void QueueCore::Enter(std::shared_ptr<QueueCall> call) {
  if (call_count_.fetch_add(1) >= calls_max_) {
    call->Abort(absl::ResourceExhaustedError("etcdserver: too many requests"));
    call_count_.fetch_sub(1);
    return;
  }
  const bool posted = thread_->Post([this, call] {
    call->entered_ = true;
    calls_.insert(call);
    call->Begin();
  });
  if (posted) return;
  call->Abort(absl::UnavailableError("etcdserver: server stopped"));
  call_count_.fetch_sub(1);
}

void QueueCore::Stop() { thread_->Stop(); }

void QueueCore::Leave(const std::shared_ptr<QueueCall>& call) {
  // A call that was refused on its caller's thread has never been here.
  if (call->entered_ && calls_.erase(call) > 0) call_count_.fetch_sub(1);
}

KeyWatches* QueueCore::watches() {
  if (watches_ == nullptr) {
    watches_ = std::make_unique<KeyWatches>(member_->watch, [thread = thread_.get()] { thread->RequestPoll(); });
  }
  return watches_.get();
}

void QueueCore::Submit(command::Command command, std::function<void(absl::StatusOr<ApplyResult>)> then) {
  member_->proposer->Submit(
      std::move(command), Deadline(),
      [thread = thread_, then = std::move(then)](absl::StatusOr<ApplyResult> result) mutable {
        thread->Post([then = std::move(then), result = std::move(result)]() mutable { then(std::move(result)); });
      });
}

void QueueCore::SubmitAndForget(command::Command command) {
  member_->proposer->Submit(std::move(command), Deadline(), [](const absl::StatusOr<ApplyResult>& /*result*/) {});
}

void QueueCore::ReadIndex(std::function<void(absl::Status)> then) {
  member_->node->ReadIndex(
      Deadline(), [thread = thread_, then = std::move(then)](absl::Status status, raft::Index /*at*/) mutable {
        if (!status.ok()) {
          status = absl::UnavailableError(absl::IsDeadlineExceeded(status) ? "etcdserver: request timed out"
                                                                           : "etcdserver: server stopped");
        }
        thread->Post([then = std::move(then), status = std::move(status)]() mutable { then(std::move(status)); });
      });
}

absl::StatusOr<std::optional<mvccpb::KeyValue>> OldestUnder(const std::string& prefix,
                                                            const storage::KeyspaceReader& view) {
  etcdserverpb::RangeRequest request;
  request.set_key(prefix);
  request.set_range_end(PrefixEnd(prefix));
  request.set_limit(1);
  request.set_sort_target(etcdserverpb::RangeRequest::CREATE);
  request.set_sort_order(etcdserverpb::RangeRequest::ASCEND);
  etcdserverpb::RangeResponse response;
  if (absl::Status status = view.Range(request, &response); !status.ok()) return status;
  if (response.kvs().empty()) return std::nullopt;
  return std::move(*response.mutable_kvs(0));
}

}  // namespace keel::server
