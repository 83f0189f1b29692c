#include "raft/log_writer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/thread_name.h"

namespace keel::raft {
namespace {

// One write; the rest of the queue goes into the next.
constexpr size_t kWriteBytesMax = 4u << 20;

absl::Status WithContext(const char* what, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(what, ": ", status.message()));
}

}  // namespace

void MergeInto(StableBatch* batch, StableBatch later) {
  if (later.hard_state) batch->hard_state = later.hard_state;
  if (later.entries.empty()) return;
  if (batch->entries.empty()) {
    batch->entries = std::move(later.entries);
    return;
  }
  const Index first = later.entries.front().id.index;
  while (!batch->entries.empty() && batch->entries.back().id.index >= first) batch->entries.pop_back();
  // When nothing is left of them, `first` may lie before them all, and replaces that much of the log itself.
  batch->entries.insert(batch->entries.end(), std::make_move_iterator(later.entries.begin()),
                        std::make_move_iterator(later.entries.end()));
}

void KeepNewestAcks(std::vector<Message>* messages) {
  if (messages->size() < 2) return;
  std::vector<const Message*> newest;  // One per member and term; there are few.
  std::vector<bool> covered(messages->size(), false);
  for (size_t i = messages->size(); i-- > 0;) {
    const Message& message = (*messages)[i];
    const auto* ack = std::get_if<AppendResponse>(&message.body);
    if (ack == nullptr || ack->rejected) continue;
    const auto it = std::find_if(newest.begin(), newest.end(), [&](const Message* other) {
      return other->to == message.to && other->term == message.term;
    });
    if (it == newest.end()) {
      newest.push_back(&message);
      continue;
    }
    const auto& later = std::get<AppendResponse>((*it)->body);
    covered[i] = later.index >= ack->index && later.read_round >= ack->read_round;
  }
  std::vector<Message> kept;
  kept.reserve(messages->size());
  for (size_t i = 0; i < messages->size(); ++i) {
    if (!covered[i]) kept.push_back(std::move((*messages)[i]));
  }
  messages->swap(kept);
}

LogWriter::LogWriter(StableStore* store, Transport* transport, Mailbox* mailbox, Failure* failure, const Pace* pace)
    : store_(*store), transport_(*transport), mailbox_(*mailbox), failure_(*failure), pace_(*pace), thread_([this] {
        Run();
      }) {}

LogWriter::~LogWriter() { Stop(); }

void LogWriter::Write(Append append) { queue_.Push(std::move(append)); }
void LogWriter::Truncate(Index through) { queue_.Push(TruncateJob{through}); }
void LogWriter::Reset(SnapshotMeta meta) { queue_.Push(ResetJob{std::move(meta)}); }

void LogWriter::Stop() {
  queue_.Close();
  if (thread_.joinable()) thread_.join();
}

void LogWriter::Run() {
  NameThread("log-writer");
  std::vector<Job> jobs;
  while (queue_.PopAll(&jobs)) {
    pace_.Follow();
    Job* job = jobs.data();
    Job* const end = job + jobs.size();
    while (job != end && !failure_.failed()) {
      if (std::holds_alternative<Append>(*job)) {
        job = WriteAppends(job, end);
        continue;
      }
      if (const auto* truncate = std::get_if<TruncateJob>(job)) {
        if (const absl::Status status = store_.TruncatePrefix(truncate->through); !status.ok()) {
          failure_.Report(WithContext("cannot truncate the Raft log", status));
          break;
        }
        mailbox_.PushEvent(LogTruncated{truncate->through});
      } else {
        SnapshotMeta& meta = std::get<ResetJob>(*job).meta;
        if (const absl::Status status = store_.ResetTo(meta.last); !status.ok()) {
          failure_.Report(WithContext("cannot cut the Raft log behind an installed snapshot", status));
          break;
        }
        mailbox_.PushEvent(Installed{std::move(meta)});
      }
      ++job;
    }
    jobs.clear();
  }
}

LogWriter::Job* LogWriter::WriteAppends(Job* job, Job* end) {
  StableBatch batch;
  std::optional<AppendTicket> ticket;
  std::vector<Message> after;
  size_t bytes = 0;
  size_t count = 0;
  for (; job != end && bytes < kWriteBytesMax; ++job, ++count) {
    auto* const append = std::get_if<Append>(job);
    if (append == nullptr) break;
    for (const Entry& entry : append->batch.entries) bytes += entry.bytes();
    MergeInto(&batch, std::move(append->batch));
    if (append->ticket) ticket = append->ticket;
    after.insert(after.end(), std::make_move_iterator(append->after.begin()),
                 std::make_move_iterator(append->after.end()));
  }
  if (batch.hard_state || !batch.entries.empty()) {
    if (const absl::Status status = store_.Append(batch); !status.ok()) {
      failure_.Report(WithContext("cannot write the Raft log", status));
      return end;
    }
  }
  if (failure_.failed()) return end;  // Another thread's; nothing is acknowledged after it.
  KeepNewestAcks(&after);
  if (!after.empty()) transport_.Send(std::move(after));
  mailbox_.PostAppended(ticket, count);
  return job;
}

}  // namespace keel::raft
