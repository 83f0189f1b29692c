// Clients read and write keys.

#include <memory>
#include <utility>

#include "absl/strings/str_join.h"
#include "base/check.h"
#include "server/api/wire_reply.h"
#include "tests/sim_full/client_call.h"

namespace keel::sim {

void Client::DoPut() {
  Call<etcdserverpb::PutRequest, etcdserverpb::PutResponse>(
      RandomPut(),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Put(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoDelete() {
  etcdserverpb::DeleteRangeRequest request;
  RandomInterval(request.mutable_key(), request.mutable_range_end());
  // Not the locks and elections of others.
  if (request.range_end() == kToTheEnd || request.key() == kToTheEnd) {
    request.set_key("k");
    request.set_range_end("k4");
  }
  request.set_prev_kv(random_.Chance(0.4));
  Call<etcdserverpb::DeleteRangeRequest, etcdserverpb::DeleteRangeResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().DeleteRange(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoTxn() {
  etcdserverpb::TxnRequest txn = RandomTxn(2);
  // A write for certain, so that it goes through the log.
  if (txn.success().empty()) *txn.add_success()->mutable_request_put() = RandomPut();
  if (txn.failure().empty()) *txn.add_failure()->mutable_request_put() = RandomPut();
  const auto writes = [](const etcdserverpb::RequestOp& op) { return !op.has_request_range(); };
  if (std::none_of(txn.success().begin(), txn.success().end(), writes) &&
      std::none_of(txn.failure().begin(), txn.failure().end(), writes)) {
    *txn.add_failure()->mutable_request_put() = RandomPut();
  }
  Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>(
      std::move(txn),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Txn(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) { CheckWrite(op.begun, status, op.response); });
}

void Client::DoRange() {
  etcdserverpb::RangeRequest request = RandomRange();
  request.set_serializable(random_.Chance(0.3));
  Call<etcdserverpb::RangeRequest, etcdserverpb::RangeResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        auto reply = std::make_shared<server::WireReply>();
        replica.kv().Range(call, op.request, reply.get(),
                           [reply, response = &op.response, done = std::move(done)](absl::Status status) mutable {
                             if (status.ok()) {
                               KEEL_CHECK(response->ParseFromString(absl::StrJoin(reply->Release().blocks, "")));
                             }
                             done(std::move(status));
                           });
      },
      [this](auto& op, const absl::Status& status) {
        const int64_t asked = op.request.revision();
        const bool serializable = op.request.serializable();
        if (absl::IsOutOfRange(status)) {
          const bool future = asked > (serializable ? 0 : op.begun.revision);
          read_matches_.Require(asked > 0 && (asked < oracle_.model().compact() || future), [&] {
            return absl::StrCat("a read of revision ", asked, " was refused: ", std::string(status.message()));
          });
          return;
        }
        if (!status.ok()) return;
        const int64_t at = op.response.header().revision();
        if (serializable) {
          stale_monotone_.Require(at >= op.begun.seen, [&] {
            return absl::StrCat("member ", op.begun.node, " went back from ", op.begun.seen, " to ", at);
          });
          int64_t& seen = seen_by_member_[{op.begun.node, op.begun.life}];
          seen = std::max(seen, at);
        } else {
          real_time_.Require(at >= op.begun.revision, [&] {
            return absl::StrCat("member ", op.begun.node, " answered a read as of ", at, " that began after ",
                                op.begun.revision, " was answered");
          });
          real_time_.Require(asked == 0 || asked >= op.begun.compact, [&] {
            return absl::StrCat("revision ", asked, " was read after a compaction at ", op.begun.compact);
          });
        }
        CheckHeader(op.response.header(), op.begun);
        CheckRead(op.begun, op.response, oracle_.model().Range(op.request, at, -1));
      });
}

void Client::DoReadTxn() {
  etcdserverpb::TxnRequest txn;
  for (uint64_t n = random_.Below(3); n > 0; --n) *txn.add_compare() = RandomCompare();
  for (auto* branch : {txn.mutable_success(), txn.mutable_failure()}) {
    for (uint64_t n = 1 + random_.Below(3); n > 0; --n) {
      *branch->Add()->mutable_request_range() = RandomRange();
      branch->rbegin()->mutable_request_range()->clear_revision();
    }
  }
  Call<etcdserverpb::TxnRequest, etcdserverpb::TxnResponse>(
      std::move(txn),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Txn(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        if (!status.ok()) return;
        const int64_t at = op.response.header().revision();
        real_time_.Require(at >= op.begun.revision, [&] {
          return absl::StrCat("a transaction read as of ", at, " that began after ", op.begun.revision,
                              " was answered");
        });
        CheckHeader(op.response.header(), op.begun);
        CheckRead(op.begun, op.response, oracle_.model().ReadTxn(op.request, at, -1));
      });
}

void Client::DoCompact() {
  etcdserverpb::CompactionRequest request;
  request.set_revision(random_.Between(std::max<int64_t>(0, shared_.highest_revision - 30), shared_.highest_revision));
  Call<etcdserverpb::CompactionRequest, etcdserverpb::CompactionResponse>(
      std::move(request),
      [](Replica& replica, const server::Call& call, auto& op, server::Done done) {
        replica.kv().Compact(call, op.request, &op.response, std::move(done));
      },
      [this](auto& op, const absl::Status& status) {
        CheckWrite(op.begun, status, op.response);
        if (status.ok()) shared_.highest_compact = std::max(shared_.highest_compact, op.request.revision());
      });
}

}  // namespace keel::sim
