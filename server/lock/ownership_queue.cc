#include "server/lock/ownership_queue.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "server/lock/follow_call.h"
#include "server/lock/queue_core.h"
#include "server/lock/turn_call.h"

namespace keel::server {
namespace {

// What the observer holds: letting go of it ends the call.
class FollowerHandle final : public OwnershipQueue::Follower {
 public:
  explicit FollowerHandle(std::shared_ptr<FollowCall> call) : call_(std::move(call)) {}
  ~FollowerHandle() override { Cancel(); }

  void Cancel() override { call_->Cancel(); }

  void Next(absl::AnyInvocable<void(absl::StatusOr<Item>)> done) override {
    auto shared = std::make_shared<absl::AnyInvocable<void(absl::StatusOr<Item>)>>(std::move(done));
    const bool posted = call_->Post([call = call_, shared] { call->Next(std::move(*shared)); });
    if (!posted) (*shared)(absl::UnavailableError("etcdserver: server stopped"));
  }

 private:
  const std::shared_ptr<FollowCall> call_;
};

class OwnershipQueueImpl final : public OwnershipQueue {
 public:
  OwnershipQueueImpl(const Member* member, const Options& options) : core_(member, options) {}
  ~OwnershipQueueImpl() override { Stop(); }

  void Stop() override { core_.Stop(); }
  bool Poll() override { return core_.Poll(); }

  std::shared_ptr<PendingCall> AwaitTurn(TurnRequest request,
                                         absl::AnyInvocable<void(absl::StatusOr<Turn>)> done) override {
    auto call = std::make_shared<TurnCall>(&core_, std::move(request), std::move(done));
    core_.Enter(call);
    return call;
  }

  std::shared_ptr<Follower> Follow(std::string prefix) override {
    auto call = std::make_shared<FollowCall>(&core_, std::move(prefix));
    core_.Enter(call);
    return std::make_shared<FollowerHandle>(std::move(call));
  }

  void ReadOldest(std::string prefix, absl::AnyInvocable<void(absl::StatusOr<Follower::Item>)> done) override {
    core_.Enter(std::make_shared<ReadOldestCall>(&core_, std::move(prefix), std::move(done)));
  }

 private:
  class ReadOldestCall final : public QueueCall {
   public:
    ReadOldestCall(QueueCore* core, std::string prefix, absl::AnyInvocable<void(absl::StatusOr<Follower::Item>)> done)
        : QueueCall(core), prefix_(std::move(prefix)), done_(std::move(done)) {}

    void Begin() override {
      core_->ReadIndex([this, self = shared_from_this()](absl::Status status) {
        if (!status.ok()) {
          Finish(AsUnknown(status));
          return;
        }
        const storage::ReadView view = core_->member().store->View();
        auto oldest = OldestUnder(prefix_, view);
        if (!oldest.ok()) {
          Finish(AsUnknown(oldest.status()));
        } else if (!oldest->has_value()) {
          Finish(absl::NotFoundError("no key"));
        } else {
          Finish(Follower::Item{.kv = *std::move(*oldest), .revision = view.revision()});
        }
      });
    }
    void Abort(absl::Status why) override { Finish(std::move(why)); }

   private:
    void Finish(absl::StatusOr<Follower::Item> item) {
      if (!done_) return;
      std::exchange(done_, nullptr)(std::move(item));
      core_->Leave(shared_from_this());
    }

    const std::string prefix_;
    absl::AnyInvocable<void(absl::StatusOr<Follower::Item>)> done_;
  };

  QueueCore core_;
};

}  // namespace

std::string OwnershipKey(std::string_view prefix, int64_t lease) {
  const bool negative = lease < 0;
  const uint64_t magnitude = negative ? -static_cast<uint64_t>(lease) : static_cast<uint64_t>(lease);
  return absl::StrCat(std::string(prefix), negative ? "-" : "", absl::Hex(magnitude));
}

std::string PrefixEnd(std::string_view prefix) {
  while (!prefix.empty() && prefix.back() == '\xff') prefix.remove_suffix(1);
  if (prefix.empty()) return std::string(1, '\0');
  std::string end(prefix);
  end.back() = static_cast<char>(static_cast<unsigned char>(end.back()) + 1);
  return end;
}

absl::Status AsUnknown(const absl::Status& status) {
  return status.ok() ? status : absl::UnknownError(status.message());
}

std::shared_ptr<OwnershipQueue> OwnershipQueue::Create(const Member* member, const Options& options) {
  return std::make_shared<OwnershipQueueImpl>(member, options);
}

}  // namespace keel::server
