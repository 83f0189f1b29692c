#include "tests/differential/runner.h"

#include <algorithm>

#include "absl/time/clock.h"
#include "proto/etcdserver_kv.pb.h"
#include "proto/etcdserver_lease.pb.h"

namespace keel::differential {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(15);

// The revision in the answer's own header; 0: none.
int64_t HeaderRevision(const google::protobuf::Message& response) {
  const auto* field = response.GetDescriptor()->FindFieldByName("header");
  if (field == nullptr) return 0;
  const auto& header = response.GetReflection()->GetMessage(response, field);
  return static_cast<const etcdserverpb::ResponseHeader&>(header).revision();
}

}  // namespace

void Counts::Add(const Counts& other) {
  sequences += other.sequences;
  requests += other.requests;
  fields += other.fields;
  events += other.events;
  for (const auto& [name, n] : other.by_method) by_method[name] += n;
  for (const auto& [name, n] : other.errors) errors[name] += n;
  for (const auto& [name, n] : other.known) known[name] += n;
}

std::array<MessagePtr, 2> Runner::ResolveFor(const Step& step) const {
  std::array<MessagePtr, 2> resolved;
  for (int side = 0; side < 2; ++side) {
    if (step.request == nullptr) continue;
    resolved[side].reset(step.request->New());
    resolved[side]->CopyFrom(*step.request);
    Resolve(pair_->sides()[side].facts.symbols, resolved[side].get());
  }
  return resolved;
}

Runner::Exchange Runner::CallBoth(const Step& step) {
  const std::array<MessagePtr, 2> requests = ResolveFor(step);
  std::array<std::unique_ptr<PendingCall>, 2> calls;
  for (int side = 0; side < 2; ++side) {
    const std::string bytes = requests[side] == nullptr ? step.raw : requests[side]->SerializeAsString();
    calls[side] = pair_->sides()[side].connection->Start(*step.method, bytes);
  }
  Exchange exchange{.request = requests[0]};
  exchange.etcd = calls[0]->Wait();
  exchange.keel = calls[1]->Wait();
  return exchange;
}

Runner::Exchange Runner::CallUntilGone(const Step& step) {
  const absl::Time deadline = absl::Now() + kPatience;
  while (true) {
    Exchange exchange = CallBoth(step);
    const auto gone = [](const Answer& answer) {
      return !answer.status.ok() || static_cast<etcdserverpb::RangeResponse&>(*answer.messages[0]).count() == 0;
    };
    if ((gone(exchange.etcd) && gone(exchange.keel)) || absl::Now() > deadline) return exchange;
    absl::SleepFor(absl::Milliseconds(50));  // Polls what only a clock brings about.
  }
}

Runner::Exchange Runner::ServerStream(const Step& step) {
  const std::array<MessagePtr, 2> requests = ResolveFor(step);
  std::array<std::unique_ptr<Stream>, 2> streams;
  for (int side = 0; side < 2; ++side) {
    streams[side] = pair_->sides()[side].connection->Open(*step.method);
    streams[side]->Send(requests[side]->SerializeAsString());
    streams[side]->HalfClose();
  }
  Exchange exchange{.request = requests[0]};
  for (int side = 0; side < 2; ++side) {
    streams[side]->AwaitEnd(kPatience);
    Answer& answer = side == 0 ? exchange.etcd : exchange.keel;
    answer = {.status = streams[side]->status(), .messages = streams[side]->messages()};
  }
  return exchange;
}

Runner::Exchange Runner::KeepAlive(const Step& step, std::array<std::unique_ptr<Stream>, 2>* keepalives) {
  const std::array<MessagePtr, 2> requests = ResolveFor(step);
  Exchange exchange{.request = requests[0]};
  for (int side = 0; side < 2; ++side) {
    std::unique_ptr<Stream>& stream = (*keepalives)[side];
    if (stream == nullptr) stream = pair_->sides()[side].connection->Open(*step.method);
    const size_t before = stream->size();
    stream->Send(requests[side]->SerializeAsString());
    stream->Await([&](const std::vector<MessagePtr>& messages) { return messages.size() > before; }, kPatience);
    Answer& answer = side == 0 ? exchange.etcd : exchange.keel;
    const std::vector<MessagePtr> messages = stream->messages();
    answer.messages.assign(messages.begin() + static_cast<ptrdiff_t>(before), messages.end());
    if (stream->ended()) answer.status = stream->status();
  }
  return exchange;
}

Runner::Exchange Runner::Perform(const Step& step, WatchPlayer* watches,
                                 std::array<std::unique_ptr<Stream>, 2>* keepalives) {
  switch (step.method->shape) {
    case Shape::kUnary:
    case Shape::kRaw:
      return CallBoth(step);
    case Shape::kGone:
      return CallUntilGone(step);
    case Shape::kServerStream:
      return ServerStream(step);
    case Shape::kKeepAlive:
      return KeepAlive(step, keepalives);
    case Shape::kWatch:
      break;
  }
  Exchange exchange{.request = ResolveFor(step)[0]};
  WatchPlayer::Exchange answers =
      watches->Send(step.stream, static_cast<const etcdserverpb::WatchRequest&>(*step.request));
  exchange.etcd = std::move(answers.etcd);
  exchange.keel = std::move(answers.keel);
  exchange.stream_has_waiting = answers.stream_has_waiting;
  return exchange;
}

