// What reaches a replica from the others.

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim_full/replica_parts.h"

namespace keel::sim {

void Replica::Wire::Serve(int from, Frame frame, uint64_t call, const std::string& body) {
  const absl::Time deadline = replica_.clock_->Now() + replica_.request_timeout();
  const uint64_t life = replica_.life_;
  const auto answer = [&replica = replica_, life, from, call](bool ok, const std::string& bytes) {
    if (replica.life_ != life) return;
    replica.host_.send(from, Pack(Frame::kAnswer, call, absl::StrCat(ok ? "+" : "-", bytes)));
  };
  if (frame == Frame::kRenew) {
    peer::RenewRequest request;
    if (!request.ParseFromString(body)) throw Violation{"messages-accepted", "a renewal does not parse"};
    std::vector<storage::LeaseId> ids;
    for (const int64_t id : request.lease_ids()) ids.emplace_back(id);
    replica_.parts_->leases->RenewAsLeader(std::move(ids), deadline,
                                           [answer](absl::StatusOr<std::vector<int64_t>> ttls) {
                                             peer::RenewResponse response;
                                             if (ttls.ok()) {
                                               for (const int64_t ttl : *ttls) response.add_ttls(ttl);
                                             }
                                             answer(ttls.ok(), response.SerializeAsString());
                                           });
  } else {
    peer::TimeToLiveRequest request;
    if (!request.ParseFromString(body)) throw Violation{"messages-accepted", "a look-up does not parse"};
    replica_.parts_->leases->TimeToLiveAsLeader(storage::LeaseId(request.lease_id()), deadline,
                                                [answer](absl::StatusOr<server::LeaseTimeToLive> ttl) {
                                                  peer::TimeToLiveResponse response;
                                                  if (ttl.ok()) {
                                                    response.set_ttl(ttl->ttl);
                                                    response.set_granted_ttl(ttl->granted_ttl);
                                                  }
                                                  answer(ttl.ok(), response.SerializeAsString());
                                                });
  }
}

void Replica::Deliver(int from, const std::string& bytes) {
  if (is_paused()) {
    return After(paused_until_ - world_.now(), [this, from, bytes] { Deliver(from, bytes); });
  }
  const auto frame = static_cast<Frame>(bytes.at(0));
  if (frame == Frame::kRaft || frame == Frame::kOnce) {
    size_t head = 1;
    if (frame == Frame::kOnce) {
      uint64_t number = 0;
      head += sizeof(number);
      std::copy_n(bytes.data() + 1, sizeof(number), reinterpret_cast<char*>(&number));
      if (!once_seen_.emplace(from, number).second) return;
    }
    raftpb::Message pb;
    const bool parsed = pb.ParseFromArray(bytes.data() + head, static_cast<int>(bytes.size() - head));
    absl::StatusOr<raft::Message> message = raft::DecodeMessage(std::move(pb));
    if (!parsed || !message.ok()) throw Violation{"messages-accepted", "a message does not decode"};
    std::vector<raft::Message> messages;
    messages.push_back(*std::move(message));
    return raft().Deliver(std::move(messages));
  }
  uint64_t call = 0;
  std::copy_n(bytes.data() + 1, sizeof(call), reinterpret_cast<char*>(&call));
  const std::string body = bytes.substr(1 + sizeof(call));
  if (frame == Frame::kAnswer) {
    parts_->wire->OnAnswer(call, body.at(0) == '+', body.substr(1));
  } else {
    parts_->wire->Serve(from, frame, call, body);
  }
  PollSoon();
}

void Replica::DeliverSnapshot(int from, SnapshotInFlight snapshot, std::shared_ptr<TransferReport> report) {
  const raft::SnapshotMeta meta = snapshot.meta;
  const std::string path = parts_->applier->IncomingSnapshotDir(meta);
  if (medium_->Exists(path)) return report->Tell(absl::UnavailableError("another one is arriving"));
  if (const absl::Status copied = snapshot.medium->CopyTo(snapshot.path, path, medium_.get()); !copied.ok()) {
    return report->Tell(copied);
  }
  parts_->incoming.insert(path);
  raft().OfferSnapshot(
      raft::MemberId(static_cast<uint64_t>(from)), snapshot.term, meta, [this, meta, path, report](bool news) {
        if (news) {
          raft().WaitApplied(meta.last.index, absl::InfiniteFuture(),
                             [report](absl::Status status, raft::Index) { report->Tell(std::move(status)); });
          return;
        }
        parts_->incoming.erase(path);
        (void)medium_->Remove(path);
        const bool has_it = raft().commit() >= meta.last.index;
        report->Tell(has_it ? absl::OkStatus() : absl::UnavailableError("not taken"));
      });
}

}  // namespace keel::sim
