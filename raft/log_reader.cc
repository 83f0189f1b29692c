#include "raft/log_reader.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/thread_name.h"

namespace keel::raft {

LogReader::LogReader(StableStore* store, Mailbox* mailbox, Failure* failure)
    : store_(*store), mailbox_(*mailbox), failure_(*failure), thread_([this] { Run(); }) {}

LogReader::~LogReader() { Stop(); }

void LogReader::Fetch(FetchWork work) { queue_.Push(std::move(work)); }

void LogReader::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.join();
}

void LogReader::Run() {
  NameThread("log-reader");
  std::vector<FetchWork> all;
  while (queue_.PopAll(&all)) {
    for (const FetchWork& work : all) {
      if (failure_.failed()) break;
      absl::StatusOr<std::vector<Entry>> entries = store_.Read(work.first, work.last, work.bytes_max);
      if (absl::IsNotFound(entries.status())) entries = std::vector<Entry>();  // Truncated meanwhile.
      if (!entries.ok()) {
        const absl::Status& status = entries.status();
        failure_.Report(absl::Status(status.code(), absl::StrCat("cannot read the Raft log: ", status.message())));
        break;
      }
      mailbox_.PushEvent(Fetched{work.follower, *std::move(entries)});
    }
    all.clear();
  }
}

}  // namespace keel::raft
