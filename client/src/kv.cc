#include "keel/kv.h"

#include <utility>

#include "base/status_macros.h"
#include "client/src/convert.h"
#include "client/src/core.h"
#include "client/src/unary_call.h"

namespace keel {
namespace {

using client::Connection;
using client::kByFromProto;
using client::StartCall;
using etcdserverpb::KV;

// Takes the client's prefix off the keys of an answer, then converts it. The Core outlives its calls.
auto Within(client::Core& core) {
  return [&prefix = core.key_prefix()](auto& response) {
    prefix.Leave(&response);
    return client::FromProto(response);
  };
}

}  // namespace

void Kv::GetAsync(std::string_view key, const RangeOptions& options, const CallOptions& call,
                  Callback<RangeResponse> done) {
  StartCall<&Connection::kv, &KV::Stub::AsyncRange, RangeResponse>(
      core_, client::kRead, call,
      [&](etcdserverpb::RangeRequest* request) {
        KEEL_RETURN_IF_ERROR(client::ToProto(key, options, request));
        return core_.key_prefix().Enter(request);
      },
      Within(core_), std::move(done));
}

void Kv::PutAsync(std::string_view key, std::string_view value, const PutOptions& options, const CallOptions& call,
                  Callback<PutResponse> done) {
  StartCall<&Connection::kv, &KV::Stub::AsyncPut, PutResponse>(
      core_, client::kWrite, call,
      [&](etcdserverpb::PutRequest* request) {
        KEEL_RETURN_IF_ERROR(client::ToProto(key, value, options, request));
        return core_.key_prefix().Enter(request);
      },
      Within(core_), std::move(done));
}

void Kv::DeleteAsync(std::string_view key, const DeleteOptions& options, const CallOptions& call,
                     Callback<DeleteResponse> done) {
  StartCall<&Connection::kv, &KV::Stub::AsyncDeleteRange, DeleteResponse>(
      core_, client::kWrite, call,
      [&](etcdserverpb::DeleteRangeRequest* request) {
        KEEL_RETURN_IF_ERROR(client::ToProto(key, options, request));
        return core_.key_prefix().Enter(request);
      },
      Within(core_), std::move(done));
}

void Kv::CommitAsync(const Txn& txn, const CallOptions& call, Callback<TxnResponse> done) {
  StartCall<&Connection::kv, &KV::Stub::AsyncTxn, TxnResponse>(
      core_, txn.is_read_only() ? client::kRead : client::kWrite, call,
      [&](etcdserverpb::TxnRequest* request) {
        KEEL_RETURN_IF_ERROR(client::ToProto(txn, request));
        return core_.key_prefix().Enter(request);
      },
      Within(core_), std::move(done));
}

void Kv::CompactAsync(int64_t revision, const CompactOptions& options, const CallOptions& call,
                      Callback<CompactResponse> done) {
  StartCall<&Connection::kv, &KV::Stub::AsyncCompact, CompactResponse>(
      core_, client::kWrite, call,
      [&](etcdserverpb::CompactionRequest* request) {
        request->set_revision(revision);
        request->set_physical(options.physical);
        return absl::OkStatus();
      },
      kByFromProto, std::move(done));
}

absl::StatusOr<RangeResponse> Kv::Get(std::string_view key, const RangeOptions& options, const CallOptions& call) {
  return client::Await<RangeResponse>([&](auto done) { GetAsync(key, options, call, std::move(done)); });
}

absl::StatusOr<PutResponse> Kv::Put(std::string_view key, std::string_view value, const PutOptions& options,
                                    const CallOptions& call) {
  return client::Await<PutResponse>([&](auto done) { PutAsync(key, value, options, call, std::move(done)); });
}

absl::StatusOr<DeleteResponse> Kv::Delete(std::string_view key, const DeleteOptions& options, const CallOptions& call) {
  return client::Await<DeleteResponse>([&](auto done) { DeleteAsync(key, options, call, std::move(done)); });
}

absl::StatusOr<TxnResponse> Kv::Commit(const Txn& txn, const CallOptions& call) {
  return client::Await<TxnResponse>([&](auto done) { CommitAsync(txn, call, std::move(done)); });
}

absl::StatusOr<CompactResponse> Kv::Compact(int64_t revision, const CompactOptions& options, const CallOptions& call) {
  return client::Await<CompactResponse>([&](auto done) { CompactAsync(revision, options, call, std::move(done)); });
}

}  // namespace keel
