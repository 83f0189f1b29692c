#pragma once

// How a client calls a member and compares the answers: what the files of a client share.

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "tests/sim_full/client.h"

namespace keel::sim {

// The end of a range without one.
inline const std::string kToTheEnd(1, '\0');

inline void ClearIds(etcdserverpb::ResponseHeader* header) {
  header->clear_cluster_id();
  header->clear_member_id();
  header->clear_raft_term();
}

inline bool IsOpen(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) || absl::IsResourceExhausted(status) ||
         absl::IsCancelled(status);
}

template <typename Request, typename Response>
void Client::Call(Request request,
                  std::function<void(Replica&, const server::Call&, Op<Request, Response>&, server::Done)> invoke,
                  std::function<void(Op<Request, Response>&, const absl::Status&)> check) {
  Replica& replica = PickReplica();
  if (!replica.is_up()) return Finish();
  auto op = std::make_shared<Op<Request, Response>>();
  op->begun = Begin(replica);
  op->request = std::move(request);
  replica.After(Delay(), [this, op, step = step_, &replica, invoke = std::move(invoke), check = std::move(check)] {
    server::Call call;
    call.deadline = replica.clock().Now() + replica.request_timeout();
    const uint64_t before = oracle_.last_proposed();
    invoke(replica, call, *op, [this, op, step, check](const absl::Status& status) {
      // A process that ends may say so; its client hears nothing.
      if (!Current(op->begun)) return;
      if (shared_.faults && random_.Chance(0.02)) return;
      world_.At(Delay(), [this, op, step, check, status] {
        check(*op, status);
        if (step_ == step) Finish();
      });
    });
    if (oracle_.last_proposed() != before) op->begun.request_id = oracle_.last_proposed();
    replica.PollSoon();
  });
}

template <typename Request, typename Response>
void Client::CallApi(Request request,
                     std::function<std::shared_ptr<server::PendingCall>(
                         Replica&, const Request&, absl::AnyInvocable<void(absl::StatusOr<Response>)>)>
                         invoke,
                     std::function<void(Op<Request, Response>&, const absl::Status&)> check) {
  Call<Request, Response>(
      std::move(request),
      [this, invoke = std::move(invoke)](Replica& replica, const server::Call&, Op<Request, Response>& op,
                                         server::Done done) {
        pending_node_ = replica.node();
        pending_ =
            invoke(replica, op.request, [&op, done = std::move(done)](absl::StatusOr<Response> response) mutable {
              const absl::Status status = response.status();
              if (response.ok()) op.response = *std::move(response);
              done(status);
            });
      },
      std::move(check));
}

template <typename Response>
void Client::CheckWrite(const Begun& begun, const absl::Status& status, Response response) {
  const Model::Outcome* outcome = begun.request_id == 0 ? nullptr : oracle_.OutcomeOf(begun.request_id);
  if (begun.request_id == 0) {
    // Refused before it was proposed.
    write_matches_.Require(!status.ok(), [] { return std::string("a write was answered that nobody proposed"); });
    return;
  }
  if (IsOpen(status)) return;
  write_matches_.Require(outcome != nullptr, [&] {
    return absl::StrCat("member ", begun.node, " answered ", std::string(status.ToString()),
                        " to a command that nobody has executed");
  });
  write_matches_.Require(outcome->status.code() == status.code() && outcome->status.message() == status.message(), [&] {
    return absl::StrCat("answered ", std::string(status.ToString()), " instead of ",
                        std::string(outcome->status.ToString()));
  });
  if (!status.ok()) return;
  CheckHeader(response.header(), begun);
  const int64_t revision = response.header().revision();
  ClearIds(response.mutable_header());
  write_matches_.Require(response.SerializeAsString() == outcome->response, [&] {
    Response expected;
    expected.ParseFromString(outcome->response);
    return absl::StrCat("answered ", response.ShortDebugString(), " instead of ", expected.ShortDebugString());
  });
  real_time_.Require(outcome->wrote ? revision > begun.revision : revision >= begun.revision, [&] {
    return absl::StrCat("a write that began after revision ", begun.revision, " was answered got ", revision);
  });
}

template <typename Response>
void Client::CheckRead(const Begun& begun, Response response, const absl::StatusOr<Response>& expected) {
  ClearIds(response.mutable_header());
  response.clear_header();
  read_matches_.Require(expected.ok() && response.SerializeAsString() == expected->SerializeAsString(), [&] {
    return absl::StrCat("member ", begun.node, " answered ", response.ShortDebugString(), " instead of ",
                        expected.ok() ? expected->ShortDebugString() : std::string(expected.status().ToString()));
  });
}

}  // namespace keel::sim
