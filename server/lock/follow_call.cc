#include "server/lock/follow_call.h"

#include <utility>

namespace keel::server {
namespace {

constexpr size_t kItemsMax = 64;

}  // namespace

void FollowCall::Begin() {
  core_->ReadIndex([self = Self()](const absl::Status& status) {
    if (status.ok()) {
      self->Look();
    } else {
      self->Abort(AsUnknown(status));
    }
  });
}

void FollowCall::Look() {
  if (!end_.ok()) return;
  StopWatching();
  const storage::ReadView view = core_->member().store->View();
  auto oldest = OldestUnder(prefix_, view);
  if (!oldest.ok()) {
    Abort(AsUnknown(oldest.status()));
    return;
  }
  const storage::Revision revision = view.revision();
  if (!oldest->has_value()) {
    AwaitFirst(revision + 1);
    return;
  }
  const std::string key = (*oldest)->key();
  Emit(*std::move(*oldest), revision);
  FollowKey(key, revision + 1);
}

void FollowCall::FollowKey(const std::string& key, storage::Revision from) {
  watch_ = core_->watches()->Add({.key = key, .range_end = "", .from = from},
                                 [self = Self()](const etcdserverpb::WatchResponse& response) {
                                   for (const mvccpb::Event& event : response.events()) {
                                     if (event.type() == mvccpb::Event::DELETE) {
                                       // What follows in this response is part of the state that is looked at now.
                                       self->Look();
                                       return;
                                     }
                                     self->Emit(event.kv(), storage::Revision{event.kv().mod_revision()});
                                   }
                                   if (response.canceled()) self->Look();
                                 });
}

void FollowCall::AwaitFirst(storage::Revision from) {
  watch_ = core_->watches()->Add(
      {.key = prefix_, .range_end = PrefixEnd(prefix_), .from = from, .events = KeyWatches::Request::Events::kPuts},
      [self = Self()](const etcdserverpb::WatchResponse& response) {
        if (response.events().empty()) {
          self->Look();
          return;
        }
        const mvccpb::KeyValue& first = response.events(0).kv();
        const storage::Revision at{first.mod_revision()};
        self->StopWatching();
        self->Emit(first, at);
        self->FollowKey(first.key(), at + 1);
      });
}

void FollowCall::StopWatching() {
  if (watch_ != 0) core_->watches()->Remove(std::exchange(watch_, 0));
}

void FollowCall::Emit(mvccpb::KeyValue kv, storage::Revision revision) {
  if (kv.key() == last_key_ && kv.mod_revision() == last_mod_revision_) return;
  last_key_ = kv.key();
  last_mod_revision_ = kv.mod_revision();
  if (items_.size() == kItemsMax) items_.pop_front();
  items_.push_back({.kv = std::move(kv), .revision = revision});
  Deliver();
}

void FollowCall::Next(NextDone done) {
  waiting_ = std::move(done);
  Deliver();
}

void FollowCall::Deliver() {
  if (!waiting_) return;
  if (!items_.empty()) {
    Item item = std::move(items_.front());
    items_.pop_front();
    std::exchange(waiting_, nullptr)(std::move(item));
  } else if (!end_.ok()) {
    std::exchange(waiting_, nullptr)(end_);
  }
}

void FollowCall::Abort(absl::Status why) {
  if (!end_.ok()) return;
  end_ = std::move(why);
  StopWatching();
  items_.clear();
  Deliver();
  core_->Leave(shared_from_this());
}

}  // namespace keel::server
