#include "keel/lease.h"

#include <utility>

#include "client/src/convert.h"
#include "client/src/keep_alive_call.h"
#include "client/src/unary_call.h"
#include "proto/etcdserver_lease.grpc.pb.h"

namespace keel {
namespace {

using client::Connection;
using client::StartCall;
using etcdserverpb::Lease;

// The protocol counts in whole seconds; a lease must not end earlier than asked for.
int64_t WholeSeconds(absl::Duration ttl) { return absl::ToInt64Seconds(absl::Ceil(ttl, absl::Seconds(1))); }

}  // namespace

void Leases::GrantAsync(absl::Duration ttl, const LeaseGrantOptions& options, const CallOptions& call,
                        Callback<LeaseGrantResponse> done) {
  // A lease nobody knows of expires by itself; one with a chosen id would meet itself when granted again.
  const client::CallTraits traits = options.id == 0 ? client::kHarmlessWrite : client::kWrite;
  StartCall<&Connection::lease, &Lease::Stub::AsyncLeaseGrant, LeaseGrantResponse>(
      core_, traits, call,
      [&](etcdserverpb::LeaseGrantRequest* request) {
        request->set_ttl(WholeSeconds(ttl));
        request->set_id(options.id);
        return absl::OkStatus();
      },
      [](etcdserverpb::LeaseGrantResponse& r) {
        return LeaseGrantResponse{.header = client::FromProto(r.header()), .id = r.id(), .ttl_seconds = r.ttl()};
      },
      std::move(done));
}

void Leases::RevokeAsync(LeaseId id, const CallOptions& call, Callback<LeaseRevokeResponse> done) {
  const client::CallTraits traits = {.call_class = client::CallClass::kRepeatable, .is_write = true};
  StartCall<&Connection::lease, &Lease::Stub::AsyncLeaseRevoke, LeaseRevokeResponse>(
      core_, traits, call,
      [&](etcdserverpb::LeaseRevokeRequest* request) {
        request->set_id(id);
        return absl::OkStatus();
      },
      [](etcdserverpb::LeaseRevokeResponse& r) { return LeaseRevokeResponse{.header = client::FromProto(r.header())}; },
      std::move(done));
}

void Leases::KeepAliveOnceAsync(LeaseId id, const CallOptions& call, Callback<LeaseKeepAliveResponse> done) {
  auto* const running = new client::KeepAliveCall(
      core_.shared_from_this(), client::kHarmlessWrite, call, id,
      [done = std::move(done)](absl::Status status, const etcdserverpb::LeaseKeepAliveResponse& r) {
        if (!status.ok()) return done(std::move(status));
        done(LeaseKeepAliveResponse{.header = client::FromProto(r.header()), .id = r.id(), .ttl_seconds = r.ttl()});
      });
  running->Start();  // It owns itself from here.
}

void Leases::TimeToLiveAsync(LeaseId id, const LeaseTimeToLiveOptions& options, const CallOptions& call,
                             Callback<LeaseTimeToLiveResponse> done) {
  StartCall<&Connection::lease, &Lease::Stub::AsyncLeaseTimeToLive, LeaseTimeToLiveResponse>(
      core_, client::kRead, call,
      [&](etcdserverpb::LeaseTimeToLiveRequest* request) {
        request->set_id(id);
        request->set_keys(options.keys);
        return absl::OkStatus();
      },
      [&prefix = core_.key_prefix()](etcdserverpb::LeaseTimeToLiveResponse& r) {
        LeaseTimeToLiveResponse out{.header = client::FromProto(r.header()),
                                    .id = r.id(),
                                    .ttl_seconds = r.ttl(),
                                    .granted_ttl_seconds = r.grantedttl(),
                                    .keys = {r.keys().begin(), r.keys().end()}};
        prefix.Leave(&out.keys);
        return out;
      },
      std::move(done));
}

void Leases::ListAsync(const CallOptions& call, Callback<LeaseListResponse> done) {
  StartCall<&Connection::lease, &Lease::Stub::AsyncLeaseLeases, LeaseListResponse>(
      core_, client::kRead, call, [](etcdserverpb::LeaseLeasesRequest*) { return absl::OkStatus(); },
      [](etcdserverpb::LeaseLeasesResponse& r) {
        LeaseListResponse out{.header = client::FromProto(r.header())};
        for (const etcdserverpb::LeaseStatus& lease : r.leases()) out.leases.push_back(lease.id());
        return out;
      },
      std::move(done));
}

absl::StatusOr<LeaseGrantResponse> Leases::Grant(absl::Duration ttl, const LeaseGrantOptions& options,
                                                 const CallOptions& call) {
  return client::Await<LeaseGrantResponse>([&](auto done) { GrantAsync(ttl, options, call, std::move(done)); });
}

absl::StatusOr<LeaseRevokeResponse> Leases::Revoke(LeaseId id, const CallOptions& call) {
  return client::Await<LeaseRevokeResponse>([&](auto done) { RevokeAsync(id, call, std::move(done)); });
}

absl::StatusOr<LeaseKeepAliveResponse> Leases::KeepAliveOnce(LeaseId id, const CallOptions& call) {
  return client::Await<LeaseKeepAliveResponse>([&](auto done) { KeepAliveOnceAsync(id, call, std::move(done)); });
}

absl::StatusOr<LeaseTimeToLiveResponse> Leases::TimeToLive(LeaseId id, const LeaseTimeToLiveOptions& options,
                                                           const CallOptions& call) {
  return client::Await<LeaseTimeToLiveResponse>(
      [&](auto done) { TimeToLiveAsync(id, options, call, std::move(done)); });
}

absl::StatusOr<LeaseListResponse> Leases::List(const CallOptions& call) {
  return client::Await<LeaseListResponse>([&](auto done) { ListAsync(call, std::move(done)); });
}

}  // namespace keel