void Runner::Digest(const Step& step, Exchange* exchange) {
  for (int side = 0; side < 2; ++side) {
    ServerFacts& facts = pair_->sides()[side].facts;
    Answer& answer = side == 0 ? exchange->etcd : exchange->keel;
    for (const MessagePtr& message : answer.messages) {
      facts.symbols.now = std::max(facts.symbols.now, HeaderRevision(*message));
      const auto* granted = dynamic_cast<const etcdserverpb::LeaseGrantResponse*>(message.get());
      const auto* asked = dynamic_cast<const etcdserverpb::LeaseGrantRequest*>(step.request.get());
      if (granted != nullptr && asked != nullptr && asked->id() == 0) {
        facts.symbols.chosen_leases.push_back(granted->id());
      }
      Normalise(facts, message.get());
      if (exchange->request != nullptr) NormaliseTies(*exchange->request, message.get());
    }
  }
}

Played Runner::Play(const Sequence& sequence) {
  Played played;
  played.status = pair_->Health();
  if (played.status.ok()) played.status = pair_->Level();
  if (!played.status.ok()) return played;
  played.counts.sequences = 1;
  const absl::Time start = absl::Now();
  std::array<std::unique_ptr<Stream>, 2> keepalives;
  WatchPlayer watches(pair_, patience_);
  uint64_t watch_fields = 0;
  uint64_t watch_events = 0;

  const auto compare_watches = [&](size_t index, const Step& step) {
    const auto explained = [&](const FieldDifference& field) {
      const Divergence divergence{.step = step, .request = nullptr, .field = field, .etcd = {}, .keel = {}};
      const KnownDifference* known = FindExplanation(divergence);
      if (known != nullptr) played.counts.known[known->name] = std::max<uint64_t>(1, played.counts.known[known->name]);
      return known != nullptr;
    };
    std::vector<FieldDifference> differences = watches.Compare(explained, &watch_fields, &watch_events);
    if (!differences.empty()) played.finding = Finding{.step = index, .differences = std::move(differences)};
  };

  bool ended = false;
  for (size_t i = 0; i < sequence.steps.size() && !ended; ++i) {
    const Step& step = sequence.steps[i];
    for (Side& side : pair_->sides()) side.facts.elapsed = absl::Now() - start;
    if (watches.any() && step.method->word == "compact") {
      // A compaction overtakes whoever still reads history, and takes away what prev_kv would show.
      watches.Settle();
      compare_watches(i, step);
      if (played.finding.has_value()) break;
    }
    Exchange exchange = Perform(step, &watches, &keepalives);
    Digest(step, &exchange);
    if (const auto* compact = dynamic_cast<const etcdserverpb::CompactionRequest*>(exchange.request.get())) {
      if (exchange.etcd.status.ok() && exchange.keel.status.ok()) watches.OnCompacted(compact->revision());
    }
    ++played.counts.requests;
    ++played.counts.by_method[step.method->word];
    std::vector<FieldDifference> unexplained;
    const std::vector<FieldDifference> differences =
        CompareAnswers(exchange.etcd, exchange.keel, &played.counts.fields);
    for (const FieldDifference& field : differences) {
      const Divergence divergence{.step = step,
                                  .request = exchange.request.get(),
                                  .field = field,
                                  .etcd = exchange.etcd,
                                  .keel = exchange.keel,
                                  .stream_has_waiting = exchange.stream_has_waiting};
      const KnownDifference* known = FindExplanation(divergence);
      if (known == nullptr) {
        unexplained.push_back(field);
        continue;
      }
      ++played.counts.known[known->name];
      ended |= known->after == After::kEnd;
    }
    if (differences.empty() && !exchange.etcd.status.ok()) {
      ++played.counts.errors[exchange.etcd.status.error_message()];
    }
    if (!unexplained.empty()) {
      played.finding = Finding{.step = i,
                               .differences = std::move(unexplained),
                               .etcd = std::move(exchange.etcd),
                               .keel = std::move(exchange.keel)};
      break;
    }
  }
  if (!played.finding.has_value() && !ended && watches.any()) {
    watches.Settle();
    compare_watches(sequence.steps.size() - 1, sequence.steps.back());
  }
  played.took = absl::Now() - start;
  played.counts.fields += watch_fields;
  played.counts.events += watch_events;
  // A server that died answers "unavailable", which is no answer to compare. It may take a moment to be gone.
  const auto unavailable = [](const Answer& answer) {
    return answer.status.error_code() == grpc::StatusCode::UNAVAILABLE;
  };
  const bool suspicious =
      played.finding.has_value() && (unavailable(played.finding->etcd) || unavailable(played.finding->keel));
  const absl::Time deadline = absl::Now() + absl::Seconds(suspicious ? 5 : 0);
  do {
    played.status = pair_->Health();
    if (suspicious && played.status.ok()) absl::SleepFor(absl::Milliseconds(20));
  } while (played.status.ok() && absl::Now() < deadline);
  return played;
}

}  // namespace keel::differential
