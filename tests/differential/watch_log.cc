#include "tests/differential/watch_log.h"

#include "absl/strings/str_cat.h"
#include "proto/etcdserver_watch.pb.h"
#include "tests/differential/comparer.h"

namespace keel::differential {
namespace {

using etcdserverpb::WatchResponse;

MessagePtr Normalised(const ServerFacts& facts, const WatchResponse& response) {
  auto copy = std::make_shared<WatchResponse>(response);
  Normalise(facts, copy.get());
  return copy;
}

// Promises of rpc.md §2.8 about one message and the one before it of the same watcher.
void Check(const WatchResponse& response, const WatchResponse* before, std::vector<std::string>* violations) {
  const auto say = [&](const std::string& what) {
    violations->push_back(absl::StrCat("watcher ", response.watch_id(), ": ", what, ": ", PrintMessage(response)));
  };
  const int64_t last = response.events(response.events_size() - 1).kv().mod_revision();
  if (response.header().revision() < last) say("the header is older than an event");
  for (int i = 1; i < response.events_size(); ++i) {
    if (response.events(i).kv().mod_revision() < response.events(i - 1).kv().mod_revision()) say("events go back");
  }
  if (before == nullptr || before->fragment()) return;
  const int64_t previous = before->events(before->events_size() - 1).kv().mod_revision();
  if (response.events(0).kv().mod_revision() <= previous) say("a revision comes again or in two messages");
}

}  // namespace

WatchLog ReadWatchLog(const ServerFacts& facts, const std::vector<MessagePtr>& messages,
                      const std::map<int64_t, size_t>& catching_up) {
  WatchLog log;
  std::map<int64_t, const WatchResponse*> last;
  for (size_t i = 0; i < messages.size(); ++i) {
    const auto& response = static_cast<const WatchResponse&>(*messages[i]);
    const int64_t id = response.watch_id();
    if (id == kMarkerWatch) continue;
    if (response.events_size() == 0) {
      // Only a cancellation that nobody asked for belongs to the log.
      if (response.created()) last.erase(id);
      if (response.canceled() && !response.created() && response.compact_revision() != 0) {
        log.watchers[id].push_back(Normalised(facts, response));
      }
      continue;
    }
    const WatchResponse*& before = last[id];
    Check(response, before, &log.violations);
    before = &response;
    const auto grouped = catching_up.find(id);
    if (grouped == catching_up.end() || i >= grouped->second) {
      log.watchers[id].push_back(Normalised(facts, response));
      continue;
    }
    for (const mvccpb::Event& event : response.events()) {
      WatchResponse single;
      single.set_watch_id(id);
      *single.add_events() = event;
      log.watchers[id].push_back(Normalised(facts, single));
    }
  }
  return log;
}

}  // namespace keel::differential
